//! `petsem operator verify`: whether the store is unchanged, and has everything that the audit log recorded.
//!
//! It needs a seal, but decrypts no secret. It verifies MACs of rows, digests of bundles, the chain of control changes,
//! and the newest version of each app that the log names. It continues after a fault, so that one run finds all faults.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use petsem_api::AppId;
use petsem_audit::verify_lines;
use petsem_keys::SealedRef;
use petsem_store::{ReadError, RecordKind, Store};
use serde::{Deserialize, Serialize};

use crate::control::state::is_the_mac;
use crate::keyring::node_keys::NodeKeys;
use crate::keyring::unlock::{UnlockError, Unlocked};
use crate::messages;
use crate::records::{
    AppHead, AppNameRow, AppRotationRow, ApprovalRow, Content, DischargerRow, FeedHeadRow, FeedRow,
    IssuerRow, KeyringKeyRow, NodeRow, OrgAppRow, OrgNameRow, OrgRow, PolicyRow, PollRow, RecordCodec, Row,
    Scan, SealRow, SecretKeysRow, SigningKeyRow, StoreRow, TokenRow, read_row,
};
use crate::secrets::bundle::bundle_digest;

/// Rows and control changes on one page.
const PAGE: u32 = 500;
/// Faults that are listed; further ones are only counted.
const LISTED: usize = 1000;

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// Rows whose MACs were verified.
    pub rows: u64,
    /// Apps whose bundles were compared with their heads.
    pub apps: u64,
    /// Control changes.
    pub changes: u64,
    /// Lines of this node's audit log; `None` if it never wrote one.
    pub audit_lines: Option<u64>,
    /// Apps whose newest version in the log is above the store's.
    pub behind: Vec<AppBehind>,
    /// The first 1000 faults.
    pub faults: Vec<String>,
    /// The number of faults.
    pub fault_count: u64,
}

/// An app that was restored to an earlier version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppBehind {
    /// Its id.
    pub app: AppId,
    /// Its version in the store; `None` if it is missing.
    pub store_version: Option<u64>,
    /// The newest version that the log names.
    pub audit_version: u64,
}

impl StoreReport {
    /// Whether no fault was found.
    pub fn is_good(&self) -> bool {
        self.fault_count == 0 && self.behind.is_empty()
    }

    fn fault(&mut self, text: impl ToString) {
        self.fault_count += 1;
        if self.faults.len() < LISTED {
            self.faults.push(text.to_string());
        }
    }
}

/// Verifies the whole store, and this node's audit log if it has one.
///
/// # Errors
/// The store cannot be read. The report lists the faults in it.
pub async fn verify_store(
    store: &dyn Store,
    unlocked: &Unlocked,
    log: Option<(NodeKeys, &Path)>,
) -> Result<StoreReport, UnlockError> {
    let mut verifier = StoreVerifier { store, codec: &unlocked.codec, report: StoreReport::default() };
    verifier.rows::<StoreRow>().await?;
    verifier.rows::<SealRow>().await?;
    verifier.rows::<KeyringKeyRow>().await?;
    verifier.rows::<OrgRow>().await?;
    verifier.rows::<OrgNameRow>().await?;
    verifier.rows::<AppNameRow>().await?;
    verifier.rows::<OrgAppRow>().await?;
    verifier.rows::<PolicyRow>().await?;
    verifier.rows::<SecretKeysRow>().await?;
    verifier.rows::<IssuerRow>().await?;
    verifier.rows::<DischargerRow>().await?;
    verifier.rows::<SigningKeyRow>().await?;
    verifier.rows::<TokenRow>().await?;
    verifier.rows::<NodeRow>().await?;
    verifier.rows::<ApprovalRow>().await?;
    verifier.rows::<PollRow>().await?;
    verifier.rows::<AppRotationRow>().await?;
    let versions = verifier.apps().await?;
    let deleted = verifier.feed().await?;
    if let Some((keys, directory)) = log {
        verifier.audit(keys, directory, &versions, &deleted).await?;
    }
    Ok(verifier.report)
}

struct StoreVerifier<'a> {
    store: &'a dyn Store,
    codec: &'a RecordCodec,
    report: StoreReport,
}

impl StoreVerifier<'_> {
    /// Verifies every row of a kind.
    async fn rows<T: Content>(&mut self) -> Result<(), ReadError> {
        self.each::<T>().await.map(drop)
    }

    /// The same, and returns the valid rows.
    async fn each<T: Content>(&mut self) -> Result<Vec<(T::Id, Row<T>)>, ReadError> {
        let mut good = Vec::new();
        let mut scan = Scan::<T>::new(self.store, self.codec, PAGE);
        loop {
            let page = scan.next_page().await?;
            if page.is_empty() {
                return Ok(good);
            }
            for entry in page {
                match entry {
                    Ok(entry) => {
                        self.report.rows += 1;
                        good.push(entry);
                    }
                    Err(fault) => self.report.fault(fault),
                }
            }
        }
    }

    /// Compares each app with its head; returns the versions of the apps.
    async fn apps(&mut self) -> Result<HashMap<AppId, u64>, ReadError> {
        let mut versions = HashMap::new();
        for (app, head) in self.each::<AppHead>().await? {
            versions.insert(app, head.content.app_version);
            self.report.apps += 1;
            self.bundle(app, &head.content).await?;
            let policy = self.store.record(RecordKind::Policy, app.as_bytes()).await?;
            let policy_version = policy.map_or(0, |row| row.row_version);
            if policy_version != head.content.policy_version {
                let named = head.content.policy_version;
                self.report.fault(messages::policy_version_missing(app, named, policy_version));
            }
        }
        Ok(versions)
    }

    async fn bundle(&mut self, app: AppId, head: &AppHead) -> Result<(), ReadError> {
        let rows = self.store.app_for_boot(app).await?;
        let found = rows.and_then(|rows| rows.bundle).map(|bundle| {
            bundle_digest(SealedRef { wrapped_dek: &bundle.wrapped_dek, ciphertext: &bundle.ciphertext })
        });
        if found != head.bundle_digest {
            self.report.fault(messages::bundle_differs(app));
        }
        Ok(())
    }

    /// Verifies the control changes from the first; returns the apps that were deleted.
    async fn feed(&mut self) -> Result<HashSet<AppId>, ReadError> {
        let mut deleted = HashSet::new();
        let head = match read_row::<FeedHeadRow>(self.store, self.codec, &[]).await? {
            Some(Ok(row)) => row.content,
            Some(Err(fault)) => {
                self.report.fault(fault);
                return Ok(deleted);
            }
            None => {
                self.report.fault(messages::NO_FEED_HEAD);
                return Ok(deleted);
            }
        };
        let (mut number, mut mac) = (0, [0; 32]);
        while number < head.number {
            let entries = self.store.feed(number, PAGE).await?;
            if entries.is_empty() {
                self.report.fault(messages::control_changes_missing(number + 1));
                return Ok(deleted);
            }
            for entry in entries {
                match self.codec.read_feed(number + 1, &mac, &entry) {
                    Ok((row, next)) => {
                        match row {
                            FeedRow::AppDeleted { app, .. } => {
                                deleted.insert(app);
                            }
                            FeedRow::KeyringDestroyed { version, .. } => {
                                self.check_destroyed(version).await?;
                            }
                            _ => {}
                        }
                        number += 1;
                        mac = next;
                        self.report.changes += 1;
                    }
                    Err(fault) => {
                        // Every later one depends on this one.
                        self.report.fault(fault);
                        return Ok(deleted);
                    }
                }
            }
        }
        if !is_the_mac(&mac, &head.mac) {
            self.report.fault(messages::FEED_HEAD_DIFFERS);
        }
        Ok(deleted)
    }

    /// Checks that a destroyed version of the keyring has no row.
    async fn check_destroyed(&mut self, version: u32) -> Result<(), ReadError> {
        if self.store.record(RecordKind::KeyringKey, &version.to_be_bytes()).await?.is_some() {
            self.report.fault(messages::destroyed_version_exists(version));
        }
        Ok(())
    }

    /// Verifies this node's audit log, and compares the store with it.
    async fn audit(
        &mut self,
        keys: NodeKeys,
        directory: &Path,
        versions: &HashMap<AppId, u64>,
        deleted: &HashSet<AppId>,
    ) -> Result<(), ReadError> {
        let verify_keys = keys.for_verification();
        let mut newest: HashMap<AppId, u64> = HashMap::new();
        let mut show = |line: &[u8]| {
            if let Some((app, version)) = Seen::of(line) {
                let entry = newest.entry(app).or_default();
                *entry = version.max(*entry);
            }
        };
        match verify_lines(directory, verify_keys, &mut show) {
            Ok(report) => {
                self.report.audit_lines = Some(report.last_line);
                if let Some(seen) = report.seen_revision
                    && self.store.mark(seen.revision).await? != Some(seen.mark)
                {
                    self.report.fault(messages::revision_missing(seen.revision));
                }
            }
            Err(finding) => self.report.fault(finding),
        }
        let mut behind: Vec<AppBehind> = newest
            .into_iter()
            .map(|(app, audit_version)| AppBehind {
                app,
                store_version: versions.get(&app).copied(),
                audit_version,
            })
            .filter(|app| app.store_version.is_none_or(|version| version < app.audit_version))
            .filter(|app| !deleted.contains(&app.app))
            .collect();
        behind.sort_by_key(|app| *app.app.as_bytes());
        self.report.behind = behind;
        Ok(())
    }
}

/// The fields of a line that show the version of an app.
#[derive(Deserialize)]
struct Seen {
    outcome: String,
    app: Option<AppId>,
    version: Option<u64>,
}

impl Seen {
    fn of(line: &[u8]) -> Option<(AppId, u64)> {
        let seen: Self = serde_json::from_slice(line).ok()?;
        let was_done = matches!(seen.outcome.as_str(), "allowed" | "recovered");
        seen.app.zip(seen.version).filter(|_| was_done)
    }
}
