//! All text that a client or an operator reads from the server, with a file per topic. A function is named by its
//! subject and returns the error itself, so that code and text stay together.
//!
//! Elsewhere are texts that make sense only beside the code they describe: those of the errors of a start beside
//! their variants (`error`), those of the OpenAPI document and of the metrics beside their declarations, and log lines,
//! whose text means little without the fields beside it.
//!
//! A refusal says what happened, then what to do. No text here can hold a value, a key or a token: the functions are
//! not given any.

mod boots;
mod commands;
mod development;
mod fetches;
mod node;
mod oauth;
mod problems;
mod requests;
mod sealed;
mod settings;

pub(crate) use boots::*;
pub(crate) use commands::*;
pub(crate) use development::*;
pub(crate) use fetches::*;
pub(crate) use node::*;
pub(crate) use oauth::*;
pub(crate) use problems::*;
pub(crate) use requests::*;
pub(crate) use sealed::*;
pub(crate) use settings::*;
