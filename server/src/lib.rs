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
mod explain;
mod failure;
mod http;
mod issuers;
mod jwt;
mod metrics;
mod orgs;
mod owners;
mod polls;
mod request;
mod revocations;
mod revoked;
mod routes;
mod rows;
mod secret_keys;
mod secrets;
mod serve;
mod settings;
mod signing_keys;
mod stack;
mod start;
mod tokens;
mod verify_audit;
mod wiped;
mod workload;

pub use approvals::approve_with_seal;
pub use deny::{Denied, deny};
pub use development::{Development, serve_development, sign_development_jwt};
pub use dischargers::add_discharger;
pub use issuers::add_issuer;
pub use owners::{mint_owner, recover};
pub use serve::{Bound, ServeError, serve};
pub use settings::{AuditSettings, Limits, ListenAddress, Listener, SealSettings, Settings, SettingsError};
pub use start::{InstallOptions, Installed, StartError, install};
pub use verify_audit::verify_audit;
