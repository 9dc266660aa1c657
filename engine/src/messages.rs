//! All text that clients, approvers, operators and the audit log read from the engine, with a file per topic. A function
//! is named by its subject and returns the refusal itself, so that code and text stay together.
//!
//! Elsewhere are texts that make sense only beside the code they describe: those of a store that fails beside the
//! conversions of its errors (`error`), those of other errors beside their variants, what is wrong with a row beside the
//! check that found it, and log lines. `Failure::internal` stays in place, too: clients get one fixed text for it.
//!
//! A refusal says what happened, then what to do, and no more than the principal may know: where it may not know whether
//! something exists, one text serves both cases. No text here can hold a value, a key or a token: the functions are not
//! given any, only names, ids and numbers.

mod access;
mod approvals;
mod boots;
mod details;
mod issuers;
mod jwts;
mod keyring;
mod node;
mod rollbacks;
mod secret_keys;
mod secrets;
mod tenants;
mod tokens;
mod unlocking;
mod verification;

pub use access::no_such_app;
pub(crate) use access::*;
pub(crate) use approvals::*;
pub(crate) use boots::*;
pub(crate) use details::*;
pub(crate) use issuers::*;
pub(crate) use jwts::*;
pub(crate) use keyring::*;
pub(crate) use node::*;
pub(crate) use rollbacks::*;
pub(crate) use secret_keys::*;
pub(crate) use secrets::*;
pub(crate) use tenants::*;
pub(crate) use tokens::*;
pub use tokens::{no_such_signing_key, unknown_token};
pub(crate) use unlocking::*;
pub(crate) use verification::*;
