//! `petsem operator status`, for a person who was woken up: the state, what is wrong and what to type, then the rest.

use petsem_api::RotationList;
use petsem_server::{DiskSpace, NodeStatus, SealInfo, ServerStatus, StoreStatus};

use super::phrasing::{counted, split_hint};
use super::seals::NEVER;
use crate::failure::{Exit, Failure};

/// Width of the labels.
const LABEL: usize = 12;
/// Rotations of apps that are named.
const APPS_NAMED: usize = 3;

pub(crate) fn node_status(status: &NodeStatus) -> String {
    let mut table = Rows(Vec::new());
    table.row("state", &state(status));
    table.problems(&status.problems);
    table.list("warning", &status.warnings);
    if let Some(server) = &status.server {
        server.why_sealed.iter().for_each(|why| table.row("why sealed", why));
        table.row("version", &server.version);
        server.opened_by.iter().for_each(|by| table.row("opened by", by));
    }
    status.would_open.iter().for_each(|seal| table.row("would open", seal));
    table.row("audit log", &audit_log(status));
    table.row("disks", &disks(status));
    if let Some(age) = status.server.as_ref().and_then(|server| server.feed_age_seconds) {
        table.row("feed", &format!("read {age} s ago"));
    }
    table.row("denials", &denials(status));
    if let Some(rotations) = status.server.as_ref().and_then(|server| server.rotations.as_ref()) {
        table.row("rotation", &rotation(rotations));
    }
    table.store(&status.store);
    table.0.join("\n")
}

fn state(status: &NodeStatus) -> String {
    let since = status.server.as_ref().map_or("", |server| server.since.as_str());
    match status.state {
        "open" if status.ready => format!("READY: open since {since}"),
        "open" => format!("NOT READY: open since {since}, with problems"),
        "sealed" => format!("SEALED since {since}: it answers no requests"),
        "audit_lost" => format!("AUDIT LOG LOST: it answers no requests since {since}"),
        _ => "STOPPED: the server is not running on this node".to_owned(),
    }
}

fn audit_log(status: &NodeStatus) -> String {
    let directory = status.audit_directory.display();
    match &status.server {
        Some(ServerStatus { audit_lines: Some(lines), audit_reserve_bytes: Some(reserve), .. }) => format!(
            "{directory}: {} since it was opened, {} MiB in reserve",
            counted(*lines, "line", "lines"),
            reserve / (1024 * 1024)
        ),
        _ => directory.to_string(),
    }
}

fn disks(status: &NodeStatus) -> String {
    let line = |disk: &DiskSpace| {
        let short = if disk.is_short { ": SHORT" } else { "" };
        format!("{} has {} MiB free{short}", disk.directory.display(), disk.free_bytes / (1024 * 1024))
    };
    let lines: Vec<_> = status.disks.iter().map(line).collect();
    if lines.is_empty() { "unknown: the directories cannot be examined".to_owned() } else { lines.join("\n") }
}

fn denials(status: &NodeStatus) -> String {
    let count = u64::try_from(status.denials_waiting).unwrap_or(u64::MAX);
    match &status.server {
        _ if count == 0 => "none waiting".to_owned(),
        Some(server) if !server.sealed => {
            format!("{} in force only on this node", counted(count, "denial is", "denials are"))
        }
        _ => format!("{} until the server is open", counted(count, "denial waits", "denials wait")),
    }
}

fn rotation(rotations: &RotationList) -> String {
    let mut lines = Vec::new();
    let line = |what: &str, progress: &petsem_api::RotationProgress| {
        let faults = match progress.faults {
            0 => String::new(),
            faults => format!(", BLOCKED by {}", counted(faults, "faulty row", "faulty rows")),
        };
        format!("{what}: {} of {}{faults}", progress.done, counted(progress.total, "row", "rows"))
    };
    lines.extend(rotations.keyring.rotation.as_ref().map(|progress| line("keyring", progress)));
    lines.extend(
        rotations.apps.iter().take(APPS_NAMED).map(|app| line(&format!("app {}", app.app), &app.progress)),
    );
    match rotations.apps.len().saturating_sub(APPS_NAMED) {
        0 => {}
        more => lines.push(format!("and {more} more; `petsem operator rotations` lists all")),
    }
    if lines.is_empty() { "none in progress".to_owned() } else { lines.join("\n") }
}

/// Labels and texts, in lines.
struct Rows(Vec<String>);

impl Rows {
    /// Further lines of a text are below its first one.
    fn row(&mut self, label: &str, text: &str) {
        let text = text.replace('\n', &format!("\n{:LABEL$}", ""));
        self.0.push(format!("{label:<LABEL$}{text}").trim_end().to_owned());
    }

    fn problems(&mut self, problems: &[String]) {
        if problems.is_empty() {
            self.row("problems", "none");
        }
        self.list("problem", problems);
    }

    /// Each text with what to do about it; numbered if there are several.
    fn list(&mut self, what: &str, texts: &[String]) {
        for (at, text) in texts.iter().enumerate() {
            let Failure { fact, hint, .. } = split_hint(Exit::Refused, text);
            let label = if texts.len() == 1 { what.to_owned() } else { format!("{what} {}", at + 1) };
            self.row(&label, &fact);
            hint.iter().for_each(|hint| self.row("", &format!("=> {hint}")));
        }
    }

    fn store(&mut self, store: &StoreStatus) {
        let checked = if store.checked { "" } else { "; read from the database without verification" };
        self.row("store", &format!("{}, epoch {}{checked}", store.store, store.epoch));
        self.row(
            "keys",
            &format!(
                "root version {}, keyring version {} ({} in all)",
                store.root_version, store.keyring_version, store.keyring_versions
            ),
        );
        self.row("seals", &seals(&store.seals));
    }
}

fn seals(seals: &[SealInfo]) -> String {
    let opened = |seal: &SealInfo| seal.verified_at.as_ref().map_or(NEVER.to_uppercase(), Clone::clone);
    let width =
        |text: fn(&SealInfo) -> usize, least: usize| seals.iter().map(text).max().unwrap_or(0).max(least);
    let kind = width(|seal| seal.kind.len(), 4);
    let at = seals.iter().map(|seal| opened(seal).len()).max().unwrap_or(0).max(11);
    let mut lines = vec![format!("{:8}  {:kind$}  {:at$}  {}", "ID", "KIND", "LAST OPENED", "WHAT")];
    lines.extend(seals.iter().map(|seal| {
        let short = seal.id.get(..8).unwrap_or(&seal.id);
        format!("{short:8}  {:kind$}  {:at$}  {}", seal.kind, opened(seal), seal.description)
    }));
    lines.join("\n")
}

/// The failure with which the command ends, if the node is not ready: for scripts, which read the exit status.
pub(crate) fn node_not_ready(status: &NodeStatus) -> Option<Failure> {
    let (exit, fact, hint) = match status.state {
        "open" if status.ready => return None,
        "open" => (Exit::Refused, "this node is open, but not ready", "correct the problems above"),
        "sealed" => {
            (Exit::NotServing, "the server of this node is sealed", "`petsem operator unseal` unseals it")
        }
        "audit_lost" => (
            Exit::NotServing,
            "the server of this node has lost its audit log",
            "put the log back, or begin a new one with `petsem operator audit accept-loss`",
        ),
        _ => (Exit::NotServing, "no server runs on this node", "`petsem server --config FILE` starts one"),
    };
    Some(Failure::new(exit, fact, hint))
}

#[cfg(test)]
mod tests {
    use petsem_api::{RotationProgress, StoreId};
    use serde_json::json;

    use super::*;

    fn store(seals: &serde_json::Value) -> StoreStatus {
        let id: StoreId = "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00".parse().unwrap();
        serde_json::from_value(json!({
            "store": id, "epoch": 1, "root_version": 1, "keyring_version": 2, "keyring_versions": 2, "seals": seals,
            "checked": true,
        }))
        .unwrap()
    }

    fn two_seals() -> serde_json::Value {
        json!([
            {"id": "0123456789abcdef", "kind": "key-file", "description": "key file seal.key",
             "created_at": "2026-01-01T00:00:00.000Z", "verified_at": "2026-01-31T04:00:00.000Z"},
            {"id": "fedcba9876543210", "kind": "shamir", "description": "any 2 of the 3 shares of set 5gk",
             "created_at": "2026-01-01T00:00:00.000Z", "verified_at": null},
        ])
    }

    fn server() -> ServerStatus {
        serde_json::from_value(json!({
            "version": "0.1.0", "sealed": false, "audit_lost": false, "audit_loss": null,
            "since": "2026-01-31T04:00:00.000Z",
            "opened_by": "key file seal.key (key-file)", "why_sealed": [], "feed_age_seconds": 0, "audit_lines": 1,
            "audit_reserve_bytes": 256 * 1024 * 1024, "denials_waiting": 0,
            "rotations": {"keyring": {"current": 2, "versions": []}, "apps": []}, "problems": [], "warnings": [],
            "store": null,
        }))
        .unwrap()
    }

    fn node(state: &'static str, server: Option<ServerStatus>) -> NodeStatus {
        NodeStatus {
            state,
            ready: state == "open",
            denials_waiting: 0,
            server,
            store: store(&two_seals()),
            would_open: None,
            audit_directory: "/var/lib/petsem/audit".into(),
            disks: vec![
                DiskSpace {
                    holds: "data",
                    directory: "/var/lib/petsem".into(),
                    free_bytes: 5 << 30,
                    is_short: false,
                },
                DiskSpace {
                    holds: "audit",
                    directory: "/var/lib/petsem/audit".into(),
                    free_bytes: 3 << 20,
                    is_short: true,
                },
            ],
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn end(status: &NodeStatus) -> Option<(u8, String)> {
        node_not_ready(status).map(|failure| (failure.exit.code(), failure.fact))
    }

    #[test]
    fn a_ready_node_shows_its_state_first_and_exits_with_0() {
        let status = node("open", Some(server()));
        assert_eq!(
            node_status(&status),
            "\
state       READY: open since 2026-01-31T04:00:00.000Z
problems    none
version     0.1.0
opened by   key file seal.key (key-file)
audit log   /var/lib/petsem/audit: 1 line since it was opened, 256 MiB in reserve
disks       /var/lib/petsem has 5120 MiB free
            /var/lib/petsem/audit has 3 MiB free: SHORT
feed        read 0 s ago
denials     none waiting
rotation    none in progress
store       0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00, epoch 1
keys        root version 1, keyring version 2 (2 in all)
seals       ID        KIND      LAST OPENED               WHAT
            01234567  key-file  2026-01-31T04:00:00.000Z  key file seal.key
            fedcba98  shamir    NEVER                     any 2 of the 3 shares of set 5gk"
        );
        assert_eq!(end(&status), None);
    }

    #[test]
    fn a_ready_node_with_warnings_shows_them_and_exits_with_0() {
        let mut status = node("open", Some(server()));
        status.warnings = vec![
            "the next start waits for people: there is no key file\nput it back".to_owned(),
            "keys of https://ci.example are old; check the network".to_owned(),
        ];
        let shown = node_status(&status);
        assert_eq!(
            shown.lines().take(7).collect::<Vec<_>>().join("\n"),
            "\
state       READY: open since 2026-01-31T04:00:00.000Z
problems    none
warning 1   the next start waits for people: there is no key file
            => put it back
warning 2   keys of https://ci.example are old
            => check the network
version     0.1.0"
        );
        assert_eq!(end(&status), None);
    }

    #[test]
    fn a_sealed_node_shows_why_and_what_to_type_and_exits_with_2() {
        let mut sealed = server();
        (sealed.sealed, sealed.opened_by, sealed.rotations) = (true, None, None);
        (sealed.audit_lines, sealed.feed_age_seconds, sealed.denials_waiting) = (None, None, None);
        sealed.why_sealed = vec!["it can be opened with 2 of 3 shares".to_owned()];
        let mut status = node("sealed", Some(sealed));
        status.denials_waiting = 1;
        status.problems = vec!["the server is sealed; unseal it with `petsem operator unseal`".to_owned()];
        assert_eq!(
            node_status(&status).split_once("\nstore ").unwrap().0,
            "\
state       SEALED since 2026-01-31T04:00:00.000Z: it answers no requests
problem     the server is sealed
            => unseal it with `petsem operator unseal`
why sealed  it can be opened with 2 of 3 shares
version     0.1.0
audit log   /var/lib/petsem/audit
disks       /var/lib/petsem has 5120 MiB free
            /var/lib/petsem/audit has 3 MiB free: SHORT
denials     1 denial waits until the server is open"
        );
        assert_eq!(end(&status), Some((2, "the server of this node is sealed".to_owned())));
    }

    #[test]
    fn a_stopped_node_shows_all_problems_and_exits_with_2() {
        let mut status = node("stopped", None);
        status.problems = vec![
            "no server runs on this node; start one with `petsem server`".to_owned(),
            "the store\nis odd\nlook at it".to_owned(),
        ];
        assert_eq!(
            node_status(&status).split_once("\nstore ").unwrap().0,
            "\
state       STOPPED: the server is not running on this node
problem 1   no server runs on this node
            => start one with `petsem server`
problem 2   the store
            is odd
            => look at it
audit log   /var/lib/petsem/audit
disks       /var/lib/petsem has 5120 MiB free
            /var/lib/petsem/audit has 3 MiB free: SHORT
denials     none waiting"
        );
        assert_eq!(end(&status), Some((2, "no server runs on this node".to_owned())));
        let lost = node("audit_lost", Some(server()));
        assert_eq!(end(&lost), Some((2, "the server of this node has lost its audit log".to_owned())));
    }

    #[test]
    fn a_node_that_is_open_with_problems_shows_rotations_and_exits_with_1() {
        let mut open = server();
        let progress = RotationProgress { done: 3, total: 20, faults: 1, ..RotationProgress::default() };
        let app = json!({
            "app": "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00", "rewrite": false, "kek_versions": [1, 2],
            "started_at": "2026-01-31T04:00:00.000Z", "progress": {"done": 1, "total": 1, "rewrapped": 1, "faults": 0},
        });
        open.rotations = Some(RotationList {
            keyring: serde_json::from_value(json!({"current": 2, "versions": [], "rotation": progress}))
                .unwrap(),
            apps: vec![serde_json::from_value(app).unwrap(); 5],
        });
        let mut status = node("open", Some(open));
        (status.ready, status.denials_waiting) = (false, 2);
        let shown = node_status(&status);
        let line = |label: &str| shown.lines().find(|line| line.starts_with(label)).unwrap().to_owned();
        assert_eq!(
            line("state"),
            "state       NOT READY: open since 2026-01-31T04:00:00.000Z, with problems"
        );
        assert_eq!(line("denials"), "denials     2 denials are in force only on this node");
        let (_, rotations) = shown.split_once("rotation    ").unwrap();
        let lines: Vec<&str> = rotations.lines().take(5).map(str::trim_start).collect();
        let app = "app 0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00: 1 of 1 row";
        assert_eq!(
            lines,
            [
                "keyring: 3 of 20 rows, BLOCKED by 1 faulty row",
                app,
                app,
                app,
                "and 2 more; `petsem operator rotations` lists all"
            ]
        );
        assert_eq!(end(&status), Some((1, "this node is open, but not ready".to_owned())));
    }
}
