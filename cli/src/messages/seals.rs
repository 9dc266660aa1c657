//! Seals, and the state of a node and its store.

use std::path::Path;

use petsem_seals::{PassphraseError, ShareProgress};
use petsem_server::{
    AttemptStatus, Compromised, ReplacedKeys, ReplacementStep, RotatedRoot, SealInfo, StoreReport, TriedSeal,
    UnsealedServer,
};

use super::files::NO_TERMINAL;
use super::phrasing::{counted, file_name, plural, split_hint};
use crate::failure::{Exit, Failure};

pub(crate) const NEW_PASSPHRASE_PROMPT: &str = "New passphrase (not shown): ";
pub(crate) const REPEAT_PASSPHRASE_PROMPT: &str = "Repeat the passphrase: ";
pub(crate) const NEVER: &str = "never";

pub(crate) const OWN_SHARE_PROMPT: &str = "Your share (not shown; an empty line if you have none): ";
pub(crate) const GIVEN_SHARE_PROMPT: &str = "Your share (not shown): ";

/// An attempt: what it is for, who gave a share, what is missing, and how long it stays open.
pub(crate) fn attempt(attempt: &AttemptStatus) -> Vec<String> {
    let mut lines = vec![format!(
        "{} ({}) gathers shares: {}",
        attempt.command,
        attempt.by,
        attempt.needed.join(", or ")
    )];
    lines.extend(
        attempt
            .given
            .iter()
            .map(|given| format!("share {} was given at {} by {}", given.number, given.at, given.by)),
    );
    lines.push(match attempt.missing {
        0 => "no share is missing".to_owned(),
        missing => format!(
            "{missing} more {} missing; open until {}; the others run `petsem operator share` on this node",
            plural(usize::from(missing), "is", "are"),
            attempt.open_until
        ),
    });
    lines.extend(attempt.unlocked.iter().map(|refusal| {
        format!(
            "{refusal}: shares that wait may be swapped to disk; raise the limit of locked memory (ulimit -l) for that \
             command, or disable swap, before you give one"
        )
    }));
    lines
}

pub(crate) fn attempts(attempts: &[AttemptStatus]) -> String {
    if attempts.is_empty() {
        return "no command gathers shares on this node".to_owned();
    }
    let one = |status: &AttemptStatus| format!("attempt {}: {}", status.id, attempt(status).join("; "));
    attempts.iter().map(one).collect::<Vec<_>>().join("\n")
}

pub(crate) fn no_such_attempt(attempts: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        attempts.to_owned(),
        "start the command that needs the shares with --gather-shares; if there are several, name one with --attempt ID",
    )
}

pub(crate) fn share_given(attempt: &AttemptStatus) -> String {
    match attempt.missing {
        0 => "the share is given, and was the last one".to_owned(),
        missing => format!(
            "the share is given; {missing} more {} missing",
            plural(usize::from(missing), "is", "are")
        ),
    }
}

pub(crate) fn share_refused(fault: &str) -> Failure {
    Failure::new(Exit::Refused, fault.to_owned(), "give another share; nothing was changed")
}

pub(crate) fn share_of_another_refused(fault: &str) -> String {
    format!("a share was refused: {fault}")
}

pub(crate) fn passphrase_prompt(alone: bool) -> &'static str {
    if alone {
        "Passphrase (not shown): "
    } else {
        "Passphrase (not shown; an empty line continues with the shares): "
    }
}

pub(crate) fn shares_requested(set: &str) -> String {
    format!("{set} open the store; an empty line cancels")
}

pub(crate) fn no_shares_needed(seal: &str) -> String {
    format!("no shares are needed: {seal} opens the store by itself")
}

pub(crate) const PASSPHRASE_OR_NONE_PROMPT: &str =
    "Passphrase (not shown; an empty line leaves this seal out): ";

pub(crate) fn shares_or_none_requested(set: &str) -> String {
    format!("{set} are one seal; an empty line leaves it out")
}

pub(crate) fn share_prompt(progress: ShareProgress) -> String {
    format!("Share (not shown; {} of {} given): ", progress.given, progress.threshold)
}

pub(crate) fn share_file_name(number: usize) -> String {
    format!("share-{number}")
}

/// The one place that prints a share, for the person who creates it.
pub(crate) fn new_share(description: &str, text: &str) -> String {
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
    Failure::new(
        Exit::Usage,
        format!("{} is not UTF-8 text", file_name(path)),
        "give the passphrase or the shares as text",
    )
}

pub(crate) fn no_shares_directory(path: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is not a directory", path.display()),
        "create it first, private to you (mode 0700); nothing was changed",
    )
}

pub(crate) fn no_place_for_shares() -> Failure {
    Failure::new(
        Exit::Usage,
        "new shares are shown once, and standard output is not a terminal",
        "give --shares-directory DIRECTORY, or --print-shares to print them anyway; nothing was changed",
    )
}

pub(crate) const SEALING: &str =
    "sealing stops all requests and boots until the server is unsealed on its node";

pub(crate) fn sealing_unconfirmed() -> Failure {
    Failure::new(
        Exit::Refused,
        "the server accepted the request to seal itself, but does not report that it is sealed",
        "`petsem operator status` on its node shows its state; a server that cannot erase its keys exits",
    )
}

pub(crate) const SEALED: &str =
    "sealed: no key is in the server's memory; `petsem operator unseal` on its node unseals it";

pub(crate) fn unsealed(server: &UnsealedServer) -> String {
    let by = &server.by;
    match server.was_sealed {
        true => format!("unsealed by {by}"),
        false => format!("the server is already unsealed: {by} opened it; nothing was tried"),
    }
}

pub(crate) fn seal_added(seal: &SealInfo) -> String {
    let more = match &seal.verified_at {
        Some(_) => "",
        None => "\ntest it before you rely on it: `petsem operator seal verify`",
    };
    format!("seal {} ({}) now also opens the store{more}", seal.id, seal.description)
}

pub(crate) fn seal_removed(seal: &SealInfo) -> String {
    format!(
        "seal {} ({}) is removed\nwith this seal, an older backup or copy of the store can still be opened; if others may have the \
         seal, also rotate the root key and the keyring: `petsem operator rotate-root`, `rotate-keyring`",
        seal.id, seal.description
    )
}

pub(crate) fn seal_result(tried: &TriedSeal) -> String {
    match &tried.fault {
        None => "opens the store".to_owned(),
        Some(fault) if tried.tried => format!("FAILED: {fault}"),
        // Says that it was not tried.
        Some(fault) => fault.clone(),
    }
}

/// The failure of a verification, unless every seal opened the store.
pub(crate) fn seals_not_verified(tried: &[TriedSeal]) -> Option<Failure> {
    let count = |is_tried| tried.iter().filter(|one| one.fault.is_some() && one.tried == is_tried).count();
    let untried = |count| format!("{count} of the seals {} not tried", plural(count, "was", "were"));
    let (fact, hint) = match (count(true), count(false)) {
        (0, 0) => return None,
        (0, missing) => (
            format!("{}: {} may be good", untried(missing), plural(missing, "it", "they")),
            "repeat this at a terminal, or give what the table names; do not remove a seal because of this",
        ),
        (failed, missing) => {
            let untried = if missing == 0 { String::new() } else { format!("; {}", untried(missing)) };
            (
                format!("{failed} of the seals did not open the store{untried}"),
                "correct what the table says, and repeat this; if what opens a seal is lost, add another one: `petsem \
                 operator seal add passphrase`, or another kind",
            )
        }
    };
    Some(Failure::new(Exit::Refused, fact, hint))
}

pub(crate) fn root_rotated(rotated: &RotatedRoot) -> String {
    let dropped = match rotated.dropped.len() {
        0 => String::new(),
        count => format!("; {count} dropped"),
    };
    format!(
        "the root key is at version {}, wrapped by {} {}{dropped}\nearlier backups still open with the seals of their time",
        rotated.root_version,
        rotated.seals.len(),
        plural(rotated.seals.len(), "seal", "seals")
    )
}

pub(crate) const REMOVING_COMPROMISED: &str = "removing a compromised seal replaces every key that it could open, because others may know them: all tokens end, \
     those of operators, orgs and hosts, and all renewals of boots; keys of outside dischargers are deleted; the audit \
     log goes on in a new chain\nafterwards make new tokens with `petsem operator recover` and `petsem operator owner`, \
     and enroll the hosts again";

/// The removal of the only seal that opens by itself.
pub(crate) fn starts_sealed_without(seal: &SealInfo) -> String {
    format!(
        "{} is the only seal that opens the store by itself: without it, every start waits sealed, and boots nothing, \
         until a person runs `petsem operator unseal`",
        seal.description
    )
}

/// The progress of a step, on a terminal.
pub(crate) fn replacement_bar(step: ReplacementStep, done: u64, total: u64) -> String {
    let what = match step {
        ReplacementStep::RowMacs => "rows with new MACs",
        ReplacementStep::SigningKeys => "signing keys",
        ReplacementStep::Rewraps => "re-wrapped rows",
        _ => "rows",
    };
    format!("{what}: {done} of {total}")
}

/// What is to be done after the keys of outside dischargers were deleted; `None` if there were none.
pub(super) fn ended_dischargers(replaced: &ReplacedKeys) -> Option<String> {
    let mut step = "register these outside dischargers again, each with a new key (`petsem discharger add`); the keys that \
                    they shared with petsem are deleted:"
        .to_owned();
    for ended in &replaced.dischargers {
        let org = match &ended.org {
            Some(org) => format!("of the org {org}"),
            None => "of all orgs".to_owned(),
        };
        step.push_str(&format!("\n   {} ({org})", ended.location));
    }
    (!replaced.dischargers.is_empty()).then_some(step)
}

/// A line about the rows that got no new MAC; empty if there are none.
pub(super) fn invalid_rows(count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!(
            "\n{} had no valid MAC before, and {} refused as before: `petsem operator verify` names the faults",
            counted(count, "row", "rows"),
            if count == 1 { "is" } else { "are" }
        ),
    }
}

pub(crate) fn compromised_removed(done: &Compromised) -> String {
    let Compromised { removed, seals, replaced, .. } = done;
    let dischargers = match ended_dischargers(replaced) {
        Some(step) => format!("\n6. {step}"),
        None => String::new(),
    };
    let invalid = invalid_rows(done.invalid_rows);
    let rest = match replaced.rewrapped {
        true => "it wraps everything, and the previous version is destroyed",
        false => "the server re-wraps the rest while it runs: `petsem operator rotations`",
    };
    format!(
        "seal {} ({}) is removed; the new root key is wrapped by {} {}\n\
         the keyring is at version {}; {rest}{invalid}\n\
         the audit log goes on in a new chain with new keys; the files of the chain before are in a folder of its \
         directory\n\
         all tokens have ended, because the keys that signed them are replaced. Next:\n\
         1. `petsem operator recover` makes an operator's token\n\
         2. `petsem operator owner` makes the token of each org's owner\n\
         3. start the server, and enroll every host again: `petsem host enroll`, then `petsem token create --kind host`\n\
         4. `petsem operator rotate-app --rewrite` for each app, then set new values: with the seal and a copy of the \
         store, others may have the keys of apps and the values\n\
         5. delete the key file, the device's key or the shares of the removed seal; `petsem operator seal add` makes a new \
         key file, but lets in the same device's key, or the passphrase of a file, again{dischargers}\n\
         earlier backups still open with the seals of their time",
        removed.id,
        removed.description,
        seals.len(),
        plural(seals.len(), "seal", "seals"),
        replaced.keyring_version
    )
}

pub(crate) fn store_verified(report: &StoreReport) -> String {
    let mut lines = report.faults.clone();
    lines.extend(report.behind.iter().map(|app| match app.store_version {
        Some(version) => format!(
            "the app {} is at version {version}, but the audit log has its version {}: an older state was put back",
            app.app, app.audit_version
        ),
        None => format!(
            "the app {} is missing, but the audit log has its version {}",
            app.app, app.audit_version
        ),
    }));
    lines.extend(report.audit_fault.clone());
    let audit = match (report.audit_lines, &report.audit_fault) {
        (Some(count), _) => counted(count, "audit line", "audit lines"),
        (None, Some(_)) => "not all of the audit log".to_owned(),
        (None, None) => "no audit log of this node".to_owned(),
    };
    lines.push(format!(
        "checked {}, {}, {}, {}, {}, {audit}",
        counted(report.rows, "row", "rows"),
        counted(report.apps, "app", "apps"),
        counted(report.values, "value", "values"),
        counted(report.secret_keys, "secret key", "secret keys"),
        counted(report.changes, "control change", "control changes"),
    ));
    if let Some(gone) = report.audit_first_line.and_then(super::node::lines_not_here) {
        lines.push(format!("of the audit log: {gone}"));
    }
    lines.push(match (report.is_good(), report.audit_lines) {
        (false, _) => not_verified(report),
        (true, Some(_)) => "the store is intact, and has everything that the audit log records".to_owned(),
        (true, None) => {
            "the store is intact; without an audit log nothing shows whether it is an older state".to_owned()
        }
    });
    lines.join("\n")
}

fn not_verified(report: &StoreReport) -> String {
    match (report.has_good_store(), &report.audit_fault) {
        (true, _) => {
            "no fault was found in the store, but the audit log of this node is NOT intact, so nothing shows \
             whether the store is an older state"
                .to_owned()
        }
        (false, None) => not_intact(report),
        (false, Some(_)) => format!("{}; nor is the audit log of this node intact", not_intact(report)),
    }
}

fn not_intact(report: &StoreReport) -> String {
    let behind = u64::try_from(report.behind.len()).unwrap_or(u64::MAX);
    format!(
        "the store is NOT intact: {}, {} behind the audit log",
        counted(report.fault_count, "fault", "faults"),
        counted(behind, "app", "apps")
    )
}

pub(crate) fn store_not_intact(report: &StoreReport) -> Failure {
    let of_store = "put the newer database back; if it is lost, see `petsem operator accept-rollback`; find out who can write to the database";
    let of_log = "leave the database as it is, and put the audit log back: mount its disk, or copy its files from where they \
         were shipped; if they are lost, run `petsem operator audit accept-loss`";
    let hint = match (report.has_good_store(), &report.audit_fault) {
        (true, _) => of_log.to_owned(),
        (false, None) => of_store.to_owned(),
        (false, Some(_)) => format!("{of_store}; for the log, see `petsem operator audit verify`"),
    };
    Failure::new(Exit::Refused, not_verified(report), hint)
}

impl From<PassphraseError> for Failure {
    fn from(error: PassphraseError) -> Self {
        split_hint(Exit::Usage, &error.to_string())
    }
}
