//! Equal concurrent requests are sent once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OnceCell;

/// The requests in flight, by what makes them equal.
///
/// A caller that gives up does not cancel the others: the next one sends the request instead.
pub(crate) struct InFlight<K, V>(Mutex<HashMap<K, Weak<OnceCell<V>>>>);

impl<K: Eq + Hash, V: Clone> InFlight<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The result of the equal request in flight, or of `ask`.
    pub(crate) async fn share<F: Future<Output = V>>(&self, key: K, ask: impl FnOnce() -> F) -> V {
        let cell = self.join(key);
        cell.get_or_init(ask).await.clone()
    }

    fn join(&self, key: K) -> Arc<OnceCell<V>> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A request that has its result is finished: a new caller sends a new one.
        under_way.retain(|_, cell| cell.upgrade().is_some_and(|cell| !cell.initialized()));
        if let Some(cell) = under_way.get(&key).and_then(Weak::upgrade) {
            return cell;
        }
        let cell = Arc::new(OnceCell::new());
        under_way.insert(key, Arc::downgrade(&cell));
        cell
    }
}
