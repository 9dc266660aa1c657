//! The router behind all listeners, which can be exchanged.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;

/// What answers requests now; it changes when the server is sealed or unsealed, while the listeners stay.
#[derive(Clone)]
pub(crate) struct RouterSwitch(Arc<RwLock<Router>>);

impl RouterSwitch {
    pub(super) fn new(router: Router) -> Self {
        Self(Arc::new(RwLock::new(router)))
    }

    /// Lets this router answer from now on. The one before goes, with all that it holds.
    pub(crate) fn show(&self, router: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    pub(super) fn now(&self) -> Router {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
