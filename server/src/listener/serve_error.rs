//! Why a server ended.

use std::fmt;

use crate::node::start_error::StartError;

/// Why a server ended, or did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// It did not start.
    Start(StartError),
    /// A listener cannot be opened.
    Listen {
        /// Its address, as configured.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// All written data is safe, but closing the server failed.
    Stop(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(source) => source.fmt(f),
            Self::Listen { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: the address is already in use\nstop the other process, or choose another \
                 listener.address in the configuration (`petsem dev`: --listen)"
            ),
            Self::Listen { address, source } => {
                write!(
                    f,
                    "cannot listen on {address}: {source}\ncorrect listener.address in the configuration"
                )
            }
            Self::Stop(text) => write!(f, "the server did not stop cleanly: {text}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(source) => source.source(),
            Self::Listen { source, .. } => Some(source),
            Self::Stop(_) => None,
        }
    }
}
