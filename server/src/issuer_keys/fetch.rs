//! One fetch of an issuer's keys, over HTTPS, within limits.

use std::fmt;

use petsem_outbound::{OutboundClient, OutboundError, OutboundUrl, OutboundUrlError};
use petsem_policy::evaluate::{Jwks, JwksError, MAX_JWKS_BYTES};
use serde::Deserialize;

/// Longest discovery document, in bytes.
const MAX_DISCOVERY_BYTES: usize = 64 * 1024;
/// The status of an answer that counts.
const OK: u16 = 200;

/// Where an issuer publishes its keys.
pub(super) enum Source {
    /// A JWK set (RFC 7517 §5).
    Url(OutboundUrl),
    /// The discovery document that names the URL of the set (OpenID Connect Discovery 1.0, §3).
    Discovery(OutboundUrl),
}

/// The part of a discovery document that counts here.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    /// Fetches the keys. A set without usable keys is an answer, too: the issuer has withdrawn them.
    pub(super) async fn fetch(&self, issuer: &str, outside: &OutboundClient) -> Result<Jwks, FetchError> {
        match self {
            Self::Url(url) => keys_at(url, outside).await,
            Self::Discovery(url) => {
                let body = get(url, MAX_DISCOVERY_BYTES, outside).await?;
                let document: Document = serde_json::from_slice(&body)
                    .map_err(|_| FetchError::NoDocument { origin: url.origin() })?;
                // Exactly: one byte of difference is another issuer (§4.3).
                if document.issuer != issuer {
                    return Err(FetchError::OtherIssuer { origin: url.origin() });
                }
                let named = document.jwks_uri.parse();
                let named = named.map_err(|source| FetchError::KeysUrl { origin: url.origin(), source })?;
                keys_at(&named, outside).await
            }
        }
    }
}

async fn keys_at(url: &OutboundUrl, outside: &OutboundClient) -> Result<Jwks, FetchError> {
    let body = get(url, MAX_JWKS_BYTES, outside).await?;
    let text = std::str::from_utf8(&body).map_err(|_| FetchError::NoText { origin: url.origin() })?;
    Jwks::parse_published(text).map_err(|source| FetchError::Keys { origin: url.origin(), source })
}

async fn get(url: &OutboundUrl, limit: usize, outside: &OutboundClient) -> Result<Vec<u8>, FetchError> {
    let mut answer = outside.get(url, limit).await.map_err(FetchError::Outbound)?;
    if answer.status != OK {
        return Err(FetchError::Status { origin: url.origin(), status: answer.status });
    }
    // Public keys: nothing to wipe.
    Ok(std::mem::take(&mut *answer.body))
}

/// Why a fetch yielded no keys. Origins stand here, and nothing that the other side wrote.
#[derive(Debug)]
#[non_exhaustive]
pub(super) enum FetchError {
    /// No answer came that may be looked at.
    Outbound(OutboundError),
    /// Another status than 200.
    Status { origin: String, status: u16 },
    /// No JSON with `issuer` and `jwks_uri`.
    NoDocument { origin: String },
    /// The document is of another issuer.
    OtherIssuer { origin: String },
    /// `jwks_uri` is none that may be called.
    KeysUrl { origin: String, source: OutboundUrlError },
    /// The key set is not UTF-8.
    NoText { origin: String },
    /// The answer is no key set.
    Keys { origin: String, source: JwksError },
    /// The server stopped, or failed, in between.
    GivenUp,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outbound(source) => write!(f, "{source}; {}", hint(source)),
            Self::Status { origin, status } => {
                write!(f, "{origin} answers HTTP {status}; check the registered URL")
            }
            Self::NoDocument { origin } => write!(
                f,
                "{origin} answers no discovery document (JSON with issuer and jwks_uri); register jwks_url or keys instead"
            ),
            Self::OtherIssuer { origin } => write!(
                f,
                "the discovery document at {origin} is of another issuer; register exactly the iss that stands in it"
            ),
            Self::KeysUrl { origin, source } => {
                write!(f, "the jwks_uri of the discovery document at {origin} cannot be used: {source}")
            }
            Self::NoText { origin } => write!(f, "{origin} answers no text; check the registered URL"),
            Self::Keys { origin, source } => {
                write!(f, "{origin} answers no key set that can be used: {source}")
            }
            Self::GivenUp => f.write_str("the fetch was given up; it is tried again"),
        }
    }
}

/// What an operator does when an issuer gave no answer.
fn hint(error: &OutboundError) -> &'static str {
    match error {
        OutboundError::NoSystemCas => "install its CA certificates, or name a file as outgoing.ca_file",
        OutboundError::NoServerName { .. } | OutboundError::PlainAddress { .. } => "correct the URL",
        OutboundError::Unresolved { .. } => "check the host's name and the resolver",
        OutboundError::PrivateAddress { .. } => {
            "if this is intended, list the host in outgoing.private_hosts"
        }
        OutboundError::Unreachable { .. } => "check that it runs and what filters the network",
        OutboundError::Tls { .. } => {
            "if the system does not know its CA, name the CA's file as outgoing.ca_file"
        }
        OutboundError::Redirect { .. } => "register the final URL",
        OutboundError::TooLarge { .. } => "check the registered URL",
        OutboundError::TimedOut { .. } => "try again, or raise outgoing.seconds",
        _ => "try again",
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Outbound(source) => source.source(),
            Self::KeysUrl { source, .. } => Some(source),
            Self::Keys { source, .. } => Some(source),
            Self::Status { .. }
            | Self::NoDocument { .. }
            | Self::OtherIssuer { .. }
            | Self::NoText { .. }
            | Self::GivenUp => None,
        }
    }
}
