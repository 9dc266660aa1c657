//! Permits of requests: how many there are, and how many of them one caller may have.
//!
//! Parts of the permits, in eighths: boots on listeners of hosts can take any, one host two; discharges, and boots
//! elsewhere, five; all others four. So neither strangers nor another host can keep a host from booting. One address
//! can take three, unless it is a loopback address, which a proxy's callers share; one token, JWT or issuer can take
//! one, and all tokens of one org two.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use petsem_api::OrgId;
use petsem_engine::{Failure, Peer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::messages;

const OF_BOOTS_ELSEWHERE: usize = 5;
const OF_OTHERS: usize = 4;
const OF_HOST: usize = 2;
const OF_ADDRESS: usize = 3;
const OF_HOLDER: usize = 1;
const OF_ORG: usize = 2;
/// How the name of an org among the holders begins.
const ORG: &str = "org ";

/// What a request does, which decides which permits it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// What a booting Machine waits for.
    Boot,
    /// All others.
    Other,
}

/// The permits of all requests.
pub(crate) struct Permits {
    most: usize,
    any: Arc<Semaphore>,
    /// The part of what is no boot on a listener of a host, and the part of that of what is no boot at all.
    elsewhere: Arc<Semaphore>,
    other: Arc<Semaphore>,
    /// How many each address, token and issuer has.
    held: Mutex<HashMap<String, usize>>,
}

/// A permit, until it is dropped.
pub(super) struct Permit(#[expect(dead_code, reason = "held until the drop")] Vec<OwnedSemaphorePermit>);

/// A part of the shares of an address, a token and an issuer, until it is dropped.
pub(super) struct Share {
    permits: Arc<Permits>,
    holders: Vec<String>,
}

impl Permits {
    /// So many permits.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let part = |eighths| Arc::new(Semaphore::new(eighths_of(most, eighths)));
        Arc::new(Self {
            most,
            any: Arc::new(Semaphore::new(most)),
            elsewhere: part(OF_BOOTS_ELSEWHERE),
            other: part(OF_OTHERS),
            held: Mutex::default(),
        })
    }

    /// Waits until no request has a permit. From then on, none gets one.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(self.most).unwrap_or(u32::MAX);
        // Nothing closes the semaphore.
        if let Ok(permits) = self.any.acquire_many(all).await {
            permits.forget();
        }
    }

    /// A permit for a request, if one is left.
    pub(super) fn permit(&self, priority: Priority, is_of_host: bool) -> Result<Permit, TryAcquireError> {
        let parts = match priority {
            Priority::Boot if is_of_host => vec![&self.any],
            Priority::Boot => vec![&self.elsewhere, &self.any],
            Priority::Other => vec![&self.other, &self.elsewhere, &self.any],
        };
        parts
            .into_iter()
            .map(|part| Arc::clone(part).try_acquire_owned())
            .collect::<Result<_, _>>()
            .map(Permit)
    }

    /// A share for a request from this peer with the credential of these holders.
    ///
    /// # Errors
    /// One of them has as many requests in progress as it may have.
    pub(super) fn share(self: &Arc<Self>, peer: &Peer, holders: Vec<String>) -> Result<Share, Failure> {
        let is_of_host = peer.host.is_some();
        let part = if is_of_host { OF_HOST } else { OF_ADDRESS };
        // Callers behind a proxy on this machine have no address of their own.
        let is_shared = !is_of_host && peer.address.is_some_and(|address| address.is_loopback());
        let source = (!is_shared).then(|| (source_of(peer), part));
        // The listener of a host has one holder: the host.
        let holders = holders.into_iter().filter(|_| !is_of_host).map(|holder| {
            let part = if is_org(&holder) { OF_ORG } else { OF_HOLDER };
            (holder, part)
        });
        let wanted: Vec<_> =
            holders.chain(source).map(|(holder, part)| (holder, eighths_of(self.most, part))).collect();
        let mut held = self.held();
        if wanted.iter().any(|(holder, most)| held.get(holder).is_some_and(|held| held >= most)) {
            return Err(messages::share_of_requests_taken());
        }
        for (holder, _) in &wanted {
            *held.entry(holder.clone()).or_default() += 1;
        }
        drop(held);
        let holders = wanted.into_iter().map(|(holder, _)| holder).collect();
        Ok(Share { permits: Arc::clone(self), holders })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.permits.held();
        for holder in &self.holders {
            if let Some(count) = held.get_mut(holder) {
                *count -= 1;
                if *count == 0 {
                    held.remove(holder);
                }
            }
        }
    }
}

/// The name of the source among the holders of shares.
pub(super) fn source_of(peer: &Peer) -> String {
    format!("source {}", peer.source)
}

/// The name of an org among the holders of shares.
pub(super) fn of_org(org: OrgId) -> String {
    format!("{ORG}{org}")
}

/// Whether a holder is an org. It has no part of its own of the memory for bodies.
pub(super) fn is_org(holder: &str) -> bool {
    holder.starts_with(ORG)
}

fn eighths_of(all: usize, eighths: usize) -> usize {
    (all * eighths / 8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(source: &str, host: Option<&str>) -> Peer {
        Peer { source: source.to_owned(), address: None, host: host.map(|host| host.parse().unwrap()) }
    }

    fn shares(permits: &Arc<Permits>, peer: &Peer, holder: &str) -> Vec<Share> {
        std::iter::from_fn(|| permits.share(peer, vec![holder.to_owned()]).ok()).collect()
    }

    #[test]
    fn no_token_and_no_address_takes_every_permit() {
        let permits = Permits::new(64);
        let (one, other) = (peer("10.0.0.1", None), peer("10.0.0.2", None));
        let first = shares(&permits, &one, "token 1");
        let refusal = permits.share(&other, vec!["token 1".to_owned()]).err().unwrap();
        assert_eq!((refusal.code(), refusal.retry_after_seconds()), (petsem_api::ErrorCode::Busy, Some(1)));
        let second = shares(&permits, &one, "token 2");
        let third = shares(&permits, &one, "token 3");
        assert_eq!([&first, &second, &third].map(Vec::len), [8, 8, 8]);
        assert_eq!(shares(&permits, &one, "token 4").len(), 0);
        assert_eq!(shares(&permits, &other, "token 4").len(), 8);
        drop(first);
        assert_eq!(shares(&permits, &one, "token 4").len(), 8);
        drop((second, third));
        assert_eq!(permits.held().len(), 0);
    }

    #[test]
    fn all_tokens_of_one_org_leave_permits_to_others() {
        let permits = Permits::new(64);
        let org = of_org(OrgId::from_bytes([1; 16]));
        let local = Peer { address: Some([127, 0, 0, 1].into()), ..peer("127.0.0.1", None) };
        let of_org = |token: &str| {
            let holders = || vec![token.to_owned(), org.clone()];
            std::iter::from_fn(|| permits.share(&local, holders()).ok()).collect::<Vec<_>>()
        };
        let held = ["token 1", "token 2", "token 3"].map(of_org);
        assert_eq!(held.each_ref().map(Vec::len), [8, 8, 0]);
        assert_eq!(shares(&permits, &local, "token of another org").len(), 8);
    }

    #[test]
    fn a_host_has_permits_that_neither_strangers_nor_another_host_can_take() {
        let permits = Permits::new(64);
        let taken = |priority, is_of_host| -> Vec<Permit> {
            std::iter::from_fn(|| permits.permit(priority, is_of_host).ok()).collect()
        };
        let others = taken(Priority::Other, true);
        let discharges = taken(Priority::Boot, false);
        assert_eq!((others.len(), discharges.len()), (32, 8));
        let one = shares(&permits, &peer("unix:a", Some("host-1")), "token of host 1");
        let _of_one: Vec<_> = one.iter().map(|_| permits.permit(Priority::Boot, true).unwrap()).collect();
        let other = shares(&permits, &peer("unix:b", Some("host-2")), "token of host 2");
        assert_eq!((one.len(), other.len()), (16, 16));
        assert_eq!(taken(Priority::Boot, true).len(), 8);
    }
}
