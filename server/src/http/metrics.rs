//! What `/metrics` answers, in the text form of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use petsem_engine::{EngineStats, IssuerStats};

use crate::http::state::ServerState;

/// The page.
pub(crate) fn page(state: &ServerState) -> String {
    let mut page = String::new();
    let stats = state.engine.stats();
    let (store, audit) = (&stats.store, &stats.audit);
    let mut line = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing into a String does not fail.
        let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    line("petsem_requests_total", "counter", "Requests.", state.counters.requests.load(Ordering::Relaxed));
    line(
        "petsem_boots_total",
        "counter",
        "Machines that got their secrets.",
        state.counters.boots.load(Ordering::Relaxed),
    );
    line("petsem_ready", "gauge", "1 when decisions are made.", u64::from(stats.ready));
    line("petsem_feed_number", "gauge", "Last control change applied.", stats.feed_number);
    line(
        "petsem_feed_age_seconds",
        "gauge",
        "Seconds since the control feed was read.",
        stats.feed_age_seconds,
    );
    line("petsem_store_commits_total", "counter", "Changes committed.", store.commits);
    line("petsem_store_groups_total", "counter", "Transactions that committed them.", store.groups);
    line("petsem_store_conflicts_total", "counter", "Changes refused for a conflict.", store.conflicts);
    line("petsem_store_failures_total", "counter", "Changes that failed otherwise.", store.failures);
    line("petsem_store_queue", "gauge", "Changes that wait for the writer.", store.queue_length);
    line("petsem_store_wal_bytes", "gauge", "Length of the write-ahead log.", store.wal_bytes);
    line(
        "petsem_store_last_commit_micros",
        "gauge",
        "Duration of the last transaction.",
        store.last_commit_micros,
    );
    line("petsem_audit_lines_total", "counter", "Audit lines written.", audit.lines);
    line("petsem_audit_syncs_total", "counter", "Syncs of the audit log.", audit.syncs);
    line(
        "petsem_audit_reserve_bytes",
        "gauge",
        "Preallocated bytes left for a full disk.",
        audit.reserve_left,
    );
    line(
        "petsem_keyring_version",
        "gauge",
        "Version of the keyring that wraps.",
        u64::from(stats.keyring_version),
    );
    line(
        "petsem_keyring_versions",
        "gauge",
        "Versions of the keyring; 1 when none is rotated.",
        stats.keyring_versions,
    );
    line(
        "petsem_keyring_rotation_done",
        "gauge",
        "Rows done in the keyring's rotation.",
        stats.rotation_done,
    );
    line(
        "petsem_keyring_rotation_total",
        "gauge",
        "Rows to do in the keyring's rotation.",
        stats.rotation_total,
    );
    line(
        "petsem_keyring_rotation_faults",
        "gauge",
        "Rows that the keyring's rotation cannot go past.",
        stats.rotation_faults,
    );
    line("petsem_app_rotations", "gauge", "Apps whose KEK this node is rotating.", stats.app_rotations);
    line("petsem_rewraps_total", "counter", "Keys wrapped anew by rotations.", stats.rewraps);
    let (locked, unlocked) = stats.key_bytes;
    line("petsem_keys_locked_bytes", "gauge", "Memory for keys that is never swapped.", locked);
    line(
        "petsem_keys_unlocked_bytes",
        "gauge",
        "Memory for keys that the system did not lock: raise the limit of locked memory.",
        unlocked,
    );
    issuer_lines(&mut page, &stats);
    let _ = write!(
        page,
        "# HELP petsem_refused_total Requests refused, by status code of the API.\n# TYPE petsem_refused_total counter\n"
    );
    for (code, count) in &state.counters.refused {
        let _ = writeln!(page, "petsem_refused_total{{status=\"{code}\"}} {}", count.load(Ordering::Relaxed));
    }
    page
}

/// Of each issuer that publishes its keys.
fn issuer_lines(page: &mut String, stats: &EngineStats) {
    if stats.issuers.is_empty() {
        return;
    }
    let mut metric = |name: &str, kind: &str, help: &str, value: &dyn Fn(&IssuerStats) -> Option<u64>| {
        let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for issuer in &stats.issuers {
            if let Some(value) = value(issuer) {
                let _ = writeln!(page, "{name}{{issuer=\"{}\"}} {value}", label(&issuer.issuer));
            }
        }
    };
    metric("petsem_issuer_keys", "gauge", "Usable keys that an issuer publishes.", &|issuer| {
        Some(issuer.keys)
    });
    metric(
        "petsem_issuer_keys_age_seconds",
        "gauge",
        "Seconds since an issuer's keys were fetched.",
        &|issuer| issuer.age_seconds,
    );
    metric("petsem_issuer_fetches_total", "counter", "Fetches of an issuer's keys.", &|issuer| {
        Some(issuer.fetches)
    });
    metric("petsem_issuer_fetch_failures_total", "counter", "Those that failed.", &|issuer| {
        Some(issuer.failures)
    });
}

/// A label's value, escaped as the text form wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
