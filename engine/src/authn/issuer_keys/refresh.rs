//! When the keys of an issuer are fetched: for a JWT with an unknown key id, and before they get old.

use std::sync::Arc;
use std::time::Duration;

use petsem_api::ErrorCode;

use super::PublishedKeys;
use super::held::Next;
use crate::clock::ClockReading;
use crate::engine::Engine;
use crate::error::Failure;

/// The longest that a request waits.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Fetches that one look at all issuers begins.
const MOST_BEGUN: usize = 8;

impl Engine {
    /// Sees to it that the keys at hand are new enough for a JWT that names this key id, which is none of them.
    /// Answers whether they may have changed.
    pub(crate) async fn look_for_key(
        &self,
        published: &Arc<PublishedKeys>,
        key_id: Option<&str>,
    ) -> Result<bool, Failure> {
        // Before the question: an end in between is not missed.
        let mut fetched = published.fetched.subscribe();
        let next = published.held().next(key_id, ClockReading::now());
        let begun = match next {
            Next::Done => return Ok(false),
            Next::Known => return Ok(true),
            Next::Later { seconds } => return Err(come_back(seconds)),
            Next::Unavailable => return Err(unavailable(published)),
            Next::Fetch => {
                published.begin(&self.fetch);
                true
            }
            Next::Wait => false,
        };
        let Ok(_place) = published.places.try_acquire() else {
            let has_keys = published.held().live(ClockReading::now()).is_some();
            return Err(if has_keys { come_back(1) } else { unavailable(published) });
        };
        // A sender that is gone is of an issuer that is gone: there is nothing to wait for.
        let waited = tokio::time::timeout(LONGEST_WAIT, fetched.changed()).await;
        let mut held = published.held();
        if held.live(ClockReading::now()).is_none() {
            drop(held);
            return Err(unavailable(published));
        }
        if let (true, Ok(_), Some(id)) = (begun, waited, key_id) {
            held.note_if_unknown(id, ClockReading::now());
        }
        Ok(true)
    }

    /// Begins to fetch the keys that get old, or that there are none of yet.
    pub fn renew_keys(&self) {
        let control = self.control();
        let published = control.issuers().filter_map(|entry| entry.keys.published());
        for due in
            published.filter(|published| published.held().take_if_due(ClockReading::now())).take(MOST_BEGUN)
        {
            due.begin(&self.fetch);
        }
    }
}

/// Whoever has a new key gets it known a moment later; whoever invents key ids learns nothing. With its `Retry-After`
/// it is no verdict on the JWT, and clients try again.
fn come_back(seconds: u64) -> Failure {
    Failure::new(
        ErrorCode::TokenInvalid,
        format!(
            "the JWT's key is not known here; if its issuer has just begun to use it, try again in {seconds} s"
        ),
    )
    .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
}

fn unavailable(published: &PublishedKeys) -> Failure {
    let failure = Failure::new(
        ErrorCode::IssuerUnavailable,
        "the keys of the JWT's issuer cannot be had now, so it cannot be verified; try again; the operator of this \
         petsem sees why in the list of issuers",
    )
    .retry_after(5);
    let problem = published.held().problem().map(str::to_owned);
    match problem {
        Some(problem) => failure.because(problem),
        None => failure,
    }
}
