//! Which denials this node has taken, and which of them the control feed does not hold yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use petsem_api::{RequestId, RevokeRequest};

use crate::records::FeedRow;

/// The denials of this node.
#[derive(Debug, Default)]
pub(crate) struct PendingDenials {
    rows: Mutex<Vec<FeedRow>>,
    waiting: Mutex<BTreeMap<RequestId, RevokeRequest>>,
    /// Those that lie there and cannot be read.
    unread: Mutex<BTreeSet<RequestId>>,
}

impl PendingDenials {
    /// What is denied here, whether the feed has it or not.
    pub(crate) fn rows(&self) -> Vec<FeedRow> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Denies.
    pub(crate) fn add(&self, row: FeedRow) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }

    /// What an operator must know of them.
    pub(crate) fn problem(&self) -> Option<String> {
        let unread = self.unread().len();
        if unread > 0 {
            return Some(format!(
                "{unread} denials cannot be read, so they are not in force; the log says why, and who must own them"
            ));
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
        (waiting > 0).then(|| {
            format!(
                "{waiting} denials are in force on this node alone; the store must take writes for the others"
            )
        })
    }

    pub(crate) fn unread(&self) -> MutexGuard<'_, BTreeSet<RequestId>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn waiting(&self) -> BTreeMap<RequestId, RevokeRequest> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn wait(&self, id: RequestId, request: RevokeRequest) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, request);
    }

    /// The feed has it. When it has all of them, the state of control has them from there.
    pub(crate) fn done(&self, id: RequestId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&id);
        if waiting.is_empty() {
            self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
