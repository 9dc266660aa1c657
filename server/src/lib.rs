//! petsem's server: routes, decisions, audit, settings. It brings the other crates together and knows nothing
//! of the command line.
//!
//! The walk of one boot, by name: [`serve`] accepts a connection and knows its host → `routes::boot` takes the
//! request apart within limits → `boots::decide` verifies tokens (`petsem_policy`), checks revocations, asks
//! the app's policy again → `Core::find_app` reads head and bundle (`petsem_store`) and checks the head's MAC
//! → `Core::open_bundle` opens the one sealed message (`petsem_keys`) → `http::finish` makes the audit line
//! durable, and only then answers.
//!
//! # Non-goals
//! No command line, no TLS yet, no plug-ins: configuration never names code to run.

mod approvals;
mod apps;
mod asker;
pub mod audit;
mod authority;
mod boots;
mod break_glass;
mod clock;
mod control;
mod core;
mod denials;
mod deny;
mod development;
mod discharge;
mod dischargers;
mod entropy;
mod exchange;
mod explain;
mod failure;
mod forms;
mod given;
mod http;
mod install;
mod issuer_keys;
mod issuers;
mod jwt;
mod keyring_state;
mod lifetime;
mod metrics;
mod node;
mod operator_socket;
mod orgs;
mod owners;
mod polls;
mod request;
mod revocations;
mod revoked;
mod root_rotation;
mod rotation;
mod routes;
mod rows;
mod seal_commands;
mod seal_list;
mod sealed;
mod secret_keys;
mod secrets;
mod serve;
mod settings;
mod signing_keys;
mod start;
mod status;
mod tokens;
mod unlock;
mod verify_audit;
mod verify_store;
mod wiped;
mod workload;

pub use approvals::approve_with_seal;
pub use deny::{Denied, deny};
pub use development::{Development, serve_development, sign_development_jwt};
pub use dischargers::add_discharger;
pub use given::Given;
pub use install::{InstallOptions, Installed, install};
pub use issuers::add_issuer;
pub use owners::{mint_owner, recover};
pub use petsem_keys::NewShare;
pub use petsem_seals::SealSettings;
pub use root_rotation::{Compromised, RotatedRoot, remove_compromised, rotate_root};
pub use seal_commands::{
    AddSeal, PeopleSeals, TriedSeal, add_seal, list_seals, people_seals, remove_seal, unseal, verify_seals,
};
pub use seal_list::{KeepShares, SealInfo};
pub use serve::{Bound, ServeError, serve};
pub use settings::{AuditSettings, Limits, ListenAddress, Listener, Settings, SettingsError};
pub use start::StartError;
pub use status::{NodeStatus, ServerStatus, StoreStatus, status};
pub use verify_audit::verify_audit;
pub use verify_store::{AppBehind, StoreReport, verify_store};
