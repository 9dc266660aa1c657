//! Everything that this crate says: a URL that is refused, settings that are refused, a call without an answer.
//!
//! Texts hold origins, never paths, headers or bodies. An [`OutboundError`] is the fact alone; the caller knows
//! its settings and adds the hint.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why a text is not the URL of a third party. The text is not repeated: it may contain credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OutboundUrlError {
    /// Over 2048 bytes.
    #[error("the URL is longer than 2048 bytes; give a shorter one")]
    TooLong,
    /// No absolute URL with a host, or a URL with a fragment.
    #[error("the URL is not valid; give https://HOST[:PORT]/PATH, without a fragment")]
    Malformed,
    /// Not `https://`.
    #[error("the URL is not https; third parties are called only over TLS")]
    NotHttps,
    /// Plain `http://`, and the host is not one of those that may be called without TLS.
    #[error("the host of the URL may not be called without TLS; give https://HOST[:PORT]/PATH")]
    PlainHost,
    /// A user name or a password precedes the host.
    #[error("the URL contains a user or password; remove it")]
    Credentials,
}

/// Why no third party can be called with these settings.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutboundSetupError {
    /// The CA file cannot be read, or is not PEM.
    #[error("the CA file {} cannot be read: {source}; give a readable PEM file", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate in the CA file cannot be a trust anchor.
    #[error("a certificate in the CA file {} cannot be used: {source}; remove or replace it", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// The CA file has no certificate.
    #[error("the CA file {} has no certificate; give the CA's certificate in PEM", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}; report this as a defect of petsem")]
    Tls(#[source] rustls::Error),
}

/// Why a call has no usable answer. `origin` is `SCHEME://HOST[:PORT]`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// The system has no CA certificates, and the settings name no file.
    #[error("this system has no CA certificates")]
    NoSystemCas,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
    /// No certificate can be issued for the host.
    #[error("no certificate can be issued for the host of {origin}")]
    NoServerName {
        /// The origin.
        origin: String,
    },
    /// The lookup of the host found no address.
    #[error("the host of {origin} has no address: {source}")]
    Unresolved {
        /// The origin.
        origin: String,
        /// The cause.
        source: io::Error,
    },
    /// One of the host's addresses is not public, and the host is not listed as private.
    #[error("{origin} is at {address}, which is not a public address")]
    PrivateAddress {
        /// The origin.
        origin: String,
        /// The address.
        address: IpAddr,
    },
    /// One of the host's addresses may not be called without TLS.
    #[error("{origin} is at {address}, which may not be called without TLS")]
    PlainAddress {
        /// The origin.
        origin: String,
        /// The address.
        address: IpAddr,
    },
    /// No connection.
    #[error("{origin} cannot be reached ({source})")]
    Unreachable {
        /// The origin.
        origin: String,
        /// Why the last address failed.
        source: io::Error,
    },
    /// No connection through the proxy.
    #[error("{origin} cannot be reached through the proxy {proxy} ({source})")]
    Proxy {
        /// The origin.
        origin: String,
        /// The proxy.
        proxy: String,
        /// Why the last address failed.
        source: io::Error,
    },
    /// The file with the token for this third party cannot be read, or has none.
    #[error("the token file {} for {origin} cannot be used: {source}", path.display())]
    TokenFile {
        /// The origin.
        origin: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The TLS handshake failed, for example because the certificate is not trusted or is for another name.
    #[error("the TLS handshake with {origin} failed ({source})")]
    Tls {
        /// The origin.
        origin: String,
        /// The cause.
        source: io::Error,
    },
    /// The request cannot be written as HTTP.
    #[error("the request to {origin} cannot be written as HTTP")]
    Unsendable {
        /// The origin.
        origin: String,
    },
    /// The connection broke before the answer was complete, or the answer is not HTTP.
    #[error("{origin} gave no complete HTTP response ({source})")]
    Broken {
        /// The origin.
        origin: String,
        /// The cause.
        source: hyper::Error,
    },
    /// The answer is a redirect.
    #[error("{origin} answered HTTP {status}, a redirect, which is not followed")]
    Redirect {
        /// The origin.
        origin: String,
        /// The HTTP status.
        status: u16,
    },
    /// The body is longer than its limit.
    #[error("{origin} answers more than {limit} bytes")]
    TooLarge {
        /// The origin.
        origin: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer was not complete within the time limit.
    #[error("{origin} did not answer within {} s", within.as_secs())]
    TimedOut {
        /// The origin.
        origin: String,
        /// The time limit.
        within: Duration,
    },
}

impl OutboundError {
    /// Whether a part of the request may have been sent, so that the third party may have carried it out.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Redirect { .. } | Self::TooLarge { .. } | Self::TimedOut { .. } => {
                true
            }
            Self::NoSystemCas
            | Self::Setup(_)
            | Self::NoServerName { .. }
            | Self::Unresolved { .. }
            | Self::PrivateAddress { .. }
            | Self::PlainAddress { .. }
            | Self::Unreachable { .. }
            | Self::Proxy { .. }
            | Self::TokenFile { .. }
            | Self::Tls { .. }
            | Self::Unsendable { .. } => false,
        }
    }
}
