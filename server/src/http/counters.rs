//! What the server counts and times since its start.

use petsem_api::ErrorCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds of the buckets of latencies, in seconds: a boot takes milliseconds, a seal may take a minute.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// What is counted and timed since start.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(super) requests: Counter,
    pub(super) boots: Counter,
    pub(super) refused: Family<StatusLabel, Counter>,
    pub(super) durations: Family<RouteLabel, Histogram, fn() -> Histogram>,
}

/// The machine code of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StatusLabel {
    status: &'static str,
}

/// A route, as it is declared: never a path with names in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabel {
    method: &'static str,
    route: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let refused = Family::default();
        for code in ErrorCode::ALL {
            let _from_zero = refused.get_or_create(&StatusLabel { status: code.as_str() });
        }
        Self {
            requests: Counter::default(),
            boots: Counter::default(),
            refused,
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Metrics {
    /// A request came in.
    pub(crate) fn request(&self) {
        self.requests.inc();
    }

    /// A Machine got its secrets.
    pub(crate) fn boot(&self) {
        self.boots.inc();
    }

    /// A request was refused.
    pub(crate) fn refused(&self, code: ErrorCode) {
        self.refused.get_or_create(&StatusLabel { status: code.as_str() }).inc();
    }

    /// The latencies of a route.
    pub(crate) fn timer(&self, method: &'static str, route: &'static str) -> Histogram {
        self.durations.get_or_create(&RouteLabel { method, route }).clone()
    }
}
