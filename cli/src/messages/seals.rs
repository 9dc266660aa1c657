//! Texts about seals, and about how a node and its store are.

use std::path::Path;

use petsem_seals::{PassphraseError, ShareProgress};
use petsem_server::{Compromised, NodeStatus, RotatedRoot, SealInfo, StoreReport, StoreStatus, TriedSeal};

use super::{NO_TERMINAL, name_of, two_lines};
use crate::failure::{Exit, Failure};

pub(crate) const NEW_PASSPHRASE_PROMPT: &str = "New passphrase (not shown): ";
pub(crate) const PASSPHRASE_AGAIN_PROMPT: &str = "The same again: ";
pub(crate) const NEVER: &str = "never";

pub(crate) fn passphrase_prompt(alone: bool) -> &'static str {
    if alone {
        "Passphrase (not shown): "
    } else {
        "Passphrase (not shown; an empty line goes on to the shares): "
    }
}

pub(crate) fn shares_wanted(set: &str) -> String {
    format!("{set} open the store; an empty line gives up")
}

pub(crate) fn share_prompt(progress: ShareProgress) -> String {
    format!("Share (not shown; {} of {} given): ", progress.given, progress.threshold)
}

pub(crate) fn share_file_name(number: usize) -> String {
    format!("share-{number}")
}

/// The one place where a share is shown: to whoever made it.
pub(crate) fn share_shown(description: &str, text: &str) -> String {
    format!("{description}:\n  {text}")
}

pub(crate) fn no_passphrase_prompt(flag: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        NO_TERMINAL,
        format!("give the new passphrase with {flag} FILE (mode 0600); nothing was changed"),
    )
}

pub(crate) fn passphrases_differ() -> Failure {
    Failure::new(Exit::Usage, "the two passphrases differ", "type the same one twice")
}

pub(crate) fn not_text(path: &Path) -> Failure {
    Failure::new(Exit::Usage, format!("{} is no text", name_of(path)), "give passphrase or shares as text")
}

pub(crate) fn no_shares_directory(path: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is no directory", path.display()),
        "make it first, for you alone (mode 0700); nothing was changed",
    )
}

pub(crate) fn shares_to_nobody() -> Failure {
    Failure::new(
        Exit::Usage,
        "new shares are shown once, and standard output is no terminal",
        "give --shares-directory DIRECTORY, or --print-shares to print them all the same; nothing was changed",
    )
}

pub(crate) fn seal_not_confirmed() -> Failure {
    Failure::new(
        Exit::Usage,
        "sealing ends every request and boot until the server is unsealed on its node",
        "give --yes to do it",
    )
}

pub(crate) fn seal_not_seen() -> Failure {
    Failure::new(
        Exit::Refused,
        "the server took the order to seal itself, but does not say that it is sealed",
        "`petsem operator status` on its node says how it is; a server that cannot forget its keys ends",
    )
}

pub(crate) const SEALED: &str =
    "sealed: no key is in the server's memory; `petsem operator unseal` on its node opens it";

pub(crate) fn unsealed(by: &str) -> String {
    format!("unsealed by {by}")
}

pub(crate) fn seal_added(seal: &SealInfo) -> String {
    let more = match &seal.verified_at {
        Some(_) => "",
        None => "\ntry it before you rely on it: `petsem operator seal verify`",
    };
    format!("seal {} ({}) opens the store, too{more}", seal.id, seal.description)
}

pub(crate) fn seal_removed(seal: &SealInfo) -> String {
    format!(
        "seal {} ({}) is removed\nwho has it and an older backup or copy of the store still opens that; if others \
         may have it, rotate root key and keyring, too: `petsem operator rotate-root`, `rotate-keyring`",
        seal.id, seal.description
    )
}

pub(crate) fn seal_tried(tried: &TriedSeal) -> String {
    match &tried.fault {
        None => "opens the store".to_owned(),
        Some(fault) => format!("not opened: {fault}"),
    }
}

pub(crate) fn seals_not_verified(count: usize) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("{count} of the seals did not open the store, or were not tried"),
        "give what they need, or remove them: `petsem operator seal remove`",
    )
}

pub(crate) fn root_rotated(rotated: &RotatedRoot) -> String {
    let dropped = match rotated.dropped.len() {
        0 => String::new(),
        count => format!("; {count} dropped"),
    };
    format!(
        "the root key has version {}, under {} seals{dropped}\nbackups from before still open by the seals of that time",
        rotated.root_version,
        rotated.seals.len()
    )
}

pub(crate) fn compromised_removed(done: &Compromised) -> String {
    let rest = match done.rewrapped {
        true => "everything is wrapped by it, and the version before is destroyed",
        false => "the server wraps the rest by it when it runs: `petsem operator rotations`",
    };
    format!(
        "{}\nthe keyring has version {}; {rest}\nwho had the seal and a copy of the store has the keys of apps, too: \
         `petsem operator rotate-app --rewrite` gives each new ones",
        root_rotated(&done.root),
        done.keyring_version
    )
}

/// `petsem operator status`: what matters at four in the morning first.
pub(crate) fn node_status(status: &NodeStatus) -> String {
    let mut lines = Vec::new();
    match &status.server {
        None => lines.push("server      none runs on this node".to_owned()),
        Some(server) if server.sealed => {
            lines.push(format!("server      SEALED since {}, version {}", server.since, server.version));
            lines.extend(server.why_sealed.iter().map(|why| format!("            {}", indented(why))));
        }
        Some(server) => {
            let by = server.opened_by.as_deref().unwrap_or("an unknown seal");
            lines.push(format!("server      open since {}, version {}", server.since, server.version));
            lines.push(format!("opened by   {by}"));
            if let Some(age) = server.feed_age_seconds {
                lines.push(format!("feed        read {age} s ago"));
            }
            if let (Some(written), Some(reserve)) = (server.audit_lines, server.audit_reserve_bytes) {
                lines.push(format!(
                    "audit       {written} lines since then, {} MiB in reserve",
                    reserve / (1024 * 1024)
                ));
            }
        }
    }
    if let Some(seal) = &status.would_open {
        lines.push(format!("would open  {seal}"));
    }
    lines.extend(store_status(&status.store));
    if status.problems.is_empty() {
        lines.push("problems    none".to_owned());
    }
    lines.extend(status.problems.iter().map(|problem| format!("problem     {}", indented(problem))));
    lines.join("\n")
}

fn store_status(store: &StoreStatus) -> Vec<String> {
    let checked = if store.checked { "" } else { "; as the database says, nothing of it is checked yet" };
    let mut lines = vec![
        format!("store       {}, epoch {}{checked}", store.store, store.epoch),
        format!(
            "keys        root version {}, keyring version {} ({} in all)",
            store.root_version, store.keyring_version, store.keyring_versions
        ),
    ];
    lines.extend(store.seals.iter().map(|seal| {
        let verified = match &seal.verified_at {
            Some(at) => format!("opened {at}"),
            None => "NEVER opened".to_owned(),
        };
        let short = seal.id.get(..8).unwrap_or(&seal.id);
        format!("seal        {short}  {}  {}  {verified}", seal.kind, seal.description)
    }));
    lines
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n            ")
}

pub(crate) fn store_verified(report: &StoreReport) -> String {
    let mut lines = report.faults.clone();
    lines.extend(report.behind.iter().map(|app| match app.store_version {
        Some(version) => format!(
            "the app {} is at version {version}, and the audit log has seen {}: an older one was put back",
            app.app, app.audit_version
        ),
        None => format!(
            "the app {} is missing, and the audit log has seen its version {}",
            app.app, app.audit_version
        ),
    }));
    let audit = match report.audit_lines {
        Some(count) => format!("{count} audit lines"),
        None => "no audit log of this node".to_owned(),
    };
    lines.push(format!(
        "looked at {} rows, {} apps, {} control changes, {audit}",
        report.rows, report.apps, report.changes
    ));
    lines.join("\n")
}

pub(crate) fn store_not_good(report: &StoreReport) -> Failure {
    Failure::new(
        Exit::Refused,
        format!(
            "the store is not what was written: {} faults, {} apps behind the audit log",
            report.fault_count,
            report.behind.len()
        ),
        "put the newer database back, or restore a backup; look for who can write to the database",
    )
}

impl From<PassphraseError> for Failure {
    fn from(error: PassphraseError) -> Self {
        two_lines(Exit::Usage, &error.to_string())
    }
}
