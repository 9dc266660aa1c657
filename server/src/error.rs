//! Why a server, or a command on the node, does not start, does not go on, or refuses its configuration. Requests never
//! return these errors.
//!
//! The texts are beside their variants: the fact on the first line, what to do about it on the next.

use std::path::{Path, PathBuf};

use petsem_audit as audit;
use petsem_engine::{Failure, UnlockError};
use petsem_outbound::OutboundSetupError;
use petsem_seals::{SealSettingsError, input_from_people};

/// Why a server does not start. Requests never return it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(petsem_store::OpenError),
    /// The store holds no installation.
    #[error(
        "the store in {directory} is empty: there is no installation to serve\ncreate one with `petsem operator init`, \
         or correct data_directory in the configuration; if one was here and its disk was lost, put its copy back first \
         (docs/copies.md)"
    )]
    Empty {
        /// The data directory.
        directory: PathBuf,
    },
    /// A server runs, but its database was moved or removed.
    #[error(
        "a server runs on {directory}, but its database is no longer there: it was moved or removed; nothing was \
         changed\nrestore petsem.db and the files next to it while that server still runs: what it writes is lost when \
         it stops"
    )]
    Gone {
        /// The data directory.
        directory: PathBuf,
    },
    /// The store already holds an installation.
    #[error(
        "the store in {directory} already holds an installation; nothing was changed\nif its first token was lost, \
         `petsem operator recover` makes another one; for a new installation configure another data_directory"
    )]
    Installed {
        /// The data directory.
        directory: PathBuf,
    },
    /// No seal opens the store.
    #[error("{}", sealed(tried, people))]
    Sealed {
        /// The error of each seal that was tried.
        tried: Vec<String>,
        /// The inputs from people that can open the store, one for each seal that needs them.
        people: Vec<String>,
    },
    /// The seal's key file.
    #[error(transparent)]
    Seal(Box<dyn std::error::Error + Send + Sync>),
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(audit::AuditOpenError),
    /// The node's id in the data directory cannot be read or written.
    #[error(
        "the node's id in {path} cannot be used: {source}\nmake the user that runs petsem the owner of the directory, \
         with mode 0700"
    )]
    Node {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store is older than the state that this node's audit log recorded, or is another store.
    #[error(
        "integrity: the store lacks {what}, which this node's audit log recorded: an older copy was restored, or it is \
         another store\nrevocations may be missing, so it is not served; put the newer database back; if it is lost, \
         `petsem operator accept-rollback` shows what this copy lacks, asks, takes away again what was revoked since, and \
         ends all tokens (docs/copies.md)"
    )]
    RolledBack {
        /// What the store lacks.
        what: String,
    },
    /// The settings for calls to third parties cannot be used.
    #[error("{0}\ncorrect outgoing.ca_file in the configuration")]
    Outgoing(#[source] OutboundSetupError),
    /// The store was created by `petsem dev`: anyone with the development key can read everything.
    #[error(
        "this store was created by `petsem dev`, which keeps its issuer's key in a file; `petsem server` does not serve \
         it\ncreate a separate installation with `petsem operator init`"
    )]
    Development,
    /// Stored data differs from what was written, or cannot be read; or the request was refused.
    #[error("{0}")]
    Refused(String),
}

fn sealed(tried: &[String], people: &[String]) -> String {
    let fact = if tried.is_empty() {
        "the store is sealed, and the configuration has no seal that opens without a person".to_owned()
    } else {
        format!("none of the tried seals opens the store:\n{}", tried.join("\n"))
    };
    let hint = if !people.is_empty() {
        format!(
            "provide {} (--passphrase-file, --share-file), or configure a seal of this store that opens without a \
             person under [[seal]]",
            people.join(", or ")
        )
    } else if tried.is_empty() {
        "configure the seal that the store was created with under [[seal]]".to_owned()
    } else {
        "correct that and try again, or configure another seal of this store under [[seal]]".to_owned()
    };
    format!("{fact}\n{hint}")
}

impl StartError {
    /// Why the store in this directory was not unlocked.
    pub(crate) fn of_unlock(error: UnlockError, data_directory: &Path) -> Self {
        match error {
            UnlockError::Sealed { tried, wraps } => {
                let people = wraps.iter().filter_map(|wrap| input_from_people(&wrap.kind, &wrap.wrapped));
                Self::Sealed { tried, people: people.collect() }
            }
            UnlockError::Seal(source) => Self::Seal(source),
            UnlockError::NoStoreRow => Self::Refused(format!(
                "integrity: the store in {} has rows, but its own row is missing: it was removed, or the file is \
                 damaged\nrestore the store from a backup; do not create a new one in its place",
                data_directory.display()
            )),
            error => Self::Refused(error.to_string()),
        }
    }

    /// A refusal with the text that an API client would get.
    pub(crate) fn refusal(failure: Failure) -> Self {
        Self::Refused(failure.external().to_owned())
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.operator_text().to_owned())
    }
}

impl From<petsem_store::ReadError> for StartError {
    fn from(error: petsem_store::ReadError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Why a server ended, or did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It did not start.
    #[error(transparent)]
    Start(StartError),
    /// A listener cannot be opened.
    #[error("{}", not_listening(address, source))]
    Listen {
        /// Its address, as configured.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The system does not allow as many open files as the configured connections need.
    #[error(
        "the system lets this process open {allowed} files, and limits.connections needs {needed}\nraise the limit \
         (LimitNOFILE= of a systemd unit, or `ulimit -n`), or lower limits.connections in the configuration"
    )]
    Files {
        /// How many the system allows.
        allowed: u64,
        /// How many are needed.
        needed: u64,
    },
    /// The system starts no more threads.
    #[error(
        "the server's threads cannot be started: {0}\nraise the limit (TasksMax= of a systemd unit, or `ulimit -u`)"
    )]
    Threads(std::io::Error),
    /// All written data is safe, but closing the server failed.
    #[error("the server did not stop cleanly: {0}")]
    Stop(String),
}

fn not_listening(address: &str, source: &std::io::Error) -> String {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        return format!(
            "cannot listen on {address}: the address is already in use\nstop the other process, or choose another \
             listener.address in the configuration (`petsem dev`: --listen)"
        );
    }
    format!("cannot listen on {address}: {source}\ncorrect listener.address in the configuration")
}

/// Why a configuration is refused: the key, its value, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not valid TOML, or has an unknown key; the parser's message names line and key.
    #[error("invalid configuration: {0}\n`petsem config reference` prints all keys")]
    Syntax(String),
    /// The settings of a seal are invalid.
    #[error("the {kind} seal of the configuration: {source}")]
    Seal {
        /// Its kind.
        kind: &'static str,
        /// The error of that kind of seal.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A value is invalid.
    #[error("the configuration key `{key}` is {value:?}: {remedy}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value, as written.
        value: String,
        /// What to write instead.
        remedy: &'static str,
    },
}

impl From<SealSettingsError> for SettingsError {
    fn from(error: SealSettingsError) -> Self {
        match error {
            SealSettingsError::Value { key, value, remedy } => Self::Value { key, value, remedy },
            SealSettingsError::Seal { kind, source } => Self::Seal { kind, source },
            other => Self::Syntax(other.to_string()),
        }
    }
}
