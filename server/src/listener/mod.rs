//! Listeners and their connections.

pub(crate) mod front;
pub(crate) mod low_priority;
pub(crate) mod pool;
pub(crate) mod router_switch;
pub(crate) mod serve;
