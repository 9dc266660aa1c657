//! Why a server, or a command on the node, does not start.

use std::fmt;
use std::path::{Path, PathBuf};

use petsem_audit as audit;
use petsem_engine::{Failure, UnlockError};
use petsem_outbound::OutboundSetupError;
use petsem_seals::input_from_people;

/// Why a server does not start. Requests never return it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened.
    Store(petsem_store::OpenError),
    /// The store holds no installation.
    Empty {
        /// The data directory.
        directory: PathBuf,
    },
    /// A server runs, but its database was moved or removed.
    Gone {
        /// The data directory.
        directory: PathBuf,
    },
    /// The store already holds an installation.
    Installed {
        /// The data directory.
        directory: PathBuf,
    },
    /// No seal opens the store.
    Sealed {
        /// The error of each seal that was tried.
        tried: Vec<String>,
        /// The inputs from people that can open the store, one for each seal that needs them.
        people: Vec<String>,
    },
    /// The seal's key file.
    Seal(Box<dyn std::error::Error + Send + Sync>),
    /// The audit log cannot be opened.
    Audit(audit::AuditOpenError),
    /// The node's id in the audit directory cannot be read or written.
    Node {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store is older than the state that this node's audit log recorded, or is another store.
    RolledBack {
        /// What the store lacks.
        what: String,
    },
    /// The settings for calls to third parties cannot be used.
    Outgoing(OutboundSetupError),
    /// The store was created by `petsem dev`: anyone with the development key can read everything.
    Development,
    /// Stored data differs from what was written, or cannot be read; or the request was refused.
    Refused(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(source) => source.fmt(f),
            Self::Empty { directory } => write!(
                f,
                "the store in {} is empty: there is no installation to serve\ncreate one with `petsem operator init`, \
                 or correct data_directory in the configuration",
                directory.display()
            ),
            Self::Gone { directory } => write!(
                f,
                "a server runs on {}, but its database is no longer there: it was moved or removed; nothing was \
                 changed\nrestore petsem.db and the files next to it while that server still runs: what it writes is \
                 lost when it stops",
                directory.display()
            ),
            Self::Installed { directory } => write!(
                f,
                "the store in {} already holds an installation; nothing was changed\nfor a new one configure another \
                 data_directory",
                directory.display()
            ),
            Self::Sealed { tried, people } => write_sealed(f, tried, people),
            Self::Seal(source) => source.fmt(f),
            Self::Audit(source) => source.fmt(f),
            Self::Node { path, source } => {
                write!(f, "the node's id in {} cannot be used: {source}\nmake the user that runs petsem the owner of the directory, with mode 0700", path.display())
            }
            Self::RolledBack { what } => write!(
                f,
                "integrity: the store lacks {what}, which this node's audit log recorded: an older copy was restored, \
                 or it is another store\nrevocations may be missing, so it is not served; restore the newer database"
            ),
            Self::Outgoing(source) => write!(f, "{source}\ncorrect outgoing.ca_file in the configuration"),
            Self::Development => f.write_str(
                "this store was created by `petsem dev`, which keeps its issuer's key in a file; `petsem server` does \
                 not serve it\ncreate a separate installation with `petsem operator init`",
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
        f.write_str("the store is sealed, and the configuration has no seal that opens without a person\n")?;
    } else {
        writeln!(f, "none of the tried seals opens the store:\n{}", tried.join("\n"))?;
    }
    if !people.is_empty() {
        let people = people.join(", or ");
        write!(
            f,
            "provide {people} (--passphrase-file, --share-file), or configure a seal of this store that opens without \
             a person under [[seal]]"
        )
    } else if tried.is_empty() {
        f.write_str("configure the seal that the store was created with under [[seal]]")
    } else {
        f.write_str("correct that and try again, or configure another seal of this store under [[seal]]")
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
        Self::Refused(failure.internal_text().unwrap_or(failure.external()).to_owned())
    }
}

impl From<petsem_store::ReadError> for StartError {
    fn from(error: petsem_store::ReadError) -> Self {
        Self::Refused(error.to_string())
    }
}
