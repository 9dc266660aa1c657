//! One bounded fetch of an issuer's keys over HTTPS.

use std::fmt;

use petsem_policy::evaluate::{Jwks, JwksError, MAX_JWKS_BYTES};
use serde::Deserialize;

use crate::fetch::{Fetch, FetchRefusal};

/// Longest discovery document, in bytes.
const MAX_DISCOVERY_BYTES: usize = 64 * 1024;
/// The only status that is accepted.
const OK: u16 = 200;

/// Where an issuer publishes its keys.
pub(super) enum Source {
    /// A JWK set (RFC 7517 §5).
    Url(String),
    /// The discovery document that names the URL of the set (OpenID Connect Discovery 1.0, §3).
    Discovery(String),
}

/// The fields of a discovery document that are used.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    /// Fetches the keys. A set without usable keys is a valid answer: the issuer has withdrawn them.
    pub(super) async fn fetch(&self, issuer: &str, fetcher: &dyn Fetch) -> Result<Jwks, FetchError> {
        match self {
            Self::Url(url) => keys_at(url, fetcher).await,
            Self::Discovery(url) => {
                let body = get(url, MAX_DISCOVERY_BYTES, fetcher).await?;
                let document: Document = serde_json::from_slice(&body)
                    .map_err(|_| FetchError::NoDocument { origin: origin(url, fetcher) })?;
                // The comparison is exact (§4.3).
                if document.issuer != issuer {
                    return Err(FetchError::OtherIssuer { origin: origin(url, fetcher) });
                }
                let keys_url = document.jwks_uri;
                if let Err(source) = fetcher.origin(&keys_url) {
                    return Err(FetchError::KeysUrl { origin: origin(url, fetcher), source });
                }
                keys_at(&keys_url, fetcher).await
            }
        }
    }
}

async fn keys_at(url: &str, fetcher: &dyn Fetch) -> Result<Jwks, FetchError> {
    let body = get(url, MAX_JWKS_BYTES, fetcher).await?;
    let text = std::str::from_utf8(&body).map_err(|_| FetchError::NoText { origin: origin(url, fetcher) })?;
    Jwks::parse_published(text).map_err(|source| FetchError::Keys { origin: origin(url, fetcher), source })
}

async fn get(url: &str, limit: usize, fetcher: &dyn Fetch) -> Result<Vec<u8>, FetchError> {
    let answer = fetcher.get(url, limit).await.map_err(FetchError::Refused)?;
    if answer.status != OK {
        return Err(FetchError::Status { origin: origin(url, fetcher), status: answer.status });
    }
    Ok(answer.body)
}

/// The origin of a URL that was fetched, for messages.
fn origin(url: &str, fetcher: &dyn Fetch) -> String {
    fetcher.origin(url).unwrap_or_default()
}

/// Why a fetch yielded no keys. Contains origins, and no text from the remote server.
#[derive(Debug)]
#[non_exhaustive]
pub(super) enum FetchError {
    /// There was no acceptable answer.
    Refused(FetchRefusal),
    /// The status was not 200.
    Status { origin: String, status: u16 },
    /// The answer was not JSON with `issuer` and `jwks_uri`.
    NoDocument { origin: String },
    /// The document belongs to another issuer.
    OtherIssuer { origin: String },
    /// The `jwks_uri` may not be fetched.
    KeysUrl { origin: String, source: FetchRefusal },
    /// The key set is not UTF-8.
    NoText { origin: String },
    /// The answer is not a usable key set.
    Keys { origin: String, source: JwksError },
    /// The fetch was aborted.
    GivenUp,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(source) => source.fmt(f),
            Self::Status { origin, status } => {
                write!(f, "{origin} answered HTTP {status}; check the registered URL")
            }
            Self::NoDocument { origin } => write!(
                f,
                "the answer of {origin} is not a discovery document (JSON with issuer and jwks_uri); register jwks_url or keys instead"
            ),
            Self::OtherIssuer { origin } => write!(
                f,
                "the discovery document at {origin} names another issuer; register exactly the issuer that it names"
            ),
            Self::KeysUrl { origin, source } => {
                write!(f, "the jwks_uri of the discovery document at {origin} cannot be used: {source}")
            }
            Self::NoText { origin } => {
                write!(f, "the answer of {origin} is not UTF-8 text; check the registered URL")
            }
            Self::Keys { origin, source } => {
                write!(f, "the answer of {origin} is not a usable key set: {source}")
            }
            Self::GivenUp => f.write_str("the fetch was aborted; it will be tried again"),
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(source) => Some(&**source),
            Self::KeysUrl { source, .. } => Some(&**source),
            Self::Keys { source, .. } => Some(source),
            Self::Status { .. }
            | Self::NoDocument { .. }
            | Self::OtherIssuer { .. }
            | Self::NoText { .. }
            | Self::GivenUp => None,
        }
    }
}
