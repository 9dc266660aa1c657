//! Why a call yielded no answer. Origins stand here, never paths, bodies or headers.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a call yielded no answer. `origin` is `SCHEME://HOST[:PORT]`.
#[derive(Debug)]
#[non_exhaustive]
pub enum AwsCallError {
    /// The thread or the runtime of the call could not be made.
    Thread {
        /// Why.
        source: io::Error,
    },
    /// The system names no CA.
    NoSystemCas,
    /// TLS cannot be set up.
    Setup(rustls::Error),
    /// The host's name has no address.
    Unresolved {
        /// Who was called.
        origin: String,
        /// Why.
        source: io::Error,
    },
    /// No connection.
    Unreachable {
        /// Who was called.
        origin: String,
        /// Why the last address failed.
        source: io::Error,
    },
    /// The handshake failed: a certificate that is not trusted, or for another name.
    Tls {
        /// Who was called.
        origin: String,
        /// Why.
        source: io::Error,
    },
    /// The request cannot be written.
    Unsendable {
        /// Who was to be called.
        origin: String,
    },
    /// The connection broke, or what came is no HTTP.
    Broken {
        /// Who was called.
        origin: String,
        /// Why.
        source: hyper::Error,
    },
    /// The answer sends elsewhere.
    Redirect {
        /// Who was called.
        origin: String,
        /// The HTTP status.
        status: u16,
    },
    /// The body is longer than its limit.
    TooLarge {
        /// Who was called.
        origin: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// It took too long.
    TimedOut {
        /// Who was called.
        origin: String,
        /// The longest that was waited.
        within: Duration,
    },
}

impl fmt::Display for AwsCallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread { source: _ } => f.write_str(
                "there is no thread for the call; see what limits the process's threads and files",
            ),
            Self::NoSystemCas => {
                f.write_str("the system has no CA certificates; install them (Debian: ca-certificates)")
            }
            Self::Setup(_) => f.write_str("TLS cannot be set up; report this as a defect of petsem"),
            Self::Unresolved { origin, source: _ } => {
                write!(f, "the name of {origin} has no address; check the region or endpoint, and DNS")
            }
            Self::Unreachable { origin, source } => {
                write!(f, "{origin} cannot be reached ({source}); check the network and what filters it")
            }
            Self::Tls { origin, source: _ } => write!(
                f,
                "{origin} has no certificate that this system trusts; check the endpoint and the system's CAs"
            ),
            Self::Unsendable { origin } => {
                write!(f, "the request to {origin} cannot be written; check the settings and credentials")
            }
            Self::Broken { origin, source: _ } => {
                write!(f, "{origin} broke off, or speaks no HTTP; check the endpoint, then try again")
            }
            Self::Redirect { origin, status } => {
                write!(f, "{origin} answers HTTP {status} and sends elsewhere; give the final endpoint")
            }
            Self::TooLarge { origin, limit } => {
                write!(f, "{origin} answers more than {limit} bytes; check the endpoint")
            }
            Self::TimedOut { origin, within } => write!(
                f,
                "{origin} did not answer within {} s; check the network and what filters it",
                within.as_secs()
            ),
        }
    }
}

impl Error for AwsCallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Thread { source }
            | Self::Unresolved { source, .. }
            | Self::Unreachable { source, .. }
            | Self::Tls { source, .. } => Some(source),
            Self::Setup(source) => Some(source),
            Self::Broken { source, .. } => Some(source),
            Self::NoSystemCas
            | Self::Unsendable { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::TimedOut { .. } => None,
        }
    }
}
