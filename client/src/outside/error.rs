//! Why a call to a third party yielded nothing. Origins stand here, never paths, bodies or headers.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why third parties cannot be called at all with these settings.
#[derive(Debug)]
#[non_exhaustive]
pub enum OutsideSetupError {
    /// The CA file cannot be read, or is no PEM.
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate in the CA file cannot be trusted as a CA.
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The CA file holds no certificate.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    Tls(rustls::Error),
}

impl fmt::Display for OutsideSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile { path, source } => {
                write!(f, "the CA file {} cannot be read: {source}; give a readable PEM file", path.display())
            }
            Self::Certificate { path, source } => write!(
                f,
                "a certificate in the CA file {} cannot be used: {source}; leave it out or replace it",
                path.display()
            ),
            Self::NoCertificate { path } => {
                write!(f, "the CA file {} holds no certificate; give the CA's in PEM", path.display())
            }
            Self::Tls(source) => write!(f, "TLS cannot be set up: {source}"),
        }
    }
}

impl std::error::Error for OutsideSetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CaFile { source, .. } => Some(source),
            Self::Certificate { source, .. } | Self::Tls(source) => Some(source),
            Self::NoCertificate { .. } => None,
        }
    }
}

/// Why a call yielded no answer that may be looked at. `origin` is `https://HOST[:PORT]`.
#[derive(Debug)]
#[non_exhaustive]
pub enum OutsideError {
    /// The system names no CA, and the settings name no file.
    NoSystemCas,
    /// TLS cannot be set up.
    Setup(rustls::Error),
    /// The host is nothing that a certificate can be for.
    NoServerName {
        /// Who was called.
        origin: String,
    },
    /// The host's name has no address.
    Unresolved {
        /// Who was called.
        origin: String,
        /// Why.
        source: io::Error,
    },
    /// One of the host's addresses is not of the public internet. Nothing was connected to.
    PrivateAddress {
        /// Who was called.
        origin: String,
        /// The address.
        address: IpAddr,
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
    /// The request cannot be written: a header holds what no header may.
    Unsendable {
        /// Who was called.
        origin: String,
    },
    /// The exchange broke off, or the answer is no HTTP.
    Broken {
        /// Who was called.
        origin: String,
        /// Why.
        source: hyper::Error,
    },
    /// The answer sends elsewhere, which is not followed.
    Redirect {
        /// Who was called.
        origin: String,
        /// The HTTP status.
        status: u16,
    },
    /// The body is over its limit.
    TooLarge {
        /// Who was called.
        origin: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer did not come in time.
    TimedOut {
        /// Who was called.
        origin: String,
        /// The time there was.
        within: Duration,
    },
}

impl fmt::Display for OutsideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSystemCas => f.write_str(
                "this system names no CA to trust; install its CA certificates, or name a file as outgoing.ca_file",
            ),
            Self::Setup(source) => write!(f, "TLS cannot be set up: {source}"),
            Self::NoServerName { origin } => {
                write!(f, "{origin} has a host that no certificate can be for; correct the URL")
            }
            Self::Unresolved { origin, source } => {
                write!(f, "the host of {origin} has no address: {source}; check its name and the resolver")
            }
            Self::PrivateAddress { origin, address } => write!(
                f,
                "{origin} is at {address}, which is not of the public internet; if it is meant, list the host in \
                 outgoing.private_hosts"
            ),
            Self::Unreachable { origin, source } => {
                write!(f, "{origin} cannot be reached: {source}; check that it runs and that nothing lies between")
            }
            Self::Tls { origin, source } => write!(
                f,
                "{origin} is not trusted: {source}; a CA that the system does not know is named as outgoing.ca_file"
            ),
            Self::Unsendable { origin } => {
                write!(f, "the request to {origin} cannot be written; a credential holds what no header may")
            }
            Self::Broken { origin, source } => {
                write!(f, "the exchange with {origin} broke off: {source}; try again")
            }
            Self::Redirect { origin, status } => write!(
                f,
                "{origin} answers HTTP {status} and sends elsewhere, which is not followed; register the final URL"
            ),
            Self::TooLarge { origin, limit } => {
                write!(f, "{origin} answers more than {limit} bytes; it is not what was asked for")
            }
            Self::TimedOut { origin, within } => write!(
                f,
                "{origin} did not answer within {} seconds; try again, or raise outgoing.seconds",
                within.as_secs()
            ),
        }
    }
}

impl std::error::Error for OutsideError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Setup(source) => Some(source),
            Self::Unresolved { source, .. } | Self::Unreachable { source, .. } | Self::Tls { source, .. } => {
                Some(source)
            }
            Self::Broken { source, .. } => Some(source),
            Self::NoSystemCas
            | Self::NoServerName { .. }
            | Self::PrivateAddress { .. }
            | Self::Unsendable { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::TimedOut { .. } => None,
        }
    }
}
