//! The AWS KMS seal: a symmetric KMS key encrypts a seal key, and never leaves AWS.
//!
//! Two calls (AWS KMS API reference, `TrentService.Encrypt` and `TrentService.Decrypt`), JSON 1.1 over
//! HTTP/1.1, signed with Signature Version 4. Store, seal and root version are the encryption context: KMS
//! authenticates it, policies can require it, CloudTrail shows it. Each wrap is decrypted once before it is
//! returned: otherwise credentials that may encrypt but not decrypt would be detected only at the next start.
//!
//! Credentials are looked up at every use and not kept: in the environment, then at the container's address,
//! then at the instance metadata service, version 2 only. Files of profiles, SSO, web identity and proxies
//! are not supported. [`petsem_outbound`] bounds every call: it follows no redirect, requires https except to
//! loopback and to the addresses of the metadata services, and limits bodies and time.
//!
//! The trait is synchronous. Each use runs its calls on its own thread with its own runtime, so that it works
//! inside a runtime and without one.

mod call;
mod credentials;
mod error;
mod service;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use petsem_keys::{OpenError, Seal, SealContext, SealError, SealKey};
use petsem_outbound::{OutboundUrl, PlainHttp};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

pub use call::AwsCallError;
pub use credentials::{AwsCredentialsError, CredentialSource};
pub use error::{AwsKmsError, KeyState};
pub use service::Action;

use crate::envelope;
use credentials::Environment;
use service::Service;

/// The kind of this seal in a store's list of seals.
pub const AWS_KMS_KIND: &str = "aws-kms";

/// The longest name of a key that KMS accepts.
const KEY_MAXIMUM: usize = 2048;

/// A key of AWS KMS, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKmsSettings {
    /// The symmetric key: its id, its ARN, `alias/NAME` or the ARN of an alias.
    pub key: String,
    /// Region of the key, e.g. `eu-central-1`; not needed where `key` is an ARN.
    pub region: Option<String>,
    /// `https://HOST[:PORT]` instead of the region's public endpoint; plain `http://` only to loopback.
    pub endpoint: Option<String>,
}

/// A seal whose key is in AWS KMS.
pub struct AwsKms {
    settings: AwsKmsSettings,
    service: Service,
}

impl AwsKms {
    /// The seal of a key. `clock` gives the time for signatures. This makes no call.
    ///
    /// # Errors
    /// [`AwsKmsError::Key`], [`AwsKmsError::RegionMissing`], [`AwsKmsError::RegionText`],
    /// [`AwsKmsError::RegionOfKey`], [`AwsKmsError::Endpoint`]: the settings cannot be valid.
    pub fn open(settings: AwsKmsSettings, clock: fn() -> SystemTime) -> Result<Self, AwsKmsError> {
        Self::with_environment(settings, clock, Arc::new(|name| std::env::var_os(name)))
    }

    fn with_environment(
        settings: AwsKmsSettings,
        clock: fn() -> SystemTime,
        environment: Environment,
    ) -> Result<Self, AwsKmsError> {
        let key = settings.key.clone();
        let is_key_text = |byte: u8| byte.is_ascii_alphanumeric() || b":/_+=,.@-".contains(&byte);
        if key.is_empty() || key.len() > KEY_MAXIMUM || !key.bytes().all(is_key_text) {
            return Err(AwsKmsError::Key);
        }
        let region = region(&settings)?;
        let region_endpoint = || format!("https://kms.{region}.amazonaws.com{}", partition_suffix(&region));
        let text = settings.endpoint.clone().unwrap_or_else(region_endpoint);
        let endpoint = match OutboundUrl::parse_with(&text, PlainHttp::LOOPBACK) {
            Ok(url) if url.target() == "/" => url,
            _ => return Err(AwsKmsError::Endpoint { endpoint: text }),
        };
        let service = Service { endpoint, region, key, clock, environment, within: service::WITHIN };
        Ok(Self { settings, service })
    }
}

impl Seal for AwsKms {
    fn kind(&self) -> &'static str {
        AWS_KMS_KIND
    }

    fn describe(&self) -> String {
        format!("AWS KMS key {} in {}", self.settings.key, self.service.region)
    }

    fn new_key(
        &self,
        rng: &mut dyn CryptoRng,
        context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError> {
        envelope::new_key(rng, &self.describe(), |_, seal_key| {
            let sealed = self.service.encrypt(seal_key, context)?;
            let again = self.service.decrypt(&sealed, context).map_err(|error| match error {
                AwsKmsError::NotItsCiphertext => AwsKmsError::NotReadBack,
                other => other,
            })?;
            if bool::from(again.expose_seal_key().ct_eq(seal_key.expose_seal_key())) {
                Ok(sealed)
            } else {
                Err(AwsKmsError::NotReadBack.into())
            }
        })
    }

    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError> {
        envelope::find_key(wrapped, &self.describe(), |sealed| {
            self.service.decrypt(sealed, context).map_err(|error| match error {
                AwsKmsError::NotItsCiphertext => {
                    SealError::NotItsWrap { seal: self.describe(), source: OpenError::NotAuthentic }
                }
                other => other.into(),
            })
        })
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKms").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The region of the settings or of the key's ARN; they must not differ.
fn region(settings: &AwsKmsSettings) -> Result<String, AwsKmsError> {
    // arn:PARTITION:kms:REGION:ACCOUNT:key/ID
    let of_key = settings.key.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
    let region = match (settings.region.as_deref(), of_key) {
        (Some(named), Some(of_key)) if named != of_key => {
            return Err(AwsKmsError::RegionOfKey { region: named.to_owned(), of_key: of_key.to_owned() });
        }
        (Some(named), _) => named,
        (None, Some(of_key)) => of_key,
        (None, None) => return Err(AwsKmsError::RegionMissing),
    };
    let fits = (1..=40).contains(&region.len())
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { Ok(region.to_owned()) } else { Err(AwsKmsError::RegionText { region: region.to_owned() }) }
}

/// The suffix after `amazonaws.com`. Regions of other partitions need an endpoint in the settings.
fn partition_suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { ".cn" } else { "" }
}
