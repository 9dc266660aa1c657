//! The life of a node: start, sealed, unsealed, stopped.

pub(crate) mod file_owner;
pub(crate) mod identity;
pub(crate) mod lifecycle;
pub(crate) mod lost_log;
pub(crate) mod sealed;
pub(crate) mod signals;
pub(crate) mod start;
