//! petsem's server: listeners, HTTP routes, the life of a node, the operator socket and the configuration file.
//! Every decision is made in `petsem-engine`; this crate translates HTTP to the engine and back.
//!
//! ```text
//! settings ─→ node::start ──seal, keyring, audit log──→ Engine
//!                  │                                      ↑
//! listener ─→ RouterSwitch ─→ http (limits, ids, audit) ─→ api, oauth
//!                  ↑
//! operator.sock ─→ node::lifecycle: open ⇄ sealed, or without its log
//! ```
//!
//! | module | content |
//! |---|---|
//! | `settings` | the configuration file, with every key and its default |
//! | `node` | start and stop, the loop between open and sealed, the node's id |
//! | `listener` | TCP and Unix listeners, connections, and the router in use |
//! | `http` | what all requests share: limits, request ids, metrics, errors |
//! | `api`, `oauth` | one module for each group of routes |
//! | `operator` | commands on the node, with and without a running server |
//! | `dev` | `petsem dev` |
//! | `runtime` | the threads of boots, each on its core |
//! | `messages` | all text that clients and operators read |
//! | `error` | why a server does not start or stop, and why a configuration is refused |
//! | `fetch` | the engine's calls to issuers, by the outbound client |
//!
//! ```
//! use std::path::Path;
//!
//! use petsem_server::Settings;
//!
//! let text = r#"
//!     name = "petsem-example"
//!     location = "https://petsem.example"
//!     data_directory = "data"
//!     [[listener]]
//!     address = "127.0.0.1:8200"
//!     [[seal]]
//!     kind = "key-file"
//!     path = "seal.key"
//! "#;
//! let settings = Settings::from_toml(text, Path::new("/etc/petsem"))?;
//! assert_eq!(settings.data_directory, Path::new("/etc/petsem/data"));
//!
//! // What a server would refuse later is refused here, with the key and what to write instead.
//! let exposed = text.replace("127.0.0.1", "0.0.0.0");
//! let refused = Settings::from_toml(&exposed, Path::new("/etc/petsem")).unwrap_err();
//! assert!(refused.to_string().contains("`listener.address`"));
//! # Ok::<(), petsem_server::SettingsError>(())
//! ```
//!
//! # What it guarantees
//! - The listeners are bound before the store is opened, so a second server on them does not touch the store.
//! - A sealed server holds no key. If keys cannot be dropped, the process ends instead of reporting `sealed`.
//! - Unsealing is not a route: only the operator socket unseals, for the server's own user and root.
//!
//! # Non-goals
//! - No command line: `petsem` in `cli` parses arguments and prints.
//! - No TLS yet: TCP listeners are on loopback addresses.
//! - No plug-ins: the one setting that names code to load is the PKCS#11 module.

mod api;
mod dev;
mod disks;
mod error;
mod fetch;
mod http;
mod listener;
mod messages;
mod node;
mod oauth;
mod operator;
mod runtime;
mod settings;

pub use dev::development::{Development, serve_development, sign_development_jwt};
pub use disks::DiskSpace;
pub use error::{ServeError, SettingsError, StartError};
pub use listener::serve::{Bound, serve};
pub use operator::accept_loss::{accept_loss, audit_loss};
pub use operator::accept_rollback::{
    AcceptedRollback, accept_rollback, finish_acceptance, rollback_to_accept,
};
pub use operator::approve::approve_with_seal;
pub use operator::compromised::{Compromised, remove_compromised};
pub use operator::deny::{Denied, deny};
pub use operator::install::{InstallOptions, Installed, install, is_interrupted};
pub use operator::node::add_node;
pub use operator::recover::{mint_owner, recover};
pub use operator::register::{add_discharger, add_issuer};
pub use operator::root_key::rotate_root;
pub use operator::seals::{
    AddSeal, PeopleSeals, TriedSeal, UnsealedServer, add_seal, automatic_seal, last_automatic_seal,
    list_seals, next_start_warning, people_seals, remove_seal, unseal, unsealed_before, verify_seals,
};
pub use operator::shares::{AttemptStatus, GivenShare, OPEN_FOR, ShareAttempt, give_share, share_attempts};
pub use operator::socket::ServerStatus;
pub use operator::status::{NodeStatus, status};
pub use operator::unseal_input::UnsealInput;
pub use operator::verify::{verify_audit, verify_store};
pub use petsem_audit as audit;
pub use petsem_engine::{
    AppBehind, CompromisedSeal, EndedDischarger, EndingPolicy, KeepShares, LostChange, LostChanges, Repeated,
    ReplacedKeys, ReplacementStep, ReportProgress, RotatedRoot, SealInfo, StoreReport, StoreStatus,
};
pub use petsem_seals::{NewShare, SealSettings};
pub use runtime::runtime;
pub use settings::{AuditSettings, Limits, ListenAddress, Listener, Settings};
