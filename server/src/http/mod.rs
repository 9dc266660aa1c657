//! Between HTTP and the engine: requests in, responses out, limits and metrics.

pub(crate) mod body_queue;
pub(crate) mod counters;
pub(crate) mod metrics;
pub(crate) mod request;
pub(crate) mod state;
