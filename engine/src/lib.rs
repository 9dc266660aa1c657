//! petsem's domain: which principal may do what to which rows. It knows no HTTP and no settings file.

mod approvals;
mod authn;
mod authz;
mod boot;
mod clock;
mod control;
mod engine;
mod entropy;
mod error;
mod fetch;
mod keyring;
mod records;
mod recovery;
mod request;
mod secret_keys;
mod secrets;
mod stats;
mod tenancy;
mod tokens;

pub use approvals::request::Requested;
pub use authn::tokens::Verified;
pub use authz::decide::Principal;
pub use boot::boot::Boot;
pub use boot::discharger::Proof;
pub use boot::polls::Polled;
pub use clock::Timestamp;
pub use engine::{Engine, EngineParts, EngineSettings};
pub use error::Failure;
pub use fetch::{Fetch, FetchRefusal, Fetched};
pub use request::{AuditRecord, Peer, local_record};
pub use secret_keys::{KeyQuery, KeyRequest};
pub use secrets::read::{ReadQuery, Reader};
pub use stats::{EngineStats, IssuerStats};
