//! When the keys of an issuer are fetched: for a JWT with an unknown key id, and before they get old.

use std::sync::Arc;
use std::time::Duration;

use super::PublishedKeys;
use super::held::Next;
use crate::clock::ClockReading;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;

/// The longest that a request waits.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// `Retry-After`, in seconds, while a fetch is running.
const RUNNING: u64 = 5;
/// Fetches that one look at all issuers begins.
const MOST_BEGUN: usize = 8;

impl Engine {
    /// Fetches newer keys if needed for a JWT whose key id is not among the current keys. Returns whether the keys may
    /// have changed.
    pub(crate) async fn look_for_key(
        &self,
        published: &Arc<PublishedKeys>,
        key_id: Option<&str>,
    ) -> Result<bool, Failure> {
        // Subscribed before the decision, so that the end of a fetch in between is not missed.
        let mut fetched = published.fetched.subscribe();
        let interval = self.settings.refetch_interval;
        let next = published.held().next(key_id, interval, ClockReading::now());
        let begun = match next {
            Next::Done => return Ok(false),
            Next::Known => return Ok(true),
            Next::Later { seconds } => return Err(messages::jwt_key_unknown(seconds)),
            Next::Unavailable { seconds } => return Err(unavailable(published, seconds)),
            Next::Fetch => {
                published.begin(&self.fetch);
                true
            }
            Next::Wait => false,
        };
        let Ok(_place) = published.places.try_acquire() else {
            let has_keys = published.held().live(ClockReading::now()).is_some();
            return Err(if has_keys {
                messages::jwt_key_unknown(1)
            } else {
                unavailable(published, RUNNING)
            });
        };
        // A closed channel means that the issuer was removed: there is nothing to wait for.
        let waited = tokio::time::timeout(LONGEST_WAIT, fetched.changed()).await;
        let mut held = published.held();
        if held.live(ClockReading::now()).is_none() {
            drop(held);
            return Err(unavailable(published, RUNNING));
        }
        if let (true, Ok(_), Some(id)) = (begun, waited, key_id) {
            held.note_if_unknown(id, interval, ClockReading::now());
        }
        Ok(true)
    }

    /// Starts fetches for keys that are due for renewal or were never fetched.
    pub fn renew_keys(&self) {
        let control = self.control();
        let published = control.issuers().filter_map(|entry| entry.keys.published());
        let interval = self.settings.refetch_interval;
        let is_due =
            |published: &&Arc<PublishedKeys>| published.held().take_if_due(interval, ClockReading::now());
        for due in published.filter(is_due).take(MOST_BEGUN) {
            due.begin(&self.fetch);
        }
    }
}

fn unavailable(published: &PublishedKeys, seconds: u64) -> Failure {
    let failure = messages::issuer_keys_unavailable(seconds);
    let problem = published.held().problem().map(str::to_owned);
    match problem {
        Some(problem) => failure.because(problem),
        None => failure,
    }
}
