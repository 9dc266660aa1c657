//! An older copy of the database that is accepted.

use petsem_server::{AcceptedRollback, LostChange, LostChanges, Repeated};

use super::phrasing::counted;
use super::seals::{ended_dischargers, invalid_rows};

/// What is lost, before a person accepts it.
pub(crate) fn accepting_rollback(lost: &LostChanges) -> String {
    format!(
        "{}\naccepting this copy loses them; rights that they took away are taken away again. All tokens end, those of \
         operators, orgs and hosts, all renewals of boots, and all JWTs that were issued before now; keys of outside \
         dischargers are deleted; the audit log goes on in a new chain",
        lost_changes(lost)
    )
}

fn lost_changes(lost: &LostChanges) -> String {
    let mut text = format!(
        "the database lacks these changes, which lines {} to {} of this node's audit log record:",
        lost.after_line.saturating_add(1),
        lost.last_line
    );
    for change in &lost.changes {
        text.push_str("\n  ");
        text.push_str(&lost_change(change));
    }
    if lost.changes.is_empty() {
        text.push_str(" none that concerns a person (the node's own bookkeeping)");
    }
    if !lost.policies.is_empty() {
        text.push_str(
            "\nthe policies of these apps end, because later ones, which are lost, allowed less; their owners set them \
             again (`petsem policy set`). Those of the copy:",
        );
    }
    for ending in &lost.policies {
        text.push_str(&format!("\n  {}: {}", ending.app, ending.policy));
    }
    text
}

fn lost_change(change: &LostChange) -> String {
    let LostChange { action, app, count, last_at, version, store_version, names, details } = change;
    let mut text = action.clone();
    if let Some(app) = app {
        text.push_str(&format!(" of {app}"));
    }
    text.push_str(&match count {
        1 => format!(", {last_at}"),
        count => format!(", {count} times, last {last_at}"),
    });
    match (version, store_version) {
        (Some(version), Some(copy)) => text.push_str(&format!("; version {version}, the copy has {copy}")),
        (Some(version), None) => text.push_str(&format!("; version {version}, the copy has no such app")),
        (None, _) => {}
    }
    if !names.is_empty() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        text.push_str(&format!("; {}", names.join(", ")));
    }
    if !details.is_empty() {
        text.push_str(&format!("; {}", details.join("; ")));
    }
    text
}

/// The result, and what is to be done next. What is lost and what was taken away again is printed before.
pub(crate) fn rollback_accepted(done: &AcceptedRollback, lost: Option<&LostChanges>) -> String {
    let AcceptedRollback { epoch, replaced, .. } = done;
    let mut text =
        format!("this copy is accepted; the store is in epoch {epoch}{}", invalid_rows(done.invalid_rows));
    if lost.is_none() {
        text.push_str(
            "\nan earlier run of this command, which was interrupted, has shown what is lost and what was taken away \
             again; the audit log's files of that time, in a folder of its directory, have it all",
        );
    }
    let mut steps = vec![
        "`petsem operator recover` makes an operator's token".to_owned(),
        "`petsem operator owner` makes the token of each org's owner".to_owned(),
        "start the server, and enroll every host again: `petsem host enroll`, then `petsem token create --kind host`"
            .to_owned(),
        "set again what is lost: secrets, policies, settings, issuers; and revoke again what was revoked in the last \
         moments before the loss, which may be in no log"
            .to_owned(),
    ];
    let of_seals = ["operator.seal.remove", "operator.rotate_root", "operator.seal.compromised"];
    if lost.iter().flat_map(|lost| &lost.changes).any(|change| of_seals.contains(&change.action.as_str())) {
        steps.push(
            "seals that were removed since the copy open it again (`petsem operator seal list`): remove them \
             (`petsem operator seal remove`, with --compromised if others may have one)"
                .to_owned(),
        );
    }
    steps.extend(ended_dischargers(replaced));
    text.push_str("\nall tokens have ended, because the keys that signed them are replaced. Next:");
    for (number, step) in (1..).zip(&steps) {
        text.push_str(&format!("\n{number}. {step}"));
    }
    text
}

/// What was taken away again.
pub(crate) fn taken_away_again(repeated: &Repeated) -> String {
    let Repeated {
        revocations,
        revoked_issuers,
        deleted_issuers,
        denied_requests,
        deleted_apps,
        deleted_orgs,
        ended_policies,
        reset_settings,
        deleted_secret_keys,
        guarded_orgs,
        continued_apps,
        faults,
    } = repeated;
    let counts = [
        (*revocations, "revocation is repeated", "revocations are repeated"),
        (*denied_requests, "request for an approval is denied", "requests for approvals are denied"),
        (
            *guarded_orgs,
            "org has the guard of its policies again",
            "orgs have the guard of their policies again",
        ),
        (*continued_apps, "app goes on after the lost versions", "apps go on after the lost versions"),
    ];
    let lists = [
        (revoked_issuers, "JWTs issued before now are refused, of"),
        (deleted_issuers, "issuers that had been changed or deleted are deleted"),
        (deleted_apps, "apps are deleted again"),
        (deleted_orgs, "orgs are deleted again"),
        (ended_policies, "policies have no rules now, of"),
        (reset_settings, "settings are reset (no renewals, no reserved names), of"),
        (deleted_secret_keys, "secret keys that had been deleted or replaced are deleted"),
        (faults, "not changed, because a row is not what was written; it stays refused"),
    ];
    let mut lines = vec!["the copy is accepted, and these rights are taken away again:".to_owned()];
    for (count, one, many) in counts.into_iter().filter(|(count, ..)| *count > 0) {
        lines.push(format!("  {}", counted(u64::try_from(count).unwrap_or(u64::MAX), one, many)));
    }
    for (names, what) in lists.into_iter().filter(|(names, _)| !names.is_empty()) {
        lines.push(format!("  {what}: {}", names.join(", ")));
    }
    if let [only] = &mut lines[..] {
        "the copy is accepted; the lost changes took no rights away".clone_into(only);
    }
    lines.join("\n")
}
