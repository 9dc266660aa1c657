//! Where AWS credentials come from: the environment, the container's address, the instance's metadata.
//!
//! The first configured source is used. An error there is final: another source could have the credentials of
//! another identity. They are fetched at each use, so renewed ones take effect.

mod error;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use petsem_outbound::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use petsem_outbound::{
    Bytes, Method, OutboundAnswer, OutboundClient, OutboundRequest, OutboundUrl, PlainHttp,
};
use serde::Deserialize;
use zeroize::Zeroizing;

pub use error::AwsCredentialsError;

use super::call::{AwsCallError, BODY_MAXIMUM};

/// The time limit of one request for credentials, whose services are local.
const WITHIN: Duration = Duration::from_secs(3);

/// The longest accepted role name, token or key, in bytes.
const LONGEST: usize = 16 * 1024;

/// The addresses at which ECS and EKS give containers their credentials: link-local, answered by the host
/// itself.
pub(super) const CONTAINER: PlainHttp = PlainHttp::to(&[
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
]);

/// The instance metadata service: link-local, answered by the hypervisor.
pub(super) const METADATA: PlainHttp = PlainHttp::to(&[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
]);

/// Reads a variable of the environment.
pub(super) type Environment = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// Credentials and their source.
pub(super) struct FoundCredentials {
    pub(super) credentials: Credentials,
    pub(super) source: CredentialSource,
}

/// The source of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialSource {
    /// `AWS_ACCESS_KEY_ID` and its companions.
    Environment,
    /// The address that ECS or EKS gives to the container.
    Container,
    /// The role of the EC2 instance.
    InstanceMetadata,
}

/// The credentials to sign with.
pub(super) async fn find(environment: &Environment) -> Result<FoundCredentials, AwsCredentialsError> {
    let look = Look { environment };
    if let Some(credentials) = look.of_environment()? {
        return Ok(FoundCredentials { credentials, source: CredentialSource::Environment });
    }
    // These variables select a role that petsem does not support; the host's own role would be another
    // identity.
    if look.text("AWS_WEB_IDENTITY_TOKEN_FILE")?.is_some() {
        return Err(AwsCredentialsError::WebIdentity);
    }
    if let Some(credentials) = look.of_container().await? {
        return Ok(FoundCredentials { credentials, source: CredentialSource::Container });
    }
    let credentials = look.of_instance().await?;
    Ok(FoundCredentials { credentials, source: CredentialSource::InstanceMetadata })
}

struct Look<'a> {
    environment: &'a Environment,
}

impl Look<'_> {
    fn of_environment(&self) -> Result<Option<Credentials>, AwsCredentialsError> {
        let access = self.secret("AWS_ACCESS_KEY_ID")?;
        let secret = self.secret("AWS_SECRET_ACCESS_KEY")?;
        let token = self.secret("AWS_SESSION_TOKEN")?;
        match (access, secret) {
            (Some(access), Some(secret)) => credentials(
                &access,
                &secret,
                token.as_deref().map(String::as_str),
                CredentialSource::Environment,
            )
            .map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => Err(AwsCredentialsError::Incomplete {
                set: "AWS_ACCESS_KEY_ID",
                missing: "AWS_SECRET_ACCESS_KEY",
            }),
            (None, Some(_)) => Err(AwsCredentialsError::Incomplete {
                set: "AWS_SECRET_ACCESS_KEY",
                missing: "AWS_ACCESS_KEY_ID",
            }),
        }
    }

    async fn of_container(&self) -> Result<Option<Credentials>, AwsCredentialsError> {
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let (variable, url) = match (self.text(RELATIVE)?, self.text(FULL)?) {
            (Some(path), _) => (RELATIVE, format!("http://169.254.170.2/{}", path.trim_start_matches('/'))),
            (None, Some(url)) => (FULL, url),
            (None, None) => return Ok(None),
        };
        let url = OutboundUrl::parse_with(&url, CONTAINER)
            .map_err(|_| AwsCredentialsError::ContainerAddress { variable })?;
        let mut headers = HeaderMap::new();
        if let Some(token) = self.container_token()? {
            headers.insert(AUTHORIZATION, sensitive(&token, CredentialSource::Container)?);
        }
        let answer = send(Method::GET, &url, headers).await?;
        if answer.status != 200 {
            return Err(AwsCredentialsError::Refused {
                service: CredentialSource::Container,
                origin: url.origin(),
                status: answer.status,
            });
        }
        read(&answer, CredentialSource::Container).map(Some)
    }

    /// The token for the container's address, from a file, read at each use, or from a variable.
    fn container_token(&self) -> Result<Option<Zeroizing<String>>, AwsCredentialsError> {
        match self.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")? {
            Some(path) => read_token(Path::new(&path)).map(Some),
            None => self.secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        }
    }

    /// The instance's role, by version 2 of the metadata service: the token request first is a step that a
    /// forged request from outside cannot make.
    async fn of_instance(&self) -> Result<Credentials, AwsCredentialsError> {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        if self.text("AWS_EC2_METADATA_DISABLED")?.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Err(AwsCredentialsError::NoneFound { metadata: None });
        }
        let variable = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        let url = self.text(variable)?.unwrap_or_else(|| "http://169.254.169.254".to_owned());
        let no_service = |_| AwsCredentialsError::MetadataAddress { variable };
        let service = OutboundUrl::parse_with(&url, METADATA).map_err(no_service)?;
        if service.target() != "/" {
            return Err(AwsCredentialsError::MetadataAddress { variable });
        }
        let at = |path: &str| service.at(path).map_err(no_service);
        let refused = |status| AwsCredentialsError::Refused {
            service: CredentialSource::InstanceMetadata,
            origin: service.origin(),
            status,
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from_static("60"));
        // Outside EC2 the service is usually absent.
        let answer = send(Method::PUT, &at("/latest/api/token")?, headers)
            .await
            .map_err(|source| AwsCredentialsError::NoneFound { metadata: Some(source) })?;
        let token = match answer.status {
            200 => text(&answer, CredentialSource::InstanceMetadata)?,
            status => return Err(refused(status)),
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-aws-ec2-metadata-token", sensitive(token, CredentialSource::InstanceMetadata)?);
        let answer = send(Method::GET, &at(ROLES)?, headers.clone()).await?;
        let roles = match answer.status {
            200 => text(&answer, CredentialSource::InstanceMetadata)?,
            404 => return Err(AwsCredentialsError::NoRole),
            status => return Err(refused(status)),
        };
        let role = roles.lines().next().unwrap_or_default().trim();
        let is_role = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if role.is_empty() || !role.bytes().all(is_role) {
            return Err(AwsCredentialsError::NoRole);
        }
        let answer = send(Method::GET, &at(&format!("{ROLES}{role}"))?, headers).await?;
        if answer.status != 200 {
            return Err(refused(answer.status));
        }
        read(&answer, CredentialSource::InstanceMetadata)
    }

    /// The value of a variable that is set and not empty.
    fn text(&self, name: &'static str) -> Result<Option<String>, AwsCredentialsError> {
        let value = (self.environment)(name).filter(|value| !value.is_empty());
        value.map(OsString::into_string).transpose().map_err(|_| AwsCredentialsError::Variable { name })
    }

    fn secret(&self, name: &'static str) -> Result<Option<Zeroizing<String>>, AwsCredentialsError> {
        self.text(name).map(|value| value.map(Zeroizing::new))
    }
}

async fn send(method: Method, url: &OutboundUrl, headers: HeaderMap) -> Result<OutboundAnswer, AwsCallError> {
    // The environment names the host, so it may be private.
    let client = OutboundClient::with_system_cas([url.host()], WITHIN);
    let request = OutboundRequest { method, url, headers, body: Bytes::new(), limit: BODY_MAXIMUM };
    Ok(client.send(request).await?)
}

/// The answer of a container's address or an instance's role.
fn read(answer: &OutboundAnswer, service: CredentialSource) -> Result<Credentials, AwsCredentialsError> {
    #[derive(Deserialize)]
    struct Given<'a> {
        #[serde(rename = "AccessKeyId", borrow)]
        access: Cow<'a, str>,
        #[serde(rename = "SecretAccessKey", borrow)]
        secret: Cow<'a, str>,
        #[serde(rename = "Token", borrow)]
        token: Cow<'a, str>,
    }
    let given: Given<'_> =
        serde_json::from_slice(&answer.body).map_err(|_| AwsCredentialsError::NotUnderstood { service })?;
    credentials(&given.access, &given.secret, Some(&given.token), service)
}

fn credentials(
    access: &str,
    secret: &str,
    token: Option<&str>,
    service: CredentialSource,
) -> Result<Credentials, AwsCredentialsError> {
    // They are sent in headers, so they must be valid in a header.
    let fits =
        |text: &str| (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits(access) || !fits(secret) || token.is_some_and(|token| !fits(token)) {
        return Err(AwsCredentialsError::NotUnderstood { service });
    }
    Ok(Credentials::new(access, secret, token.map(str::to_owned), None, "petsem"))
}

fn text(answer: &OutboundAnswer, service: CredentialSource) -> Result<&str, AwsCredentialsError> {
    std::str::from_utf8(&answer.body).map_err(|_| AwsCredentialsError::NotUnderstood { service })
}

fn sensitive(text: &str, service: CredentialSource) -> Result<HeaderValue, AwsCredentialsError> {
    let mut value =
        HeaderValue::from_str(text.trim()).map_err(|_| AwsCredentialsError::NotUnderstood { service })?;
    value.set_sensitive(true);
    Ok(value)
}

/// EKS mounts the token as a symbolic link to a file that the container's group can read, so neither is
/// refused.
fn read_token(path: &Path) -> Result<Zeroizing<String>, AwsCredentialsError> {
    let unread = |source| AwsCredentialsError::TokenFile { path: PathBuf::from(path), source };
    let file = File::open(path).map_err(unread)?;
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    file.take(LONGEST as u64).read_to_string(&mut text).map_err(unread)?;
    Ok(text)
}
