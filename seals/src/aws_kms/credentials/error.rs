//! Why there are no credentials, and what to do then. No text holds any part of one.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::CredentialSource;
use crate::aws_kms::call::AwsCallError;

/// Why there are no credentials to sign with.
#[derive(Debug)]
#[non_exhaustive]
pub enum AwsCredentialsError {
    /// No source has any.
    NoneFound {
        /// Why the metadata service did not answer; `None` if it was not asked.
        metadata: Option<AwsCallError>,
    },
    /// One variable of two is set.
    Incomplete {
        /// The one.
        set: &'static str,
        /// The other.
        missing: &'static str,
    },
    /// A variable is not UTF-8.
    Variable {
        /// Which.
        name: &'static str,
    },
    /// Web identity is configured, which petsem does not support.
    WebIdentity,
    /// The container's address may not be called.
    ContainerAddress {
        /// The variable that holds it.
        variable: &'static str,
    },
    /// The metadata service's address may not be called.
    MetadataAddress {
        /// The variable that holds it.
        variable: &'static str,
    },
    /// The file of the container's token was not read.
    TokenFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The instance has no role.
    NoRole,
    /// The credential service did not return any.
    Refused {
        /// Who.
        source: CredentialSource,
        /// Where.
        origin: String,
        /// The HTTP status.
        status: u16,
    },
    /// The credentials are malformed.
    NotUnderstood {
        /// Where.
        source: CredentialSource,
    },
    /// No answer came.
    Call {
        /// Why.
        source: AwsCallError,
    },
}

impl fmt::Display for AwsCredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneFound { metadata } => {
                f.write_str(
                    "there are no AWS credentials: AWS_ACCESS_KEY_ID is not set, \
                     AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set, and ",
                )?;
                match metadata {
                    None => f.write_str("AWS_EC2_METADATA_DISABLED is set")?,
                    Some(error) => write!(f, "the instance metadata service did not answer ({error})")?,
                }
                f.write_str("; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role")
            }
            Self::Incomplete { set, missing } => {
                write!(f, "{set} is set and {missing} is not; set both or none")
            }
            Self::Variable { name } => write!(f, "the variable {name} is not UTF-8; set it again"),
            Self::WebIdentity => f.write_str(
                "AWS_WEB_IDENTITY_TOKEN_FILE is set, and petsem does not use web identities; give the pod its role \
                 by EKS Pod Identity, or unset it",
            ),
            Self::ContainerAddress { variable } => write!(
                f,
                "{variable} names no address that credentials are taken from; https, loopback and the addresses \
                 of ECS and EKS are"
            ),
            Self::MetadataAddress { variable } => write!(
                f,
                "{variable} names no instance metadata service; unset it, or give https, loopback or the \
                 service's own address, without a path"
            ),
            Self::TokenFile { path, source: _ } => write!(
                f,
                "the token file {} of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE was not read; let petsem's user read it",
                path.display()
            ),
            Self::NoRole => f.write_str(
                "this instance has no role, and no other AWS credentials were found; give it one that may use the \
                 key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ),
            Self::Refused { source: CredentialSource::InstanceMetadata, origin, status } => write!(
                f,
                "the instance metadata service at {origin} answered HTTP {status}; let the instance use version 2 \
                 of it, with a hop limit that reaches petsem"
            ),
            Self::Refused { source: _, origin, status } => write!(
                f,
                "{origin} gave no AWS credentials (HTTP {status}); look whether the container has a role, and its \
                 token is the right one"
            ),
            Self::NotUnderstood { source } => write!(
                f,
                "what should be the AWS credentials {source} is none; give whole ones, without spaces"
            ),
            Self::Call { source } => write!(f, "no AWS credentials came: {source}"),
        }
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "of the environment",
            Self::Container => "of the container",
            Self::InstanceMetadata => "of the instance's role",
        })
    }
}

impl Error for AwsCredentialsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoneFound { metadata: Some(source) } | Self::Call { source } => source.source(),
            Self::TokenFile { source, .. } => Some(source),
            Self::NoneFound { metadata: None }
            | Self::Incomplete { .. }
            | Self::Variable { .. }
            | Self::WebIdentity
            | Self::ContainerAddress { .. }
            | Self::MetadataAddress { .. }
            | Self::NoRole
            | Self::Refused { .. }
            | Self::NotUnderstood { .. } => None,
        }
    }
}

impl From<AwsCallError> for AwsCredentialsError {
    fn from(source: AwsCallError) -> Self {
        Self::Call { source }
    }
}
