//! What a handler gets: a verified credential, the query, and a body that is read when the handler wants it. A client
//! without a valid token makes the server keep nothing.

use std::marker::PhantomData;
use std::ops::Deref;

use petsem_api::from_json;
use petsem_engine::Failure;
use serde::de::DeserializeOwned;

use super::credential::Credential;
use super::limits::BodyLimit;
use super::request::{Incoming, JSON};
use crate::messages;

/// A request as its handler gets it: from a client with credential `P`, with a body `B` and a query `Q`. The route
/// takes its documentation from these types.
pub(crate) struct Call<P, B = NoBody, Q = NoQuery> {
    incoming: Incoming,
    /// The credential, verified.
    pub(crate) credential: P,
    /// The query.
    pub(crate) query: Q,
    limit: BodyLimit,
    body: PhantomData<fn() -> B>,
}

/// The route takes no body.
pub(crate) enum NoBody {}

/// The route takes no query: a request with a parameter is refused.
pub(crate) struct NoQuery;

impl<P, B, Q> Deref for Call<P, B, Q> {
    type Target = Incoming;

    fn deref(&self) -> &Incoming {
        &self.incoming
    }
}

impl<P: Credential, B, Q> Call<P, B, Q> {
    pub(super) fn new(incoming: Incoming, credential: P, query: Q, limit: BodyLimit) -> Self {
        Self { incoming, credential, query, limit, body: PhantomData }
    }

    /// The body. It is read now, once, within its limit and time. The credential is checked again afterwards: it may
    /// have been revoked while the body arrived.
    pub(crate) async fn body(&self) -> Result<B, Failure>
    where
        B: DeserializeOwned,
    {
        let (holders, queue) = (self.credential.holders(), self.credential.queue(&self.state));
        let body = self.incoming.body(JSON, messages::not_json, self.limit, holders, queue).await?;
        let wanted = from_json(&body).map_err(|error| messages::invalid_body(&error))?;
        self.credential.check_again(&self.engine).await?;
        Ok(wanted)
    }
}
