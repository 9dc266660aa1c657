//! Listeners and their connections.

pub(crate) mod front;
pub(crate) mod others;
pub(crate) mod pool;
pub(crate) mod router_switch;
pub(crate) mod serve;
