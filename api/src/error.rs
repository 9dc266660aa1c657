//! What a refused request answers: one body, one closed list of codes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::RequestId;

/// The body of every answer outside 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What happened and what to do, for people.
    pub error: String,
    /// The code that programs act on.
    pub status: ErrorCode,
    /// The request, as the audit log names it.
    pub request_id: Option<RequestId>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $http:literal, $text:literal;)*) => {
        /// Machine-readable reasons, each with its HTTP status. A code is forever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
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

            /// The code as it stands in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown => "unknown",
                }
            }
        }
    };
}

codes! {
    /// The request's form is wrong: JSON, a field, a query.
    BadRequest = 400, "bad_request";
    /// A name outside its alphabet or length.
    BadName = 400, "bad_name";
    /// `value` and `value_b64` together, neither, or bad base64.
    BadValue = 400, "bad_value";
    /// A policy that cannot be set as it is.
    BadPolicy = 400, "bad_policy";
    /// Bytes that are no key of the type that was named.
    BadKey = 400, "bad_key";
    /// Keys of this type do something else, or without associated data.
    WrongKeyType = 400, "wrong_key_type";
    /// A ciphertext that was changed, or made with another key or other associated data.
    DecryptionFailed = 400, "decryption_failed";
    /// A signature that is not this key's over this message.
    SignatureMismatch = 400, "signature_mismatch";
    /// No credential came with the request.
    TokenMissing = 401, "token_missing";
    /// A credential that cannot be read.
    TokenMalformed = 401, "token_malformed";
    /// A credential that does not verify: unknown key, wrong signature.
    TokenInvalid = 401, "token_invalid";
    /// A credential whose time is over, or has not come.
    TokenExpired = 401, "token_expired";
    /// A credential, its parent, key, machine, host or subject was revoked.
    Revoked = 401, "revoked";
    /// A third-party caveat without its discharge.
    DischargeMissing = 401, "discharge_missing";
    /// A discharge that does not fit, or whose time is over.
    DischargeInvalid = 401, "discharge_invalid";
    /// The credential does not allow this.
    Forbidden = 403, "forbidden";
    /// The app's policy has no rule that allows this.
    PolicyDenied = 403, "policy_denied";
    /// Values are read by a boot, a workload read or break-glass alone.
    ReadNeedsWorkload = 403, "read_needs_workload";
    /// It is not there (told only to callers of the same org).
    NotFound = 404, "not_found";
    /// No such route.
    NoRoute = 404, "no_route";
    /// The route knows other methods.
    MethodNotAllowed = 405, "method_not_allowed";
    /// The name is in use.
    NameTaken = 409, "name_taken";
    /// Something else has the state that must go first (an org with apps).
    Conflict = 409, "conflict";
    /// The app has moved on since the version that the caller named.
    StaleVersion = 412, "stale_version";
    /// A value over 64 KiB.
    ValueTooLarge = 413, "value_too_large";
    /// A bundle over 1 MiB, or more names than an app may have.
    BundleTooLarge = 413, "bundle_too_large";
    /// A body over the route's limit.
    BodyTooLarge = 413, "body_too_large";
    /// The body is not `application/json`.
    UnsupportedMediaType = 415, "unsupported_media_type";
    /// The caller's or the server's clock is too far off.
    ClockSkew = 400, "clock_skew";
    /// Too many requests at once.
    Busy = 503, "busy";
    /// A row does not hold what was written to it.
    Integrity = 500, "integrity";
    /// Something failed inside; the log has it under the request id.
    Internal = 500, "internal";
    /// The version asked for is not here yet.
    VersionNotReached = 503, "version_not_reached";
    /// The audit log cannot be written.
    AuditFull = 503, "audit_full";
    /// The store cannot be reached or takes no writes.
    StoreUnavailable = 503, "store_unavailable";
    /// The server is stopping.
    Stopping = 503, "stopping";
    /// The server is sealed: it has no key until somebody opens a seal on its node.
    Sealed = 503, "sealed";
    /// The store's disk is full.
    StoreFull = 507, "store_full";
}

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
        }
        assert_eq!(serde_json::from_str::<ErrorCode>("\"not_yet_invented\"").unwrap(), ErrorCode::Unknown);
    }
}
