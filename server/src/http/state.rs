//! What every request shares on this server: the engine, and the limits that protect clients from each other.

use std::sync::Arc;

use petsem_engine::Engine;
use tokio::sync::{Notify, watch};

use crate::disks::DiskWatch;
use crate::http::body_bytes::BodyBytes;
use crate::http::body_queue::UnprovenBodyQueue;
use crate::http::counters::Metrics;
use crate::http::log_limit::LogLimit;
use crate::http::permits::Permits;
use crate::settings::{Limits, Settings};

/// The state of an unsealed server.
pub(crate) struct ServerState {
    pub(crate) engine: Arc<Engine>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// The lines of the log that refusals cause.
    pub(crate) refusal_lines: LogLimit,
    /// The space on the disks that it writes to.
    pub(crate) disks: DiskWatch,
    /// One permit for each request in progress.
    pub(crate) permits: Arc<Permits>,
    /// Places for bodies with a JWT that no rule has accepted yet: a part of the permits, so that stalled bodies never
    /// take all of them.
    pub(crate) jwt_bodies: UnprovenBodyQueue,
    /// Places for batches of boots, whose discharges are in the body.
    pub(crate) batch_bodies: UnprovenBodyQueue,
    /// What bodies that arrive hold in memory.
    pub(crate) body_bytes: Arc<BodyBytes>,
    /// An operator has asked the server to seal itself.
    pub(crate) seal_requested: Notify,
    /// Set when requests that still run must end, because the keys are being dropped.
    pub(crate) cut_off: watch::Sender<bool>,
}

impl ServerState {
    /// The state around an engine that just started.
    pub(crate) fn new(engine: Engine, settings: &Settings) -> Self {
        let limits = settings.limits;
        Self {
            engine: Arc::new(engine),
            limits,
            metrics: Metrics::default(),
            refusal_lines: LogLimit::default(),
            disks: DiskWatch::new(settings),
            permits: Permits::new(limits.requests),
            jwt_bodies: UnprovenBodyQueue::new(limits.requests / 4),
            batch_bodies: UnprovenBodyQueue::new(limits.requests / 8),
            body_bytes: Arc::default(),
            seal_requested: Notify::new(),
            cut_off: watch::Sender::new(false),
        }
    }
}
