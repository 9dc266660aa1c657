//! What can be wrong with AWS KMS and the way to it, and what to do then. No text holds a credential, a key or
//! anything that a server wrote, but for its error code.

use std::error::Error;
use std::fmt;

use petsem_keys::SealError;

use super::call::AwsCallError;
use super::credentials::{AwsCredentialsError, CredentialSource};
use super::service::Action;

/// Why AWS KMS did not seal or open.
#[derive(Debug)]
#[non_exhaustive]
pub enum AwsKmsError {
    /// The configured key is not the name of a KMS key.
    Key,
    /// No region is configured, and the key is not an ARN.
    RegionMissing,
    /// The text is not a region.
    RegionText {
        /// The configured text.
        region: String,
    },
    /// The region differs from that of the key's ARN.
    RegionOfKey {
        /// The configured region.
        region: String,
        /// The region of the ARN.
        of_key: String,
    },
    /// The endpoint may not be called.
    Endpoint {
        /// The configured text.
        endpoint: String,
    },
    /// There are no credentials.
    Credentials {
        /// Why.
        source: AwsCredentialsError,
    },
    /// No answer came.
    Call {
        /// Why.
        source: AwsCallError,
    },
    /// The identity of the credentials may not do this.
    AccessDenied {
        /// The action that was called.
        action: Action,
        /// The key.
        key: String,
        /// Its region.
        region: String,
        /// Where the credentials were found.
        credentials: CredentialSource,
    },
    /// The region has no such key.
    KeyNotFound {
        /// The key.
        key: String,
        /// The region.
        region: String,
    },
    /// The key exists, but cannot be used now.
    KeyUnusable {
        /// The key.
        key: String,
        /// Why.
        state: KeyState,
    },
    /// The key is not for encryption.
    KeyUsage {
        /// The key.
        key: String,
    },
    /// The ciphertext is of another key, was changed, or has another encryption context.
    NotItsCiphertext,
    /// KMS decrypted to another key than it had encrypted, or returned none.
    NotReadBack,
    /// The credentials are too old.
    CredentialsExpired {
        /// Where they were found.
        credentials: CredentialSource,
    },
    /// AWS does not know the access key, or its session token.
    CredentialsUnknown {
        /// Where they were found.
        credentials: CredentialSource,
        /// The region that was asked.
        region: String,
    },
    /// The signature is wrong: the secret access key is.
    Signature {
        /// Where it was found.
        credentials: CredentialSource,
    },
    /// The signature names a time that AWS does not accept.
    Clock,
    /// The endpoint belongs to another region.
    OtherRegion {
        /// Who was called.
        origin: String,
        /// The region that was signed for.
        region: String,
    },
    /// Too many requests.
    Throttled {
        /// The region.
        region: String,
    },
    /// KMS has an internal error.
    Unwell {
        /// The region.
        region: String,
        /// The HTTP status.
        status: u16,
    },
    /// The response is malformed.
    NotUnderstood {
        /// The action that was called.
        action: Action,
    },
    /// Another refusal.
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
    /// It will be deleted, and everything that it wraps with it.
    PendingDeletion,
    /// It has no material yet, or its store is not connected.
    Other,
}

impl fmt::Display for AwsKmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str(
                "this is no name of an AWS KMS key; give the key's id, its ARN, `alias/NAME` or the ARN of an alias",
            ),
            Self::RegionMissing => {
                f.write_str("the AWS region is not named; give the region of the key, or the key's ARN")
            }
            Self::RegionText { region } => {
                write!(f, "`{}` is no AWS region; give one such as eu-central-1", region.escape_default())
            }
            Self::RegionOfKey { region, of_key } => write!(
                f,
                "the region is {region}, and the key's ARN is of {}; leave the region out, or give the right key",
                of_key.escape_default()
            ),
            Self::Endpoint { endpoint } => write!(
                f,
                "AWS KMS is not called at `{}`; give https://HOST[:PORT] without a path, http only for loopback",
                endpoint.escape_default()
            ),
            // Transparent: their texts have the fact and the remedy.
            Self::Credentials { source } => source.fmt(f),
            Self::Call { source } => write!(f, "AWS KMS gave no answer: {source}"),
            Self::AccessDenied { action, key, region, credentials } => write!(
                f,
                "AWS does not let the credentials {credentials} use {action} with key {key} in {region}; allow it \
                 in the key's policy or in that identity's, or give the right key"
            ),
            Self::KeyNotFound { key, region } => write!(
                f,
                "AWS KMS has no key {key} in {region}; give the key that this store was sealed with, and its region"
            ),
            Self::KeyUnusable { key, state: KeyState::Disabled } => {
                write!(f, "AWS KMS key {key} is disabled; enable it, or use another seal of the store")
            }
            Self::KeyUnusable { key, state: KeyState::PendingDeletion } => write!(
                f,
                "AWS KMS key {key} is about to be deleted, and what it sealed would be lost; cancel the deletion \
                 now and enable the key, or add another seal while one still opens"
            ),
            Self::KeyUnusable { key, state: KeyState::Other } => write!(
                f,
                "AWS KMS key {key} cannot be used in its state; look whether its material is imported and its key \
                 store connected"
            ),
            Self::KeyUsage { key } => write!(
                f,
                "AWS KMS key {key} is not for encryption; give a symmetric key with the usage ENCRYPT_DECRYPT"
            ),
            Self::NotItsCiphertext => f.write_str(
                "AWS KMS does not open this with the key; give the key that the store was sealed with",
            ),
            Self::NotReadBack => f.write_str(
                "AWS KMS did not decrypt what it had encrypted, nothing was sealed; look whether an alias was moved \
                 meanwhile, and try again",
            ),
            Self::CredentialsExpired { credentials } => write!(
                f,
                "the AWS credentials {credentials} have expired; {}",
                match credentials {
                    CredentialSource::Environment => "set fresh ones, or let petsem use a role",
                    CredentialSource::Container | CredentialSource::InstanceMetadata =>
                        "wait for the role's next ones, and check this machine's clock",
                }
            ),
            Self::CredentialsUnknown { credentials, region } => write!(
                f,
                "AWS in {region} does not know the credentials {credentials}; give others, and look whether the \
                 access key was deleted and the session token belongs to it"
            ),
            Self::Signature { credentials } => write!(
                f,
                "AWS refused the signature made with the credentials {credentials}; the secret access key does not \
                 belong to the access key, give both again"
            ),
            Self::Clock => f.write_str(
                "AWS refused the signature for its time; set this machine's clock right, more than five minutes \
                 are too much",
            ),
            Self::OtherRegion { origin, region } => write!(
                f,
                "{origin} does not serve region {region}; give the endpoint and the region that belong together"
            ),
            Self::Throttled { region } => write!(
                f,
                "AWS KMS in {region} has too many requests of this account; try again in a while, or raise the quota"
            ),
            Self::Unwell { region, status } => write!(
                f,
                "AWS KMS in {region} has trouble itself (HTTP {status}); try again, look at AWS's health page, or \
                 use another seal of the store"
            ),
            Self::NotUnderstood { action } => write!(
                f,
                "what AWS KMS answered to {action} is not understood; look whether the endpoint is really one of KMS"
            ),
            Self::Refused { action, status, code } if code.is_empty() => write!(
                f,
                "AWS KMS refused {action} with HTTP {status}; look whether the endpoint is really one of KMS"
            ),
            Self::Refused { action, status, code } => write!(
                f,
                "AWS KMS refused {action} with {code} (HTTP {status}); look for it in AWS's list of KMS errors"
            ),
        }
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

impl Error for AwsKmsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Their texts are part of ours.
            Self::Credentials { source } => source.source(),
            Self::Call { source } => source.source(),
            Self::Key
            | Self::RegionMissing
            | Self::RegionText { .. }
            | Self::RegionOfKey { .. }
            | Self::Endpoint { .. }
            | Self::AccessDenied { .. }
            | Self::KeyNotFound { .. }
            | Self::KeyUnusable { .. }
            | Self::KeyUsage { .. }
            | Self::NotItsCiphertext
            | Self::NotReadBack
            | Self::CredentialsExpired { .. }
            | Self::CredentialsUnknown { .. }
            | Self::Signature { .. }
            | Self::Clock
            | Self::OtherRegion { .. }
            | Self::Throttled { .. }
            | Self::Unwell { .. }
            | Self::NotUnderstood { .. }
            | Self::Refused { .. } => None,
        }
    }
}

impl From<AwsCallError> for AwsKmsError {
    fn from(source: AwsCallError) -> Self {
        Self::Call { source }
    }
}

impl From<AwsCredentialsError> for AwsKmsError {
    fn from(source: AwsCredentialsError) -> Self {
        Self::Credentials { source }
    }
}

impl From<AwsKmsError> for SealError {
    fn from(source: AwsKmsError) -> Self {
        Self::Unavailable { source: Box::new(source) }
    }
}
