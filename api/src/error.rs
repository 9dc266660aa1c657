//! The response to a refused request: one body, one closed list of codes.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::id::RequestId;
use crate::schema;

/// The body of every response outside 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What happened and what to do, for people. In responses of `POST /v1/token` the error code of RFC 6749.
    pub error: String,
    /// In responses of `POST /v1/token`: what happened and what to do, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_description: Option<String>,
    /// The code that programs act on.
    pub status: ErrorCode,
    /// The id of the request, as the audit log has it.
    #[schema(required = true)]
    pub request_id: Option<RequestId>,
}

impl ErrorBody {
    /// What happened and what to do, for people.
    pub fn text(&self) -> &str {
        self.error_description.as_deref().unwrap_or(&self.error)
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $http:literal, $text:literal;)*) => {
        /// Machine-readable reasons, each with its HTTP status. A code never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])* #[serde(rename = $text)] $name,)*
            /// A code that this build does not know (from a newer server).
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl ErrorCode {
            /// Every code that the server answers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The HTTP status that goes with it.
            pub fn http_status(self) -> u16 {
                match self {
                    $(Self::$name => $http,)*
                    Self::Unknown => 500,
                }
            }

            /// The code as it is written in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown => "unknown",
                }
            }

            /// What it means, for people.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),*).trim_ascii(),)*
                    Self::Unknown => "",
                }
            }
        }
    };
}

codes! {
    /// The form of the request is wrong: its JSON, a field, or its query.
    BadRequest = 400, "bad_request";
    /// A name has a character that is not allowed, or the wrong length.
    BadName = 400, "bad_name";
    /// `value` and `value_b64` were both given, or neither, or a byte field is not base64.
    BadValue = 400, "bad_value";
    /// The policy cannot be set as it is.
    BadPolicy = 400, "bad_policy";
    /// Bytes that are not a key of the given type.
    BadKey = 400, "bad_key";
    /// Keys of this type do not do this, or take no associated data.
    WrongKeyType = 400, "wrong_key_type";
    /// The ciphertext was changed, or made with another key or other associated data.
    DecryptionFailed = 400, "decryption_failed";
    /// The signature was not made with this key over this message.
    SignatureMismatch = 400, "signature_mismatch";
    /// No credential came with the request.
    TokenMissing = 401, "token_missing";
    /// The credential cannot be read.
    TokenMalformed = 401, "token_malformed";
    /// The credential does not verify: unknown key or wrong signature.
    TokenInvalid = 401, "token_invalid";
    /// The credential has expired, or is not valid yet.
    TokenExpired = 401, "token_expired";
    /// The credential, a parent of it, its key, Machine, host or subject was revoked.
    Revoked = 401, "revoked";
    /// The discharge of a third-party caveat is missing.
    DischargeMissing = 401, "discharge_missing";
    /// The discharge does not match, or has expired.
    DischargeInvalid = 401, "discharge_invalid";
    /// The credential does not allow this.
    Forbidden = 403, "forbidden";
    /// The app's policy has no rule that allows this.
    PolicyDenied = 403, "policy_denied";
    /// Programs obey this name, and the app's setting `allowed_reserved_names` does not list it.
    ReservedName = 403, "reserved_name";
    /// Only a boot, a workload read or break-glass reads values.
    ReadNeedsWorkload = 403, "read_needs_workload";
    /// The object does not exist. Only a caller of the same org is told.
    NotFound = 404, "not_found";
    /// The route does not exist.
    NoRoute = 404, "no_route";
    /// The route has other methods.
    MethodNotAllowed = 405, "method_not_allowed";
    /// The name is in use.
    NameTaken = 409, "name_taken";
    /// Another object or change is in the way, such as the apps of an org.
    Conflict = 409, "conflict";
    /// The object has changed since the version that the caller named.
    StaleVersion = 412, "stale_version";
    /// A value is over 64 KiB, or a message for a secret key over 1 MiB.
    ValueTooLarge = 413, "value_too_large";
    /// The bundle is over 1 MiB, or has more names than an app may have.
    BundleTooLarge = 413, "bundle_too_large";
    /// The body is over the limit of the route.
    BodyTooLarge = 413, "body_too_large";
    /// The body does not have the media type that the route takes.
    UnsupportedMediaType = 415, "unsupported_media_type";
    /// The clock of the caller or of the server is wrong.
    ClockSkew = 400, "clock_skew";
    /// Too many requests at once, or another change of the same object.
    Busy = 503, "busy";
    /// A stored row is not what was written.
    Integrity = 500, "integrity";
    /// The server failed. Its log has the reason under the request id.
    Internal = 500, "internal";
    /// This node does not have the requested version yet.
    VersionNotReached = 503, "version_not_reached";
    /// The audit log cannot be written.
    AuditFull = 503, "audit_full";
    /// The node's audit log is missing or changed, and no operator has accepted its loss.
    AuditLost = 503, "audit_lost";
    /// The keys of the issuer of a JWT are not available.
    IssuerUnavailable = 503, "issuer_unavailable";
    /// The store cannot be reached, or accepts no writes.
    StoreUnavailable = 503, "store_unavailable";
    /// The server is stopping.
    Stopping = 503, "stopping";
    /// The server is sealed: it has no key until an operator opens a seal on its node.
    Sealed = 503, "sealed";
    /// The store's disk is full.
    StoreFull = 507, "store_full";
}

impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let object = |of: fn(Self) -> serde_json::Value| -> serde_json::Value {
            Self::ALL
                .iter()
                .map(|code| (code.as_str().to_owned(), of(*code)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let extensions = ExtensionsBuilder::new()
            .add("x-http-status", object(|code| code.http_status().into()))
            .add("x-meaning", object(|code| code.meaning().into()))
            .build();
        schema::text(
            "The code that programs act on. A code never changes. `x-http-status` has the HTTP status of each, \
             `x-meaning` what it means.",
        )
        .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
        .extensions(Some(extensions))
        .into()
    }
}

impl ToSchema for ErrorCode {}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_has_a_refusing_status() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), *code);
            assert!(code.http_status() >= 400, "{code}");
            assert!(code.meaning().ends_with('.'), "{code}");
        }
        assert_eq!(serde_json::from_str::<ErrorCode>("\"not_yet_invented\"").unwrap(), ErrorCode::Unknown);
    }
}
