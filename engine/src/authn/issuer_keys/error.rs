//! Why an issuer has no keys. No text holds anything that a remote server wrote.

use petsem_policy::evaluate::JwksError;

use crate::fetch::FetchRefusal;

/// Why a registration of an issuer is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IssuerKeysError {
    /// Not exactly one of the three sources is given.
    #[error("an issuer's keys come from exactly one of keys, jwks_url and discovery; give one of them")]
    NotOneSource,
    /// The registered keys are invalid.
    #[error("keys: {0}")]
    Keys(#[source] JwksError),
    /// The URL of the keys may not be fetched.
    #[error("jwks_url: {0}")]
    Url(#[source] FetchRefusal),
    /// The `iss` is not a URL that may be fetched, so discovery is impossible.
    #[error("issuer, for its discovery document: {0}; or give keys or jwks_url")]
    Issuer(#[source] FetchRefusal),
    /// The `iss` has a query, so the URL of its discovery document cannot be formed.
    #[error("issuer has a query, so it has no discovery document; give keys or jwks_url")]
    IssuerWithQuery,
}

/// Why a fetch yielded no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum FetchError {
    /// There was no acceptable answer.
    #[error("{0}")]
    Refused(#[source] FetchRefusal),
    /// The status was not 200.
    #[error("{origin} answered HTTP {status}; check the registered URL")]
    Status { origin: String, status: u16 },
    /// The answer was not JSON with `issuer` and `jwks_uri`.
    #[error(
        "the answer of {origin} is not a discovery document (JSON with issuer and jwks_uri); register jwks_url or keys \
         instead"
    )]
    NoDocument { origin: String },
    /// The document belongs to another issuer.
    #[error(
        "the discovery document at {origin} names another issuer; register exactly the issuer that it names"
    )]
    OtherIssuer { origin: String },
    /// The `jwks_uri` may not be fetched.
    #[error("the jwks_uri of the discovery document at {origin} cannot be used: {source}")]
    KeysUrl { origin: String, source: FetchRefusal },
    /// The key set is not UTF-8.
    #[error("the answer of {origin} is not UTF-8 text; check the registered URL")]
    NoText { origin: String },
    /// The answer is not a usable key set.
    #[error("the answer of {origin} is not a usable key set: {source}")]
    Keys { origin: String, source: JwksError },
    /// The fetch was aborted.
    #[error("the fetch was aborted; it will be tried again")]
    GivenUp,
}
