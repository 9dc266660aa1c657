//! Requests for `/healthz` beside an attack, each on a connection of its own, as a load balancer sends them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use petsem_integration::http::{Answer, Request, exchange};
use petsem_integration::pause;

use crate::data::clock;

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of the requests.
#[derive(Default)]
pub(super) struct Health {
    /// Microseconds, ascending.
    pub(super) latencies: Vec<u32>,
    pub(super) failures: BTreeMap<String, u64>,
}

/// Asks until `ended`.
pub(super) fn ask(address: SocketAddr, ended: &AtomicBool) -> Health {
    let request = Request::new("GET", "/healthz").to_bytes();
    let mut health = Health::default();
    while !ended.load(Ordering::Relaxed) {
        let begun = clock();
        let why = match exchange(address, &request).map(|received| Answer::parse(&received)) {
            Ok(Some(answer)) if answer.status == 200 => {
                let took = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
                health.latencies.push(took);
                pause(PAUSE);
                continue;
            }
            Ok(Some(answer)) => answer.status.to_string(),
            Ok(None) => "closed without an answer".to_owned(),
            Err(error) => error.to_string(),
        };
        *health.failures.entry(why).or_default() += 1;
        pause(PAUSE);
    }
    health.latencies.sort_unstable();
    health
}
