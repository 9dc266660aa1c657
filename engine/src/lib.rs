//! petsem's domain: orgs, apps, secrets, boots, tokens, approvals and the keys in use. It decides which principal may
//! do what to which rows, and does it.
//!
//! ```text
//! server ─calls→ Engine ─verifies, decides→ policy
//!                       ─reads, commits→    store
//!                       ─opens, seals→      keys
//!                       ─records→           audit
//! ```
//!
//! One [`Engine`] serves one node. [`Engine::start`] builds it from an open store, the unlocked keys, the audit log and
//! a
//! [`Fetch`]. A caller of an operation passes a verified credential ([`Principal`], [`Proof`] or [`Reader`]), the time,
//! and an [`AuditRecord`], and then passes the result to [`Engine::conclude`]. Only then, with the audit line durable,
//! may the result leave the process. A refusal is a [`Failure`] with an error code and two texts, of which only the
//! external one crosses the wire.
//!
//! # Modules
//! | modules | purpose |
//! |---|---|
//! | `clock`, `entropy`, `fetch`, `error`, `request` | the only access to time and randomness, the trait for the network, refusals, audit records |
//! | `messages` | all text that clients, operators and the audit log read |
//! | `records` | typed rows, with the MAC checked at every read |
//! | `control` | the control feed, and the state that every decision depends on: keys, dischargers, issuers, revocations |
//! | `keyring` | unlocking, the list of seals, the current keyring, rotation, replacement of all keys |
//! | `engine` | [`Engine`]: the store, the keys, the control state and the audit log of one node |
//! | `tenancy` | orgs, apps and app policies |
//! | `authn` | from a header to verified tokens or JWT claims |
//! | `authz` | decisions, their explanation, and the right to read values |
//! | `secrets`, `secret_keys` | values that are read and written; keys that are used and never read |
//! | `boot` | the discharger, boots, renewals, polls |
//! | `tokens` | minting and revoking tokens |
//! | `approvals` | changes that need a second person, break-glass |
//! | `rollback` | accepts an older copy of the store when the newer one is lost |
//! | `installation`, `development`, `recovery`, `verify`, `stats` | creating an installation, `petsem dev`, lost audit lines, verification of a store, counters |
//!
//! # Authorization is a type
//! A `FoundApp` is an app whose head was verified. Only a `ReadableApp` yields values, and it has three constructors:
//! for a boot, for a workload read, and for break-glass. Each takes evidence that only the decision for that read
//! yields. One module, `secrets::bundle`, opens sealed values: its `read` takes a `ReadableApp`, and `describe`,
//! `amend` and `reseal`, for lists, writes and rotation, never return plaintext. A second HTTP API therefore cannot
//! bypass the decision.
//!
//! # Non-goals
//! - HTTP: no routes, headers other than the text of `Authorization`, statuses or body limits. The server maps
//!   [`Failure::code`] to a status.
//! - Sockets and TLS: the listener passes the peer's address and host ([`Peer`]), and the server implements [`Fetch`].
//! - The settings file: [`EngineSettings`] has what the engine needs.
//! - Seals: it calls them through the traits of `petsem-keys` and does not know which ones exist.
//! - Encryption, MACs and signatures: `petsem-keys` and `petsem-policy` have them. Storage below a row: `petsem-store`.

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
mod messages;
mod node_commands;
mod records;
mod recovery;
mod request;
mod rollback;
mod secret_keys;
mod secrets;
mod stats;
mod tenancy;
mod tokens;
mod verify;

pub use approvals::request::Requested;
pub use authn::tokens::Verified;
pub use authz::decide::Principal;
pub use boot::boot::Boot;
pub use boot::polls::Polled;
pub use boot::proof::Proof;
pub use clock::Timestamp;
pub use control::denial_folder::{DenialAnswer, DenialFolder};
pub use control::denials::{DenialError, DenialOutcome};
pub use control::dropping::drop_ended_entries;
pub use development::{DevelopmentPlan, DevelopmentTokens};
pub use engine::{Engine, EngineParts, EngineSettings};
pub use error::Failure;
pub use fetch::{Fetch, FetchRefusal, Fetched};
pub use installation::{create_installation, is_unfinished};
pub use keyring::node_keys::{
    LostChain, NodeKeys, begin_new_chain, create_node, node_before_its_first_start, node_keys, node_keys_in,
};
pub use keyring::open_list::{OpenList, PlannedSeals, Unavailable};
pub use keyring::replacement::audit_keys::nodes_with_old_keys;
pub use keyring::replacement::row_macs::{RowMacs, check_control_state, replace_row_macs, row_macs};
pub use keyring::replacement::{
    AcceptedLines, CompromisedSeal, EndedDischarger, ReplacedKeys, ReplacementStep, ReportProgress,
    UnfinishedReplacement,
};
pub use keyring::root_key::{PlannedRoot, RotatedRoot, plan_new_root};
pub use keyring::rotation::follow_rotations;
pub use keyring::seal_list::{KeepShares, SealChange, SealInfo, SealRows};
pub use keyring::state::MOST_KEYRING_VERSIONS;
pub use keyring::store_status::StoreStatus;
pub use keyring::unlock::{
    MOST_SEALS, OpenedBy, SealSources, SealWrap, SealedRows, UnlockError, Unlocked, try_automatic, unlock,
    unlock_rows,
};
pub use messages::{no_such_app, no_such_signing_key, unknown_token};
pub use node_commands::{NodeAnswer, NodeCommand};
pub use records::RecordCodec;
pub use recovery::missing_from_store;
pub use request::{AuditRecord, Peer, new_request_id};
pub use rollback::{
    EndingPolicy, LostChange, LostChanges, Repeated, begin_acceptance, find_lost_changes,
    lost_changes_between,
};
pub use secret_keys::{KeyQuery, KeyRequest};
pub use secrets::read::{ReadQuery, Reader};
pub use stats::{EngineStats, IssuerStats};
pub use tokens::mint::check_first_token;
pub use tokens::revoke::check_revocation;
pub use verify::{AppBehind, StoreReport, verify_store};

// The items of `petsem-keys` that a server needs.
pub use petsem_keys::{KeyMemory, LockedText, scrubbed, scrubbed_deep};

#[cfg(test)]
mod tests;
