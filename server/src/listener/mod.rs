//! Listeners and their connections.

pub(crate) mod serve;
