//! The problems that `petsem operator status` lists, each with the command to type.

use std::path::Path;

const MIB: u64 = 1024 * 1024;

pub(crate) const SERVER_SEALED: &str = "the server is sealed; unseal it with `petsem operator unseal`";
pub(crate) const NO_SERVER: &str = "no server runs on this node; start one with `petsem server`";
pub(crate) const NO_SEAL_OPENS: &str = "no configured seal opens the store, so a server would start sealed; configure the \
     seal that the store was created with under [[seal]]";
pub(crate) const ONE_SEAL: &str = "the store has only one seal: if it is lost, all data is lost; add another: \
     `petsem operator seal add passphrase` asks for one, or `petsem operator seal add shamir --threshold 2 --shares 3` makes \
     shares for three people";

pub(crate) fn data_disk_short(directory: &Path, free_bytes: u64) -> String {
    format!(
        "the disk of the data directory {} has only {} MiB left: when it is full, changes are refused with `store_full`, \
         while reads and boots go on; free space there, or give the directory a larger disk",
        directory.display(),
        free_bytes / MIB
    )
}

pub(crate) fn audit_disk_short(directory: &Path, free_bytes: u64) -> String {
    format!(
        "the disk of the audit log {} has only {} MiB left: when it is full, the log uses its reserve, and after that every \
         request and boot is refused with `audit_full`; free space there, or ship finished files away",
        directory.display(),
        free_bytes / MIB
    )
}

pub(crate) fn would_start_sealed(people: &[String]) -> String {
    format!("a server will start sealed; then run `petsem operator unseal` with {}", people.join(", or "))
}

/// A warning while a server is open, or after a seal was removed.
pub(crate) fn next_start_sealed(faults: &[String]) -> String {
    format!(
        "no seal of the configuration opens the store by itself now, so the next start will wait, sealed, for people: {}\nput \
         back what is missing, or give the configuration another [[seal]] that opens by itself, and add it to the store: \
         `petsem operator seal add key-file`",
        faults.join("; ")
    )
}

pub(crate) fn no_seal_of_kind(kind: &str) -> String {
    format!("the store has no seal of kind {kind}")
}

pub(crate) fn no_file(file: &Path) -> String {
    format!("there is no file {}", file.display())
}

pub(crate) fn seals_never_tried(descriptions: &[&str]) -> String {
    format!(
        "these seals have never opened the store: {}; try them with `petsem operator seal verify`",
        descriptions.join(", ")
    )
}
