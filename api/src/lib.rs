//! The wire types of petsem's HTTP API, and the names and ids that every part of petsem uses.
//!
//! Each type is defined once, here. The server writes it, the client reads it, and the store keeps rows under
//! its ids. A value of one of these types has been validated, so no other crate validates it again or takes it
//! as plain text.
//!
//! ```
//! use petsem_api::{AppRef, BulkUpdate, ErrorCode, SecretName, from_json};
//!
//! let body = br#"{"values": {"DATABASE_URL": "postgres://db", "OLD_TOKEN": null}, "expected_version": 7}"#;
//! let update: BulkUpdate = from_json(body)?;
//! let names: Vec<_> = update.values.keys().map(SecretName::as_str).collect();
//! assert_eq!(names, ["DATABASE_URL", "OLD_TOKEN"]);
//!
//! // A refusal is data: a code and a place. It never repeats the body, which may be a secret.
//! let refused = from_json::<BulkUpdate>(br#"{"values": {"2ND": "hunter2"}}"#).unwrap_err();
//! assert_eq!(refused.code(), ErrorCode::BadName);
//! assert!(!refused.to_string().contains("hunter2"));
//!
//! // A path names an app by id or by name. No name is an id.
//! assert!(matches!("shop".parse(), Ok(AppRef::Name(_))));
//! # Ok::<(), petsem_api::ParseError>(())
//! ```
//!
//! # Rules of all types
//! | rule | where |
//! |---|---|
//! | A name has one spelling: no case folding, no trimming, no Unicode normalization. | [`SecretName`] … |
//! | An id is 16 bytes; its text is a UUID in lower case with hyphens. | [`AppId`] … |
//! | A value is bytes: `value` if they are UTF-8, otherwise `value_b64`; a request gives exactly one. | [`Value`] |
//! | A request has no unknown and no repeated field, and `null` is refused for an absent one. | [`from_json`] |
//! | A time is RFC 3339 text; a duration is whole seconds. | |
//! | An error has a code, which never changes, and the HTTP status of that code. | [`ErrorCode`] |
//! | A name that programs obey by themselves is reserved for environments. | [`SecretName::reserved`] |
//! | A type that holds a secret shows none in `Debug`. | [`Value`], [`MintedToken`] … |
//!
//! # Schemas
//! Every type has a schema (`utoipa::ToSchema`) with the constraints that its readers enforce. The doc comments
//! are its descriptions. The server assembles the OpenAPI document from the schemas and its routes.
//!
//! # Non-goals
//! This crate knows no HTTP, storage, keys, clock or randomness. It does not decide anything, and it does not
//! read policies: on the wire a policy is any JSON.

mod approval;
mod boot;
mod control;
mod error;
mod exchange;
mod explain;
mod id;
mod json;
mod name;
mod policy;
mod printable;
mod reserved;
mod rotation;
mod schema;
mod secret;
mod secret_key;
mod text;
mod unique;
mod value;
mod wiped;

pub use approval::{
    Approval, ApprovalKind, ApprovalList, ApprovalState, Approve, BreakGlassRequest, BreakGlassToken,
    Discharger, DischargerList, EnrollmentRequest, OrgGuard, PutDischarger,
};
pub use boot::{
    BATCH_ANSWERS, BATCH_AT_ONCE, BatchBootAnswer, BatchBootItem, BatchBootRequest, BatchBootResponse,
    BatchBootResult, BootAnswer, BootReport, BootRequest, BootResponse, BootedSecret, Delivery,
    DischargeAnswer, DischargeRequest, MAX_ANSWER, MAX_BATCH, MAX_BATCH_ANSWER, Recorded, RenewRequest,
    RenewResponse, SecretsJson, UserInteractive,
};
pub use control::{
    App, AppList, AppOrganization, AppSettings, AppStatus, BootClaims, ChangeAppSettings, CreateApp,
    CreateOrg, CreateToken, DeletedApp, DeletedOrg, FetchedKeys, Health, Issuer, IssuerList, KeysFrom,
    LeftOutKey, MAX_ALLOWED_NAMES, MintedToken, Org, OrgList, PolicyDocument, PutIssuer, PutPolicy,
    Readiness, RevokeRequest, Revoked, RotateSigningKey, Sealing, SigningKeyInfo, SigningKeyList,
    SigningKeyState, TokenInfo, TokenKind, TokenList,
};
pub use error::{ErrorBody, ErrorCode};
pub use exchange::{
    ACCESS_TOKEN_TYPE, ExchangeRequest, ExchangedToken, ID_TOKEN_TYPE, JWT_TYPE, TOKEN_EXCHANGE,
};
pub use explain::{ExplainToken, ExplainedRefusal, ExplainedToken, Explanation};
pub use id::{AppId, ApprovalId, IdError, IssuerId, OrgId, RequestId, SigningKeyId, StoreId, TokenUuid};
pub use json::{ParseError, from_json};
pub use name::{
    AppName, AppRef, HostId, MAX_SECRET_NAME, MachineId, NameError, OrgName, OrgRef, SecretKeyName,
    SecretName,
};
pub use printable::{escaped, is_unprintable, shell_quoted};
pub use reserved::{RESERVED, ReservedFamily};
pub use rotation::{AppRotation, KeyringInfo, KeyringVersion, RotateApp, RotationList, RotationProgress};
pub use secret::{
    AppSecret, BulkUpdate, BulkUpdateResponse, Deleted, Digest, History, HistoryEntry, MAX_BUNDLE,
    MAX_SECRETS, MAX_VALUE, RollbackRequest, SecretList, SecretWarning, SetSecret, SetSecretResponse,
};
pub use secret_key::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, GenerateSecretKey, MAX_KEY_MESSAGE,
    MAX_SECRET_KEYS, SecretKey, SecretKeyList, SecretKeyType, SecretKeyTypeError, SetSecretKey,
    SetSecretKeyResponse, SignRequest, SignResponse, VerifyRequest,
};
pub use unique::UniqueJson;
pub use value::{Value, ValueError, WireField};
pub use wiped::{WipedBuffer, WipedBytes};
