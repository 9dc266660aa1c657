//! The engine's access to issuers: [`Fetch`], implemented with the client for calls to third parties.

use std::future::Future;
use std::pin::Pin;

use petsem_engine::{Fetch, FetchRefusal, Fetched};
use petsem_outbound::{OutboundClient, OutboundUrl};

use crate::messages;

/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
            let mut response =
                self.0.get(&url, limit).await.map_err(|error| messages::fetch_failed(&error))?;
            // The body holds public keys, so it need not be wiped.
            let mut body = std::mem::take(&mut *response.body);
            // RFC 8259 §8.1 lets parsers ignore it; editors write it.
            if body.starts_with(BYTE_ORDER_MARK) {
                body.drain(..BYTE_ORDER_MARK.len());
            }
            Ok(Fetched { status: response.status, body })
        })
    }
}
