//! The engine's access to issuers: [`Fetch`], implemented with the client for calls to third parties.

use std::future::Future;
use std::pin::Pin;

use petsem_engine::{Fetch, FetchRefusal, Fetched};
use petsem_outbound::{OutboundClient, OutboundError, OutboundUrl};

/// Fetches over HTTPS, within the limits of the configuration.
pub(crate) struct OutboundFetch(pub(crate) OutboundClient);

impl Fetch for OutboundFetch {
    fn origin(&self, url: &str) -> Result<String, FetchRefusal> {
        Ok(url.parse::<OutboundUrl>()?.origin())
    }

    fn get<'a>(
        &'a self,
        url: &'a str,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchRefusal>> + Send + 'a>> {
        Box::pin(async move {
            let url: OutboundUrl = url.parse()?;
            let mut response = self.0.get(&url, limit).await.map_err(|error| refusal(&error))?;
            // The body holds public keys, so it need not be wiped.
            Ok(Fetched { status: response.status, body: std::mem::take(&mut *response.body) })
        })
    }
}

/// The error, and what the operator can change.
fn refusal(error: &OutboundError) -> FetchRefusal {
    let hint = match error {
        OutboundError::NoSystemCas => "install CA certificates, or name a file of them as outgoing.ca_file",
        OutboundError::Setup(_) => "report this as a defect of petsem",
        OutboundError::Unresolved { .. } => "check the name of the host and the resolver",
        OutboundError::PrivateAddress { .. } => {
            "if this is intended, list the host in outgoing.private_hosts"
        }
        OutboundError::Unreachable { .. } => {
            "check that it runs and that the network lets this node reach it"
        }
        OutboundError::Tls { .. } => {
            "if its CA is not one of the system's, name the CA's file as outgoing.ca_file"
        }
        OutboundError::Broken { .. } => "it is tried again",
        OutboundError::Redirect { .. } => "register the final URL",
        OutboundError::TimedOut { .. } => "it is tried again; if it is slow, raise outgoing.seconds",
        _ => "check the registered URL",
    };
    format!("{error}; {hint}").into()
}
