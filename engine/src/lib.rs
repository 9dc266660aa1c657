//! petsem's domain: which principal may do what to which rows. It knows no HTTP and no settings file.

mod approvals;
mod authn;
mod authz;
mod boot;
mod clock;
mod control;
mod development;
mod engine;
mod entropy;
mod error;
mod fetch;
mod installation;
mod keyring;
#[cfg(test)]
mod lab;
mod records;
mod recovery;
mod request;
mod secret_keys;
mod secrets;
mod stats;
mod tenancy;
mod tokens;
mod verify;

pub use approvals::request::Requested;
pub use authn::tokens::Verified;
pub use authz::decide::{Principal, no_such_app};
pub use boot::boot::Boot;
pub use boot::discharger::Proof;
pub use boot::polls::Polled;
pub use clock::Timestamp;
pub use control::denial_folder::{DenialAnswer, DenialFolder};
pub use control::pending_denials::{DenialError, DenialOutcome};
pub use development::{DevelopmentPlan, DevelopmentTokens};
pub use engine::{Engine, EngineParts, EngineSettings};
pub use error::Failure;
pub use fetch::{Fetch, FetchRefusal, Fetched};
pub use installation::create_installation;
pub use keyring::node_keys::{NodeKeys, create_node, node_keys};
pub use keyring::open_list::{OpenList, PlannedSeals, Unavailable};
pub use keyring::root_key::{PlannedRoot, RootRows, RotatedRoot, plan_new_root};
pub use keyring::rotation::follow_rotations;
pub use keyring::seal_list::{KeepShares, SealChange, SealInfo};
pub use keyring::state::MOST_KEYS;
pub use keyring::store_status::StoreStatus;
pub use keyring::unlock::{
    MOST_SEALS, OpenedBy, SealSources, SealWrap, SealedRows, UnlockError, Unlocked, unlock, unlock_rows,
};
pub use records::RecordCodec;
pub use recovery::missing_from_store;
pub use request::{AuditRecord, Peer, new_request_id};
pub use secret_keys::{KeyQuery, KeyRequest};
pub use secrets::read::{ReadQuery, Reader};
pub use stats::{EngineStats, IssuerStats};
pub use tokens::mint::check_first_token;
pub use tokens::revoke::{check_revocation, no_such_signing_key};
pub use verify::{AppBehind, StoreReport, verify_store};

// What a server needs of the keys, and no more.
pub use petsem_keys::{KeyMemory, scrubbed, scrubbed_deep};
