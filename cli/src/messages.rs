//! All text that the command prints, with a file per topic. Only `--help` is elsewhere, beside the arguments that it
//! explains, and the headings and labels of tables, beside their columns.
//!
//! A failure says what happened, then what to do, naming the flag or command to type. No text here can hold a
//! value, a key or a token: the functions are not given any.

mod answers;
mod approvals;
mod explanations;
mod files;
mod identity;
mod issuers;
mod node;
mod phrasing;
mod rollbacks;
mod rotations;
mod seals;
mod status;
mod tokens;
mod usage;

pub(crate) use answers::*;
pub(crate) use approvals::*;
pub(crate) use explanations::*;
pub(crate) use files::*;
pub(crate) use identity::*;
pub(crate) use issuers::*;
pub(crate) use node::*;
pub(crate) use phrasing::{STDIN_NAME, file_name};
pub(crate) use rollbacks::*;
pub(crate) use rotations::*;
pub(crate) use seals::*;
pub(crate) use status::{node_not_ready, node_status};
pub(crate) use tokens::*;
pub(crate) use usage::*;
