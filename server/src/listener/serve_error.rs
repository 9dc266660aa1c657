//! Why a server ended.

use std::fmt;

use crate::node::start_error::StartError;

/// Why a server ended, or did not begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// It did not start.
    Start(StartError),
    /// A listener cannot be opened.
    Listen {
        /// Which one, as configured.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// What was written is safe, but closing it did not end cleanly.
    Stop(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(source) => source.fmt(f),
            Self::Listen { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: something listens there already\nstop it, or choose another \
                 listener.address in the configuration (`petsem dev`: --listen)"
            ),
            Self::Listen { address, source } => {
                write!(
                    f,
                    "cannot listen on {address}: {source}\ncorrect listener.address in the configuration"
                )
            }
            Self::Stop(text) => write!(f, "the server stopped, but not cleanly: {text}"),
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
