//! One bounded fetch of an issuer's keys over HTTPS.

use petsem_policy::evaluate::{Algorithm, Jwks, MAX_JWKS_BYTES};
use serde::Deserialize;

use super::error::FetchError;
use crate::fetch::Fetch;

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
    pub(super) async fn fetch(
        &self,
        issuer: &str,
        algorithms: &[Algorithm],
        fetcher: &dyn Fetch,
    ) -> Result<Jwks, FetchError> {
        match self {
            Self::Url(url) => keys_at(url, algorithms, fetcher).await,
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
                keys_at(&keys_url, algorithms, fetcher).await
            }
        }
    }
}

async fn keys_at(url: &str, algorithms: &[Algorithm], fetcher: &dyn Fetch) -> Result<Jwks, FetchError> {
    let body = get(url, MAX_JWKS_BYTES, fetcher).await?;
    let text = std::str::from_utf8(&body).map_err(|_| FetchError::NoText { origin: origin(url, fetcher) })?;
    Jwks::parse_published(text, algorithms)
        .map_err(|source| FetchError::Keys { origin: origin(url, fetcher), source })
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
