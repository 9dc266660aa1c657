//! The life of a node: start, sealed, unsealed, stopped.

pub(crate) mod identity;
pub(crate) mod lifecycle;
pub(crate) mod root_key;
pub(crate) mod seal_list;
pub(crate) mod sealed;
pub(crate) mod start;
pub(crate) mod unlock;
