//! An outside discharger: a third party over HTTPS, at the location that tokens name.

use std::sync::Arc;

use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use petsem_outbound::{OutboundClient, OutboundError, OutboundRequest, OutboundUrl};

use super::connection::{Answer, ExchangeError};
use super::endpoint::Endpoint;
use super::transport::SharedRequest;
use crate::error::FailureKind;

/// One outside discharger.
pub(crate) struct OutsideDischarger {
    endpoint: Endpoint,
    location: OutboundUrl,
    client: Arc<OutboundClient>,
}

impl OutsideDischarger {
    pub(crate) fn new(location: OutboundUrl, client: Arc<OutboundClient>) -> Self {
        Self { endpoint: Endpoint::outside(location.clone()), location, client }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends one request over a connection of its own and reads the whole answer.
    pub(crate) async fn exchange(
        &self,
        request: &SharedRequest,
        largest: usize,
    ) -> Result<Answer, ExchangeError> {
        let url = self.location.at(&request.path).map_err(|_| ExchangeError::Unsendable)?;
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        if let Some(authorization) = &request.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, request.content.clone());
        }
        let outbound = OutboundRequest {
            method: request.method.clone(),
            url: &url,
            headers,
            body: request.body.clone().unwrap_or_default(),
            limit: largest,
        };
        let answer = self.client.send(outbound).await.map_err(failure)?;
        let retry_after = answer.retry_after();
        Ok(Answer { status: answer.status, retry_after, body: answer.body })
    }
}

/// What passes is tried again; what the discharger or this host must change is not.
fn failure(error: OutboundError) -> ExchangeError {
    match error {
        OutboundError::Unresolved { source, .. } | OutboundError::Unreachable { source, .. } => {
            ExchangeError::Connect(FailureKind::Unreachable(Arc::new(source)))
        }
        OutboundError::Broken { source, .. } => {
            ExchangeError::Exchange(FailureKind::Broken(Arc::new(source)))
        }
        OutboundError::TimedOut { within, .. } => ExchangeError::Exchange(FailureKind::TimedOut(within)),
        OutboundError::TooLarge { .. } => ExchangeError::TooLarge,
        OutboundError::Redirect { status, .. } => ExchangeError::Redirect(status),
        OutboundError::Unsendable { .. } => ExchangeError::Unsendable,
        other => ExchangeError::NotCallable(Arc::new(other)),
    }
}
