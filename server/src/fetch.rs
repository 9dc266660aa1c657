//! How the engine reaches issuers: [`Fetch`] by the one client for calls to third parties.

use std::future::Future;
use std::pin::Pin;

use petsem_engine::{Fetch, FetchRefusal, Fetched};
use petsem_outbound::{OutboundClient, OutboundUrl};

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
            let mut answer = self.0.get(&url, limit).await?;
            // Public keys: nothing to wipe.
            Ok(Fetched { status: answer.status, body: std::mem::take(&mut *answer.body) })
        })
    }
}
