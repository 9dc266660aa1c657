//! Why there are no credentials, and what to do. No text contains any part of one.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::CredentialSource;
use crate::aws_kms::call::AwsCallError;

/// Why there are no credentials to sign with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AwsCredentialsError {
    /// No source has any.
    #[error(
        "there are no AWS credentials: AWS_ACCESS_KEY_ID is not set, \
         AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set, and \
         {}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
        no_metadata(metadata.as_ref())
    )]
    NoneFound {
        /// Why the metadata service did not answer; `None` if it was not called.
        #[source]
        metadata: Option<AwsCallError>,
    },
    /// One variable of two is set.
    #[error("{set} is set and {missing} is not; set both or none")]
    Incomplete {
        /// The set variable.
        set: &'static str,
        /// The missing one.
        missing: &'static str,
    },
    /// A variable is not UTF-8.
    #[error("the variable {name} is not UTF-8; correct it")]
    Variable {
        /// Its name.
        name: &'static str,
    },
    /// Web identity is configured, which petsem does not support.
    #[error(
        "AWS_WEB_IDENTITY_TOKEN_FILE is set, but petsem does not support web identities; give the pod its \
         role by EKS Pod Identity, or unset it"
    )]
    WebIdentity,
    /// The container's address may not be called.
    #[error(
        "{variable} is not an allowed address; give an https URL, a loopback address, or an address of ECS \
         or EKS"
    )]
    ContainerAddress {
        /// The variable with the address.
        variable: &'static str,
    },
    /// The metadata service's address may not be called.
    #[error(
        "{variable} is not the address of an instance metadata service; unset it, or give https, loopback \
         or the service's own address, without a path"
    )]
    MetadataAddress {
        /// The variable with the address.
        variable: &'static str,
    },
    /// The file of the container's token was not read.
    #[error(
        "the token file {path} of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read; make it readable \
         for the user that runs petsem"
    )]
    TokenFile {
        /// Its path.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The instance has no role.
    #[error(
        "this instance has no role, and no other AWS credentials were found; give it a role that may use \
         the key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoRole,
    /// The credential service did not return any.
    #[error("{}", refused(*service, origin, *status))]
    Refused {
        /// The service.
        service: CredentialSource,
        /// Its origin.
        origin: String,
        /// The HTTP status.
        status: u16,
    },
    /// The credentials are malformed.
    #[error("the AWS credentials {service} are malformed; give complete ones, without spaces")]
    NotUnderstood {
        /// The service.
        service: CredentialSource,
    },
    /// There was no answer.
    #[error("the AWS credentials cannot be fetched: {source}")]
    Call {
        /// The error.
        #[from]
        source: AwsCallError,
    },
}

fn no_metadata(error: Option<&AwsCallError>) -> String {
    match error {
        None => "AWS_EC2_METADATA_DISABLED is set".to_owned(),
        Some(error) => format!("the instance metadata service did not answer ({error})"),
    }
}

fn refused(service: CredentialSource, origin: &str, status: u16) -> String {
    match service {
        CredentialSource::InstanceMetadata => format!(
            "the instance metadata service at {origin} answered HTTP {status}; enable its version 2 for the instance, \
             with a hop limit that reaches petsem"
        ),
        _ => format!(
            "{origin} gave no AWS credentials (HTTP {status}); check whether the container has a role and whether its \
             token is the right one"
        ),
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
