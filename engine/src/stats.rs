//! The engine's numbers for the metrics of a node.

use petsem_audit::AuditStats;
use petsem_keys::KeyMemory;
use petsem_store::StoreStats;

use crate::engine::Engine;

/// The current state of the engine.
#[derive(Clone, Debug)]
pub struct EngineStats {
    /// Whether the engine makes decisions.
    pub ready: bool,
    /// The last control change applied.
    pub feed_number: u64,
    /// Seconds since the control feed was last read to its end.
    pub feed_age_seconds: u64,
    /// The store's numbers.
    pub store: StoreStats,
    /// The audit log's numbers.
    pub audit: AuditStats,
    /// Audit lines that are not durable yet.
    pub pending_lines: u64,
    /// The keyring version that wraps.
    pub keyring_version: u32,
    /// Keyring versions in use; 1 if no rotation is in progress.
    pub keyring_versions: u64,
    /// Rows that the keyring's rotation has processed.
    pub rotation_done: u64,
    /// Rows that the keyring's rotation must process.
    pub rotation_total: u64,
    /// Rows that the keyring's rotation cannot re-wrap.
    pub rotation_faults: u64,
    /// Apps whose KEK this node is rotating.
    pub app_rotations: u64,
    /// Keys re-wrapped by rotations since start.
    pub rewraps: u64,
    /// Bytes of memory for keys: locked bytes, and bytes that the system did not lock.
    pub key_bytes: (u64, u64),
    /// Issuers that publish their keys.
    pub issuers: Vec<IssuerStats>,
}

/// The keys that one issuer publishes, as far as this node has fetched them.
#[derive(Clone, Debug)]
pub struct IssuerStats {
    /// Its `iss`.
    pub issuer: String,
    /// Usable keys.
    pub keys: u64,
    /// Seconds since they were fetched.
    pub age_seconds: Option<u64>,
    /// Fetches that ended.
    pub fetches: u64,
    /// Fetches that failed.
    pub failures: u64,
}

impl Engine {
    /// The numbers of this node's engine.
    pub fn stats(&self) -> EngineStats {
        let control = self.control();
        let keyring = self.keyring();
        let rotation = self.rotations.keyring_progress().unwrap_or_default();
        let keys = KeyMemory::of_this_process();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let published = control.issuers().filter_map(|entry| Some((entry, entry.keys.published()?)));
        let issuers = published.map(|(entry, published)| {
            let seen = published.to_wire();
            let (fetches, failures) = published.counted();
            IssuerStats {
                issuer: entry.row.issuer.clone(),
                keys: seen.keys,
                age_seconds: seen.age_seconds,
                fetches,
                failures,
            }
        });
        EngineStats {
            ready: self.integrity_fault().is_none(),
            feed_number: control.number,
            feed_age_seconds: self.feed_age(),
            store: self.store.stats(),
            audit: self.audit.stats(),
            pending_lines: self.pending_lines(),
            keyring_version: keyring.current_version(),
            keyring_versions: count(keyring.versions().len()),
            rotation_done: rotation.done,
            rotation_total: rotation.total,
            rotation_faults: rotation.faults,
            app_rotations: self.rotations.apps_in_progress(),
            rewraps: self.rotations.rewrapped(),
            key_bytes: (count(keys.locked), count(keys.unlocked)),
            issuers: issuers.collect(),
        }
    }
}
