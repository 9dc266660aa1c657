//! Opening the store with its seals, and changes of the list of seals: read by the operator on the node.

use std::fmt::Display;

pub(crate) const NO_CONFIGURED_SEAL: &str = "the configuration has no seal";
pub(crate) const NO_PASSPHRASE: &str = "a seal of the kind passphrase needs a passphrase, but none was given\nprovide it with \
     --new-passphrase-file FILE, or at the prompt on a terminal";
pub(crate) const LAST_SEAL: &str = "this is the store's last seal, and without it the store cannot be opened; nothing was changed\nadd another first: \
     `petsem operator seal add passphrase` asks for one, or `petsem operator seal add shamir --threshold 2 --shares 3` makes \
     shares for three people";
pub(crate) const LAST_SEAL_THAT_OPENED: &str = "no other seal has ever opened the store, so this one must stay; nothing was changed\ntry the \
     others first: `petsem operator seal verify`";

pub(crate) fn seals_interrupted(error: &dyn Display) -> String {
    format!("the attempt to open the seals was interrupted: {error}")
}

pub(crate) fn keyring_version_does_not_open(version: u32, error: &dyn Display) -> String {
    format!("version {version} of the keyring does not open: {error}; restore the store")
}

pub(crate) fn keyring_incomplete(error: &dyn Display) -> String {
    format!("the keyring is incomplete: {error}; restore the store")
}

pub(crate) fn row_mac_key_does_not_open(error: &dyn Display) -> String {
    format!("the row-MAC key does not open: {error}; restore the store")
}

pub(crate) fn row_mac_key_of_another_version() -> String {
    "the row-MAC key is not under the keyring's current version: the store's row was put back or changed; restore the \
     store, and check who can write to the database"
        .to_owned()
}

pub(crate) fn audit_keys_do_not_open(error: &dyn Display) -> String {
    format!("the node's audit keys do not open: {error}; restore the store")
}

pub(crate) fn no_seal_of_kind(kind: &str) -> String {
    format!("the store has no seal of kind {kind}")
}

pub(crate) fn too_many_seals(most: u32) -> String {
    format!("the store already has {most} seals; remove one first")
}

pub(crate) fn no_such_seal(which: &str) -> String {
    format!("the store has no seal {which}; nothing was changed\n`petsem operator seal list` shows all seals")
}

pub(crate) fn seal_ambiguous(which: &str) -> String {
    format!(
        "{which} matches more than one seal; nothing was changed\ngive more of the id that `petsem operator seal list` \
         shows"
    )
}

pub(crate) fn seal_not_available(id: &str, description: &str, why: &str) -> String {
    format!("{id} ({description}): {why}")
}

/// Each of `missing` is the id of a seal, and the seal with the reason for which it is not available.
pub(crate) fn seals_not_available(missing: &[(String, String)]) -> String {
    let seals: Vec<&str> = missing.iter().map(|(_, seal)| seal.as_str()).collect();
    let drop: Vec<_> = missing.iter().map(|(id, _)| format!("--drop-seal {id}")).collect();
    format!(
        "these seals are not available, and each must wrap the new root key; nothing was changed:\n{}\nprovide them, or \
         remove them from the store: `petsem operator rotate-root {}`",
        seals.join("\n"),
        drop.join(" ")
    )
}
