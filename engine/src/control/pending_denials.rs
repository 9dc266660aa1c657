//! The denials in force on this node, and those of them that the control feed does not contain yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use petsem_api::{RequestId, RevokeRequest};

use crate::messages;
use crate::records::FeedRow;

/// The denials of this node.
#[derive(Debug, Default)]
pub(crate) struct PendingDenials {
    rows: Mutex<Vec<FeedRow>>,
    waiting: Mutex<BTreeMap<RequestId, RevokeRequest>>,
    /// Files that cannot be read.
    unread: Mutex<BTreeSet<RequestId>>,
}

impl PendingDenials {
    /// The denials in force on this node, until the feed contains all of them.
    pub(crate) fn rows(&self) -> Vec<FeedRow> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a denial.
    pub(crate) fn add(&self, row: FeedRow) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }

    /// A problem for operators, if there is one.
    pub(crate) fn problem(&self) -> Option<String> {
        let unread = self.unread().len();
        if unread > 0 {
            return Some(messages::denials_not_read(unread));
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
        (waiting > 0).then(|| messages::denials_on_this_node(waiting))
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

    /// Removes a denial that the feed now contains. When the feed contains all, the control state has them from there.
    pub(crate) fn done(&self, id: RequestId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&id);
        if waiting.is_empty() {
            self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
