//! The keys that verify an issuer's JWTs: registered with it, or fetched from where the issuer publishes them.
//!
//! Fetched keys exist only in memory. The registration decides the algorithms, the `iss`, and the one URL or the
//! issuer's own discovery document. Any client can send a JWT with an unknown key id. JWTs therefore cause at most one
//! fetch at a time and one in [`crate::EngineSettings::refetch_interval`] per issuer, a bounded number of requests wait for it, and a JWT that names a
//! known key never waits.

mod error;
mod fetch;
mod held;
mod refresh;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use petsem_api::{FetchedKeys, KeysFrom, LeftOutKey};
use petsem_policy::evaluate::{Algorithm, Jwks};
use tokio::sync::{Semaphore, watch};

use crate::clock::ClockReading;
use crate::fetch::Fetch;
use crate::records::IssuerRow;
use error::{FetchError, IssuerKeysError};
use fetch::Source;
use held::Held;

/// Most requests that wait for one issuer's keys at once; further requests get a `Retry-After`.
const MOST_WAITING: usize = 16;

/// An issuer's keys.
pub(crate) enum IssuerKeys {
    /// Keys in the registration.
    Registered(Jwks),
    /// Keys that the issuer publishes.
    Published(Arc<PublishedKeys>),
}

/// The published keys of an issuer that this node has fetched.
pub(crate) struct PublishedKeys {
    issuer: String,
    algorithms: Vec<Algorithm>,
    source: Source,
    held: Mutex<Held>,
    fetched: watch::Sender<()>,
    places: Semaphore,
}

impl IssuerKeys {
    /// The keys of a registration. This fetches nothing.
    pub(crate) fn of(row: &IssuerRow, fetch: &dyn Fetch) -> Result<Self, IssuerKeysError> {
        let algorithms = algorithms_of(row);
        let source = match (&row.keys, &row.jwks_url, row.discovery) {
            (Some(keys), None, false) => {
                // Less strict than a registration is: a row of an earlier build must not keep a node from starting.
                let keys = Jwks::parse_published(&keys.to_string(), &algorithms);
                return keys.map(Self::Registered).map_err(IssuerKeysError::Keys);
            }
            (None, Some(url), false) => {
                fetch.origin(url).map_err(IssuerKeysError::Url)?;
                Source::Url(url.clone())
            }
            (None, None, true) => Source::Discovery(discovery_url(&row.issuer, fetch)?),
            _ => return Err(IssuerKeysError::NotOneSource),
        };
        Ok(Self::Published(Arc::new(PublishedKeys {
            issuer: row.issuer.clone(),
            algorithms,
            source,
            held: Mutex::new(Held::default()),
            fetched: watch::Sender::new(()),
            places: Semaphore::new(MOST_WAITING),
        })))
    }

    /// The source of the keys.
    pub(crate) fn from(&self) -> KeysFrom {
        match self {
            Self::Registered(_) => KeysFrom::Registration,
            Self::Published(published) => match published.source {
                Source::Url(_) => KeysFrom::JwksUrl,
                Source::Discovery(_) => KeysFrom::Discovery,
            },
        }
    }

    /// The keys that are valid now, without waiting; none if they must be fetched first.
    pub(crate) fn available(&self) -> Jwks {
        match self {
            Self::Registered(keys) => keys.clone(),
            Self::Published(published) => published.held().live(ClockReading::now()).unwrap_or_default(),
        }
    }

    /// The published keys; `None` if the keys are registered.
    pub(crate) fn published(&self) -> Option<&Arc<PublishedKeys>> {
        match self {
            Self::Registered(_) => None,
            Self::Published(published) => Some(published),
        }
    }
}

/// The algorithms that a registration pins.
pub(crate) fn algorithms_of(row: &IssuerRow) -> Vec<Algorithm> {
    row.algorithms.iter().filter_map(|name| Algorithm::from_name(name)).collect()
}

/// The keys that are left out, for operators.
pub(crate) fn left_out(keys: &Jwks) -> Vec<LeftOutKey> {
    let to_wire = |key: &petsem_policy::evaluate::LeftOutKey| LeftOutKey {
        position: key.position as u64,
        kid: key.id.clone(),
        problem: key.problem.to_string(),
    };
    keys.left_out().iter().map(to_wire).collect()
}

/// OpenID Connect Discovery 1.0, §4: a trailing slash of the issuer is removed.
fn discovery_url(issuer: &str, fetch: &dyn Fetch) -> Result<String, IssuerKeysError> {
    fetch.origin(issuer).map_err(IssuerKeysError::Issuer)?;
    if issuer.contains('?') {
        return Err(IssuerKeysError::IssuerWithQuery);
    }
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    fetch.origin(&url).map_err(IssuerKeysError::Issuer)?;
    Ok(url)
}

impl PublishedKeys {
    /// The state of these keys as an operator sees it.
    pub(crate) fn to_wire(&self) -> FetchedKeys {
        let held = self.held();
        FetchedKeys {
            keys: held.live(ClockReading::now()).map_or(0, |keys| keys.len() as u64),
            age_seconds: held.age(ClockReading::now()).map(|age| age.as_secs()),
            problem: held.problem().map(str::to_owned),
        }
    }

    /// The number of completed fetches, and how many of them failed.
    pub(crate) fn counted(&self) -> (u64, u64) {
        self.held().counted()
    }

    /// A warning for operators, before JWTs are refused.
    pub(crate) fn warning(&self) -> Option<String> {
        self.held().warning(&self.issuer, ClockReading::now())
    }

    /// Fetches the keys in a task of its own. The caller has already marked the fetch as started.
    fn begin(self: &Arc<Self>, fetch: &Arc<dyn Fetch>) {
        let (published, fetch) = (Arc::clone(self), Arc::clone(fetch));
        tokio::spawn(async move {
            let mut in_flight = InFlight { published: &published, result: Err(FetchError::GivenUp) };
            in_flight.result =
                published.source.fetch(&published.issuer, &published.algorithms, &*fetch).await;
        });
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs which keys of an issuer are not used. Their ids are what a remote server wrote, so they are escaped and cut.
pub(crate) fn log_left_out(issuer: &str, keys: &Jwks) {
    for left_out in keys.left_out() {
        tracing::warn!(issuer, reason = %left_out, "a key of an issuer is not used");
    }
}

/// A running fetch. However it ends, the drop stores the result and wakes the waiting requests.
struct InFlight<'a> {
    published: &'a PublishedKeys,
    result: Result<Jwks, FetchError>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let issuer = &self.published.issuer;
        let result = std::mem::replace(&mut self.result, Err(FetchError::GivenUp));
        match &result {
            Ok(keys) => {
                tracing::debug!(issuer, keys = keys.len(), "fetched the keys of an issuer");
                // Once for each change of the set, not every five minutes.
                let known = self.published.held().live(ClockReading::now()).unwrap_or_default();
                if known.left_out() != keys.left_out() {
                    log_left_out(issuer, keys);
                }
            }
            Err(error) => tracing::warn!(issuer, reason = %error, "cannot fetch the keys of an issuer"),
        }
        self.published.held().end(result.map_err(|error| error.to_string()), ClockReading::now());
        self.published.fetched.send_replace(());
    }
}
