//! The two calls of AWS KMS, signed, and the meaning of its refusals.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use data_encoding::{BASE64, HEXLOWER};
use petsem_keys::{SealContext, SealKey};
use petsem_outbound::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use petsem_outbound::{
    Bytes, Method, OutboundAnswer, OutboundClient, OutboundError, OutboundRequest, OutboundUrl,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::call::{AwsCallError, BODY_MAXIMUM, block_on};
use super::credentials::{self, Environment, FoundCredentials};
use super::error::{AwsKmsError, KeyState};

/// The time limit of a call of KMS.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

/// Room for a request: the key's name, a ciphertext of 6144 bytes in base64, the context.
const REQUEST_CAPACITY: usize = 16 * 1024;

/// The longest error code that an error repeats.
const CODE_MAXIMUM: usize = 64;

/// KMS in one region, for one key.
pub(super) struct Service {
    pub(super) endpoint: OutboundUrl,
    pub(super) region: String,
    pub(super) key: String,
    pub(super) clock: fn() -> SystemTime,
    pub(super) environment: Environment,
    pub(super) within: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Asked<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_blob: Option<&'a str>,
    encryption_context: EncryptionContext,
}

/// What KMS authenticates with the ciphertext. Not secret: CloudTrail shows it.
#[derive(Serialize)]
struct EncryptionContext {
    #[serde(rename = "petsem-store")]
    store: String,
    #[serde(rename = "petsem-seal")]
    seal: String,
    #[serde(rename = "petsem-root-version")]
    root_version: String,
}

impl From<&SealContext> for EncryptionContext {
    fn from(context: &SealContext) -> Self {
        Self {
            store: HEXLOWER.encode(&context.key.store),
            seal: HEXLOWER.encode(&context.seal),
            root_version: context.key.version.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct Encrypted<'a> {
    #[serde(rename = "CiphertextBlob", borrow)]
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Decrypted<'a> {
    #[serde(rename = "Plaintext", borrow)]
    plaintext: &'a str,
}

impl Service {
    /// `TrentService.Encrypt`: the seal key under the KMS key.
    pub(super) fn encrypt(&self, seal_key: &SealKey, context: &SealContext) -> Result<Vec<u8>, AwsKmsError> {
        let plaintext = Zeroizing::new(BASE64.encode(seal_key.expose_seal_key()));
        let parameters = Asked {
            key_id: &self.key,
            plaintext: Some(&plaintext),
            ciphertext_blob: None,
            encryption_context: context.into(),
        };
        let answer = self.call(Action::Encrypt, &parameters)?;
        let encrypted: Encrypted<'_> = serde_json::from_slice(&answer)
            .map_err(|_| AwsKmsError::NotUnderstood { action: Action::Encrypt })?;
        BASE64
            .decode(encrypted.ciphertext.as_bytes())
            .map_err(|_| AwsKmsError::NotUnderstood { action: Action::Encrypt })
    }

    /// `TrentService.Decrypt`: the seal key back.
    pub(super) fn decrypt(&self, ciphertext: &[u8], context: &SealContext) -> Result<SealKey, AwsKmsError> {
        // KMS does not accept an empty one.
        if ciphertext.is_empty() {
            return Err(AwsKmsError::NotItsCiphertext);
        }
        let parameters = Asked {
            key_id: &self.key,
            plaintext: None,
            ciphertext_blob: Some(&BASE64.encode(ciphertext)),
            encryption_context: context.into(),
        };
        let answer = self.call(Action::Decrypt, &parameters)?;
        let decrypted: Decrypted<'_> = serde_json::from_slice(&answer)
            .map_err(|_| AwsKmsError::NotUnderstood { action: Action::Decrypt })?;
        let plaintext = decrypted.plaintext.as_bytes();
        // A seal key is 32 bytes: 43 symbols and a `=`, decoded into 33 bytes.
        let mut room = Zeroizing::new([0; 33]);
        if BASE64.decode_len(plaintext.len()) != Ok(room.len()) {
            return Err(AwsKmsError::NotItsCiphertext);
        }
        let length =
            BASE64.decode_mut(plaintext, room.as_mut()).map_err(|_| AwsKmsError::NotItsCiphertext)?;
        SealKey::filled_by(|key| match room.get(..length).and_then(<[u8]>::as_array) {
            Some(bytes) => {
                *key = *bytes;
                Ok(())
            }
            None => Err(AwsKmsError::NotItsCiphertext),
        })
    }

    fn call(&self, action: Action, parameters: &Asked<'_>) -> Result<Zeroizing<Vec<u8>>, AwsKmsError> {
        let mut body = Zeroizing::new(Vec::with_capacity(REQUEST_CAPACITY));
        // Writing text and numbers to memory cannot fail, and KMS would refuse an empty body.
        let _ = serde_json::to_writer(&mut *body, parameters);
        block_on(async {
            let found = credentials::find(&self.environment).await?;
            let headers = self.signed_headers(action, &body, &found)?;
            // The settings name the endpoint, so its address may be private, as that of a VPC endpoint is.
            // The client lives for one call, so that changed CAs take effect at the next.
            let client = OutboundClient::with_system_cas([self.endpoint.host()], self.within);
            let request = OutboundRequest {
                method: Method::POST,
                url: &self.endpoint,
                headers,
                body: Bytes::from_owner(body),
                limit: BODY_MAXIMUM,
            };
            let answer = client.send(request).await.map_err(AwsCallError::Outbound)?;
            if answer.status == 200 { Ok(answer.body) } else { Err(self.refusal(action, &answer, &found)) }
        })
    }

    fn signed_headers(
        &self,
        action: Action,
        body: &[u8],
        found: &FoundCredentials,
    ) -> Result<HeaderMap, AwsKmsError> {
        let unsendable =
            || AwsCallError::Outbound(OutboundError::Unsendable { origin: self.endpoint.origin() });
        let unsigned = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", action.target())];
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        let identity = found.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("kms")
            .time((self.clock)())
            .settings(settings)
            .build()
            .map_err(|_| unsendable())?
            .into();
        let url = format!("{}/", self.endpoint.origin());
        // The digest, not the body: the signer never sees, and so never logs, a key.
        let digest = SignableBody::Precomputed(HEXLOWER.encode(&Sha256::digest(body)));
        let request =
            SignableRequest::new("POST", url, unsigned.into_iter(), digest).map_err(|_| unsendable())?;
        let (instructions, _) = sign(request, &params).map_err(|_| unsendable())?.into_parts();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", HeaderValue::from_static(action.target()));
        for header in instructions.into_parts().0 {
            let mut value = HeaderValue::from_str(header.value()).map_err(|_| unsendable())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(headers)
    }

    /// The error that a refusal of KMS means.
    fn refusal(&self, action: Action, answer: &OutboundAnswer, found: &FoundCredentials) -> AwsKmsError {
        let (key, region, credentials) = (self.key.clone(), self.region.clone(), found.source);
        let Refusal { code, message } = Refusal::read(answer);
        let says = |part: &str| message.contains(part);
        match code.as_str() {
            // The ciphertext is of another key, changed, or has another encryption context: KMS does not say which.
            "InvalidCiphertextException" | "IncorrectKeyException" => AwsKmsError::NotItsCiphertext,
            "AccessDeniedException" | "AccessDenied" => {
                AwsKmsError::AccessDenied { action, key, region, credentials }
            }
            "NotFoundException" => AwsKmsError::KeyNotFound { key, region },
            "DisabledException" => AwsKmsError::KeyUnusable { key, state: KeyState::Disabled },
            "KMSInvalidStateException" if says("pending deletion") => {
                AwsKmsError::KeyUnusable { key, state: KeyState::PendingDeletion }
            }
            "KMSInvalidStateException" => AwsKmsError::KeyUnusable { key, state: KeyState::Other },
            "InvalidKeyUsageException" => AwsKmsError::KeyUsage { key },
            "ExpiredTokenException" | "ExpiredToken" => AwsKmsError::CredentialsExpired { credentials },
            "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
                AwsKmsError::CredentialsUnknown { credentials, region }
            }
            "InvalidSignatureException" | "SignatureDoesNotMatch" | "IncompleteSignatureException" => {
                if says("Signature expired") || says("Signature not yet current") {
                    AwsKmsError::Clock
                } else if says("scoped to a valid region") {
                    AwsKmsError::OtherRegion { origin: self.endpoint.origin(), region }
                } else {
                    AwsKmsError::Signature { credentials }
                }
            }
            "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "LimitExceededException" => {
                AwsKmsError::Throttled { region }
            }
            _ if answer.status == 429 => AwsKmsError::Throttled { region },
            "DependencyTimeoutException" | "KMSInternalException" | "KeyUnavailableException" => {
                AwsKmsError::Unwell { region, status: answer.status }
            }
            _ if answer.status >= 500 => AwsKmsError::Unwell { region, status: answer.status },
            _ => AwsKmsError::Refused { action, status: answer.status, code },
        }
    }
}

/// An action of KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `kms:Encrypt`.
    Encrypt,
    /// `kms:Decrypt`.
    Decrypt,
}

impl Action {
    fn target(self) -> &'static str {
        match self {
            Self::Encrypt => "TrentService.Encrypt",
            Self::Decrypt => "TrentService.Decrypt",
        }
    }
}

/// The error of an answer in AWS JSON 1.1: the code is in the body or in a header, after a `#`.
struct Refusal {
    /// Only letters and digits, or empty.
    code: String,
    /// Inspected, never repeated: the text is untrusted.
    message: String,
}

impl Refusal {
    fn read(answer: &OutboundAnswer) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            #[serde(rename = "__type")]
            kind: Option<String>,
            #[serde(alias = "Message")]
            message: Option<String>,
        }
        let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
        let of_header = || Some(answer.headers.get("x-amzn-errortype")?.to_str().ok()?.to_owned());
        let named = body.kind.or_else(of_header).unwrap_or_default();
        let code = named.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
        let is_code = code.len() <= CODE_MAXIMUM && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Self {
            code: if is_code { code.to_owned() } else { String::new() },
            message: body.message.unwrap_or_default(),
        }
    }
}
