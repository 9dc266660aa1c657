//! Errors of AWS KMS and of calls to it, and what to do. No text contains a credential, a key or anything
//! from a server except its error code.

use std::fmt;

use petsem_keys::SealError;

use super::call::AwsCallError;
use super::credentials::{AwsCredentialsError, CredentialSource};
use super::service::Action;

/// Why AWS KMS did not seal or open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AwsKmsError {
    /// The configured key is not the name of a KMS key.
    #[error(
        "invalid name of an AWS KMS key; give the key's id, its ARN, `alias/NAME` or the ARN of an alias"
    )]
    Key,
    /// No region is configured, and the key is not an ARN.
    #[error("no AWS region given; give the region of the key, or the key's ARN")]
    RegionMissing,
    /// The text is not a region.
    #[error("invalid AWS region `{}`; give one such as eu-central-1", region.escape_default())]
    RegionText {
        /// The configured text.
        region: String,
    },
    /// The region differs from that of the key's ARN.
    #[error(
        "the region is {region}, but the key's ARN is of {}; omit the region, or give the right key",
        of_key.escape_default()
    )]
    RegionOfKey {
        /// The configured region.
        region: String,
        /// The region of the ARN.
        of_key: String,
    },
    /// The endpoint may not be called.
    #[error(
        "invalid AWS KMS endpoint `{}`; give https://HOST[:PORT] without a path; http only for loopback",
        endpoint.escape_default()
    )]
    Endpoint {
        /// The configured text.
        endpoint: String,
    },
    /// There are no credentials.
    #[error(transparent)]
    Credentials {
        /// The error.
        #[from]
        source: AwsCredentialsError,
    },
    /// There was no answer.
    #[error("AWS KMS gave no answer: {source}")]
    Call {
        /// The error.
        #[from]
        source: AwsCallError,
    },
    /// The identity of the credentials may not use this action.
    #[error(
        "AWS does not let the credentials {credentials} use {action} with key {key} in {region}; allow it \
         in the key's policy or in that identity's, or give the right key"
    )]
    AccessDenied {
        /// The action that was called.
        action: Action,
        /// The key.
        key: String,
        /// Its region.
        region: String,
        /// The source of the credentials.
        credentials: CredentialSource,
    },
    /// The region has no such key.
    #[error(
        "AWS KMS has no key {key} in {region}; give the key that this store was sealed with, and its \
         region"
    )]
    KeyNotFound {
        /// The key.
        key: String,
        /// The region.
        region: String,
    },
    /// The key exists, but cannot be used now.
    #[error("AWS KMS key {key} {}", unusable(*state))]
    KeyUnusable {
        /// The key.
        key: String,
        /// The reason.
        state: KeyState,
    },
    /// The key is not for encryption.
    #[error("AWS KMS key {key} is not for encryption; give a symmetric key with the usage ENCRYPT_DECRYPT")]
    KeyUsage {
        /// The key.
        key: String,
    },
    /// The ciphertext is of another key, was changed, or has another encryption context.
    #[error("AWS KMS cannot decrypt this with the key; give the key that the store was sealed with")]
    NotItsCiphertext,
    /// KMS decrypted to another key than it had encrypted, or returned none.
    #[error(
        "AWS KMS did not decrypt its own ciphertext; nothing was sealed; check whether an alias was moved \
         meanwhile, and try again"
    )]
    NotReadBack,
    /// The credentials are too old.
    #[error("the AWS credentials {credentials} have expired; {}", renew(*credentials))]
    CredentialsExpired {
        /// The source of the credentials.
        credentials: CredentialSource,
    },
    /// AWS does not know the access key, or its session token.
    #[error(
        "AWS in {region} does not recognize the credentials {credentials}; check whether the access key \
         was deleted and whether the session token belongs to it, or set others"
    )]
    CredentialsUnknown {
        /// The source of the credentials.
        credentials: CredentialSource,
        /// The region that was called.
        region: String,
    },
    /// The signature is wrong, so the secret access key is.
    #[error(
        "AWS refused the signature made with the credentials {credentials}: the secret access key does not \
         belong to the access key; set both again"
    )]
    Signature {
        /// The source of the secret access key.
        credentials: CredentialSource,
    },
    /// AWS does not accept the time of the signature.
    #[error(
        "AWS refused the signature because of its time; set this machine's clock: it may be off by at most \
         five minutes"
    )]
    Clock,
    /// The endpoint belongs to another region.
    #[error("{origin} does not serve region {region}; correct the endpoint or the region")]
    OtherRegion {
        /// The called origin.
        origin: String,
        /// The region of the signature.
        region: String,
    },
    /// Too many requests.
    #[error(
        "AWS KMS in {region} throttles the requests of this account; try again later, or raise the quota"
    )]
    Throttled {
        /// The region.
        region: String,
    },
    /// KMS has an internal error.
    #[error(
        "AWS KMS in {region} has an internal error (HTTP {status}); try again, check AWS's health page, or \
         use another seal of the store"
    )]
    Unwell {
        /// The region.
        region: String,
        /// The HTTP status.
        status: u16,
    },
    /// The response is malformed.
    #[error("AWS KMS gave a malformed answer to {action}; check whether the endpoint is one of KMS")]
    NotUnderstood {
        /// The action that was called.
        action: Action,
    },
    /// Another refusal.
    #[error("{}", refused(*action, *status, code))]
    Refused {
        /// The action that was called.
        action: Action,
        /// The HTTP status.
        status: u16,
        /// The error code, if there was one.
        code: String,
    },
}

/// Why a key cannot be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyState {
    /// It is disabled.
    Disabled,
    /// It will be deleted, with everything that it wraps.
    PendingDeletion,
    /// It has no material yet, or its store is not connected.
    Other,
}

fn unusable(state: KeyState) -> &'static str {
    match state {
        KeyState::Disabled => "is disabled; enable it, or use another seal of the store",
        KeyState::PendingDeletion => {
            "is about to be deleted, and what it sealed would be lost; cancel the deletion now and enable the key, or \
             add another seal while one still opens"
        }
        KeyState::Other => {
            "cannot be used in its current state; check whether its material is imported and its key store connected"
        }
    }
}

fn renew(credentials: CredentialSource) -> &'static str {
    match credentials {
        CredentialSource::Environment => "set new ones, or give the machine a role",
        CredentialSource::Container | CredentialSource::InstanceMetadata => {
            "wait for the role's next ones, and check this machine's clock"
        }
    }
}

fn refused(action: Action, status: u16, code: &str) -> String {
    match code {
        "" => {
            format!("AWS KMS refused {action} with HTTP {status}; check whether the endpoint is one of KMS")
        }
        code => format!("AWS KMS refused {action} with {code} (HTTP {status}); see AWS's list of KMS errors"),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypt => "kms:Encrypt",
            Self::Decrypt => "kms:Decrypt",
        })
    }
}

impl From<AwsKmsError> for SealError {
    fn from(source: AwsKmsError) -> Self {
        Self::Unavailable { source: Box::new(source) }
    }
}
