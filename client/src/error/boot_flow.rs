//! A host's boot that yields nothing.

use thiserror::Error;

use super::CallError;

/// Why a host's boot yields nothing.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum BootFlowError {
    /// The host token is not one macaroon.
    #[error("the host token cannot be read; give one token that starts with fm2_")]
    HostToken,
    /// The token has no third-party caveat, so it is not a host token.
    #[error(
        "the token is not a host token, because it needs no discharge; enroll this host with `petsem host enroll`, and \
         give the token that `petsem token create --kind host` then creates"
    )]
    NoTicket,
    /// Neither a renewal nor a proof.
    #[error(
        "this host has no renewal for the Machine; give a proof (a JWT of the app's issuer, or a token that may \
         boot it)"
    )]
    NoProof,
    /// No renewal to renew.
    #[error("this host has no renewal for the Machine; boot it first")]
    NoRenewal,
    /// The discharger gave no discharge.
    #[error("no discharge for this boot: {0}")]
    Discharge(#[source] CallError),
    /// petsem gave no secrets.
    #[error("no secrets for this boot: {0}")]
    Boot(#[source] CallError),
    /// petsem gave no later renewal.
    #[error("no later renewal: {0}")]
    Renew(#[source] CallError),
}
