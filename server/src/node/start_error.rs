//! Why a server, or a command on the node, does not start.

use std::fmt;
use std::path::{Path, PathBuf};

use petsem_audit as audit;
use petsem_engine::{Failure, UnlockError};
use petsem_outbound::OutboundSetupError;
use petsem_seals::input_from_people;

/// Why a server does not start. Never seen by a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened.
    Store(petsem_store::OpenError),
    /// The store has no installation in it.
    Empty {
        /// The data directory.
        directory: PathBuf,
    },
    /// A server runs, and its database is not where it opened it.
    Gone {
        /// The data directory.
        directory: PathBuf,
    },
    /// The store has an installation in it already.
    Installed {
        /// The data directory.
        directory: PathBuf,
    },
    /// No seal opens the store.
    Sealed {
        /// What each that was tried said.
        tried: Vec<String>,
        /// What people can give, one line for each seal that needs them.
        people: Vec<String>,
    },
    /// The seal's key file.
    Seal(Box<dyn std::error::Error + Send + Sync>),
    /// The audit log cannot be opened.
    Audit(audit::AuditOpenError),
    /// The node's id beside the audit log cannot be read or written.
    Node {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store is older than what this node's audit log saw of it, or another one.
    RolledBack {
        /// What it lacks.
        what: String,
    },
    /// Third parties cannot be called as configured.
    Outgoing(OutboundSetupError),
    /// The store was made by `petsem dev`: whoever has the development key reads everything.
    Development,
    /// What is stored is not what was written, or cannot be read.
    Refused(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(source) => source.fmt(f),
            Self::Empty { directory } => write!(
                f,
                "the store in {} is empty: there is no installation to serve\nmake one with `petsem operator init`, or \
                 correct data_directory in the configuration",
                directory.display()
            ),
            Self::Gone { directory } => write!(
                f,
                "a server runs on {}, and its database is no longer there: it was moved or removed; nothing was \
                 changed\nput petsem.db and what lies beside it back while that server still runs: what it writes is \
                 lost when it ends",
                directory.display()
            ),
            Self::Installed { directory } => write!(
                f,
                "the store in {} holds an installation already; nothing was changed\nfor a new one name another \
                 data_directory",
                directory.display()
            ),
            Self::Sealed { tried, people } => write_sealed(f, tried, people),
            Self::Seal(source) => source.fmt(f),
            Self::Audit(source) => source.fmt(f),
            Self::Node { path, source } => {
                write!(f, "the node's id in {} cannot be used: {source}\nlet the user that runs petsem own the directory, with mode 0700", path.display())
            }
            Self::RolledBack { what } => write!(
                f,
                "integrity: the store lacks {what}, which this node's audit log has seen: an older copy of it was \
                 put back, or another store\nrevocations may be missing in it, so it is not served; put the newer \
                 database back"
            ),
            Self::Outgoing(source) => write!(f, "{source}\nthat is outgoing.ca_file in the configuration"),
            Self::Development => f.write_str(
                "this store was made by `petsem dev`, whose issuer key lies in a file; `petsem server` does not serve it\n\
                 make an installation of its own with `petsem operator init`",
            ),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(source) => source.source(),
            Self::Audit(source) => source.source(),
            Self::Seal(source) => source.source(),
            Self::Node { source, .. } => Some(source),
            Self::Outgoing(source) => Some(source),
            Self::Empty { .. }
            | Self::Gone { .. }
            | Self::Installed { .. }
            | Self::Sealed { .. }
            | Self::RolledBack { .. }
            | Self::Development
            | Self::Refused(_) => None,
        }
    }
}

fn write_sealed(f: &mut fmt::Formatter<'_>, tried: &[String], people: &[String]) -> fmt::Result {
    if tried.is_empty() {
        f.write_str(
            "the store is sealed, and the configuration names no seal that opens without a person\n",
        )?;
    } else {
        writeln!(f, "no seal that was tried opens the store:\n{}", tried.join("\n"))?;
    }
    if !people.is_empty() {
        let people = people.join(", or ");
        write!(
            f,
            "give {people} (--passphrase-file, --share-file), or a seal of this store that opens without a person, \
             under [[seal]]"
        )
    } else if tried.is_empty() {
        f.write_str("give the seal that the store was made with, under [[seal]]")
    } else {
        f.write_str("put that right and try again, or give another seal of this store, under [[seal]]")
    }
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
                "integrity: the store in {} has rows, and its own row is not among them: it was removed, or the file \
                 is damaged\nrestore the store from a backup; do not make a new one in its place",
                data_directory.display()
            )),
            error => Self::Refused(error.to_string()),
        }
    }

    /// A refusal that the person at the node reads as a caller would.
    pub(crate) fn refusal(failure: Failure) -> Self {
        Self::Refused(failure.external().to_owned())
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.internal_text().unwrap_or(failure.external()).to_owned())
    }
}

impl From<petsem_store::ReadError> for StartError {
    fn from(error: petsem_store::ReadError) -> Self {
        Self::Refused(error.to_string())
    }
}
