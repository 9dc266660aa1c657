//! The router behind all listeners, which can be exchanged.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;

/// The router in use. It is replaced when the server is sealed or unsealed; the listeners stay.
#[derive(Clone)]
pub(crate) struct RouterSwitch(Arc<RwLock<Router>>);

impl RouterSwitch {
    pub(crate) fn new(router: Router) -> Self {
        Self(Arc::new(RwLock::new(router)))
    }

    /// Uses this router from now on. The previous one is dropped, with all that it holds.
    pub(crate) fn replace(&self, router: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    pub(crate) fn current(&self) -> Router {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
