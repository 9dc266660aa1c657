//! The wire types of petsem's HTTP API, and the names and ids that every part of petsem speaks of.
//!
//! They are written once, here: the server answers them, the client reads them, the store keeps rows under
//! them. A name or id that exists as one of these types has been checked; nothing checks it again, and
//! nothing takes it as plain text.
//!
//! Non-goals: this crate knows no HTTP, no storage, no keys, no clock and no randomness.

mod approval;
mod boot;
mod control;
mod error;
mod exchange;
mod explain;
mod id;
mod name;
mod rotation;
mod secret;
mod secret_key;
mod unique;
mod value;
mod wiped;

pub use approval::{
    Approval, ApprovalKind, ApprovalList, ApprovalState, AskBreakGlass, BreakGlassToken, Discharger,
    DischargerList, OrgGuard, PutDischarger,
};
pub use boot::{
    BATCH_ANSWERS, BATCH_AT_ONCE, BatchBootItem, BatchBootRequest, BatchBootResponse, BatchBootResult,
    BootReport, BootRequest, BootResponse, BootedSecret, Delivery, DischargeAnswer, DischargeRequest,
    MAX_ANSWER, MAX_BATCH, MAX_BATCH_ANSWER, RenewRequest, RenewResponse, UserInteractive,
};
pub use control::{
    App, AppList, AppSettings, CreateApp, CreateOrg, CreateToken, DeletedApp, FetchedKeys, Health, Issuer,
    IssuerList, KeysFrom, MintedToken, Org, OrgList, PolicyDocument, PutIssuer, PutPolicy, Readiness,
    RevokeRequest, Revoked, RotateSigningKey, Sealing, SigningKeyInfo, SigningKeyList, SigningKeyState,
    TokenInfo, TokenKind, TokenList,
};
pub use error::{ErrorBody, ErrorCode};
pub use exchange::{ACCESS_TOKEN_TYPE, ExchangedToken, ID_TOKEN_TYPE, JWT_TYPE, TOKEN_EXCHANGE};
pub use explain::{ExplainToken, ExplainedRefusal, ExplainedToken, Explanation};
pub use id::{AppId, ApprovalId, IdError, IssuerId, OrgId, RequestId, SigningKeyId, StoreId, TokenUuid};
pub use name::{
    AppName, AppRef, HostId, MAX_SECRET_NAME, MachineId, NameError, OrgName, OrgRef, SecretKeyName,
    SecretName,
};
pub use rotation::{AppRotation, KeyringInfo, KeyringVersion, RotateApp, RotationList, RotationProgress};
pub use secret::{
    AppSecret, BulkUpdate, BulkUpdateResponse, Deleted, Digest, History, HistoryEntry, MAX_BUNDLE,
    MAX_SECRETS, MAX_VALUE, RollbackRequest, SecretList, SetSecret, SetSecretResponse,
};
pub use secret_key::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, GenerateSecretKey, MAX_KEY_MESSAGE,
    MAX_SECRET_KEYS, SecretKey, SecretKeyList, SecretKeyType, SecretKeyTypeError, SetSecretKey,
    SetSecretKeyResponse, SignRequest, SignResponse, VerifyRequest,
};
pub use unique::UniqueJson;
pub use value::{Value, ValueError};
pub use wiped::WipedBuffer;
