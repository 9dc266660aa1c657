//! `/metrics`, in the Prometheus text format (version 0.0.4).
//!
//! Requests are counted and timed in [`Metrics`]; everything else is read from the engine when the page is asked for.

use petsem_engine::{EngineStats, IssuerStats};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::http::counters::Metrics;
use crate::http::state::ServerState;

/// An issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabel {
    issuer: String,
}

/// A directory that the node writes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiskLabel {
    holds: &'static str,
}

/// The media type of the page.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4";

/// The page.
pub(crate) fn page(state: &ServerState) -> String {
    let mut registry = Registry::with_prefix("petsem");
    let Metrics { requests, boots, refused, durations } = &state.metrics;
    registry.register("requests", "Requests", requests.clone());
    registry.register("boots", "Machines that got their secrets", boots.clone());
    registry.register("refused", "Requests refused, by status code of the API", refused.clone());
    registry.register_with_unit(
        "request_duration",
        "Time from the head of a request to its response, by route",
        Unit::Seconds,
        durations.clone(),
    );
    let stats = state.engine.stats();
    of_node(&mut registry, stats.ready, false);
    of_engine(&mut registry, &stats);
    let free = Family::<DiskLabel, Gauge>::default();
    for space in state.disks.seen() {
        let label = DiskLabel { holds: space.holds };
        free.get_or_create(&label).set(i64::try_from(space.free_bytes).unwrap_or(i64::MAX));
    }
    registry.register("disk_free_bytes", "Free space where the node writes: its data, its audit log", free);
    written(&registry)
}

/// The page of a node without keys: sealed, or about to be.
pub(crate) fn page_without_keys(is_sealed: bool) -> String {
    let mut registry = Registry::with_prefix("petsem");
    of_node(&mut registry, false, is_sealed);
    written(&registry)
}

fn written(registry: &Registry) -> String {
    let mut page = String::new();
    // Writing into a String does not fail.
    let _ = encode(&mut page, registry);
    page
}

fn of_node(registry: &mut Registry, is_ready: bool, is_sealed: bool) {
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The build that runs", build);
    registry.register("ready", "1 when decisions are made", ConstGauge::new(u32::from(is_ready)));
    registry.register("sealed", "1 when the node is sealed", ConstGauge::new(u32::from(is_sealed)));
}

fn of_engine(registry: &mut Registry, stats: &EngineStats) {
    let mut gauge = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
    };
    let (store, audit) = (&stats.store, &stats.audit);
    gauge("feed_number", "Last control change applied", stats.feed_number);
    gauge("feed_age_seconds", "Seconds since the control feed was read", stats.feed_age_seconds);
    gauge("store_queue", "Changes that wait for the writer", store.queue_length);
    gauge("store_wal_bytes", "Length of the write-ahead log", store.wal_bytes);
    gauge("audit_reserve_bytes", "Preallocated bytes left for a full disk", audit.reserve_left);
    gauge("audit_pending_lines", "Lines that are not durable yet", stats.pending_lines);
    gauge("keyring_version", "Keyring version that wraps", u64::from(stats.keyring_version));
    gauge(
        "keyring_versions",
        "Keyring versions in use; 1 when no rotation is in progress",
        stats.keyring_versions,
    );
    gauge("keyring_rotation_done_rows", "Rows done in the keyring's rotation", stats.rotation_done);
    gauge("keyring_rotation_rows", "Rows to do in the keyring's rotation", stats.rotation_total);
    gauge(
        "keyring_rotation_faults",
        "Rows that the keyring's rotation cannot re-wrap",
        stats.rotation_faults,
    );
    gauge("app_rotations", "Apps whose KEK this node is rotating", stats.app_rotations);
    let (locked, unlocked) = stats.key_bytes;
    gauge("keys_locked_bytes", "Memory for keys that is never swapped", locked);
    gauge(
        "keys_unlocked_bytes",
        "Memory for keys that the system did not lock: raise the limit of locked memory",
        unlocked,
    );
    let mut counter = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstCounter::new(value));
    };
    counter("store_commits", "Changes committed", store.commits);
    counter("store_groups", "Transactions that committed them", store.groups);
    counter("store_conflicts", "Changes refused for a conflict", store.conflicts);
    counter("store_failures", "Changes that failed otherwise", store.failures);
    counter("audit_lines", "Audit lines written", audit.lines);
    counter("audit_syncs", "Syncs of the audit log", audit.syncs);
    counter("rewraps", "Keys re-wrapped by rotations", stats.rewraps);
    #[expect(clippy::cast_precision_loss, reason = "microseconds of one commit")]
    let last_commit = store.last_commit_micros as f64 / 1e6;
    registry.register(
        "store_last_commit_seconds",
        "Duration of the last transaction",
        ConstGauge::new(last_commit),
    );
    of_issuers(registry, &stats.issuers);
}

/// For each issuer that publishes its keys.
fn of_issuers(registry: &mut Registry, issuers: &[IssuerStats]) {
    if issuers.is_empty() {
        return;
    }
    let keys = Family::<IssuerLabel, Gauge>::default();
    let ages = Family::<IssuerLabel, Gauge>::default();
    let fetches = Family::<IssuerLabel, Counter>::default();
    let failures = Family::<IssuerLabel, Counter>::default();
    for stats in issuers {
        let label = IssuerLabel { issuer: stats.issuer.clone() };
        keys.get_or_create(&label).set(i64::try_from(stats.keys).unwrap_or(i64::MAX));
        if let Some(age) = stats.age_seconds {
            ages.get_or_create(&label).set(i64::try_from(age).unwrap_or(i64::MAX));
        }
        fetches.get_or_create(&label).inc_by(stats.fetches);
        failures.get_or_create(&label).inc_by(stats.failures);
    }
    registry.register("issuer_keys", "Usable keys that an issuer publishes", keys);
    registry.register("issuer_keys_age_seconds", "Seconds since an issuer's keys were fetched", ages);
    registry.register("issuer_fetches", "Fetches of an issuer's keys", fetches);
    registry.register("issuer_fetch_failures", "Fetches of an issuer's keys that failed", failures);
}
