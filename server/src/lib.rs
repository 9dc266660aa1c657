//! petsem's server: listeners, HTTP routes, node lifecycle, operator socket, settings. What is decided and done is the
//! business of `petsem-engine`; this crate knows nothing of the command line.
//!
//! # Non-goals
//! No command line, no TLS yet, no plug-ins: configuration never names code to run.

mod api;
mod dev;
mod fetch;
mod http;
mod listener;
mod node;
mod oauth;
mod operator;
mod settings;

pub use dev::development::{Development, serve_development, sign_development_jwt};
pub use listener::serve::{Bound, serve};
pub use listener::serve_error::ServeError;
pub use node::start_error::StartError;
pub use operator::approve::approve_with_seal;
pub use operator::deny::{Denied, deny};
pub use operator::install::{InstallOptions, Installed, install};
pub use operator::recover::{mint_owner, recover};
pub use operator::register::{add_discharger, add_issuer};
pub use operator::root_key::{Compromised, remove_compromised, rotate_root};
pub use operator::seals::{
    AddSeal, PeopleSeals, TriedSeal, add_seal, list_seals, people_seals, remove_seal, unseal, verify_seals,
};
pub use operator::socket::ServerStatus;
pub use operator::status::{NodeStatus, status};
pub use operator::unseal_input::UnsealInput;
pub use operator::verify::{verify_audit, verify_store};
pub use petsem_audit as audit;
pub use petsem_engine::{AppBehind, KeepShares, RotatedRoot, SealInfo, StoreReport, StoreStatus};
pub use petsem_seals::{NewShare, SealSettings};
pub use settings::{AuditSettings, Limits, ListenAddress, Listener, Settings, SettingsError};
