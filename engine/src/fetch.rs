//! What the engine needs of the network: one GET, within limits. The server implements it.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

/// Why a URL cannot be fetched, in words for an operator. Holds nothing that the other side wrote.
pub type FetchRefusal = Box<dyn Error + Send + Sync>;

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The body, within the limit that was asked for.
    pub body: Vec<u8>,
}

/// Fetches what issuers publish, over HTTPS, without redirects and within limits of time and size.
pub trait Fetch: Send + Sync {
    /// The origin of a URL (scheme, host, port) that may be fetched.
    ///
    /// # Errors
    /// It is not a URL that may be fetched.
    fn origin(&self, url: &str) -> Result<String, FetchRefusal>;

    /// Fetches a URL, with a body of at most `limit` bytes.
    fn get<'a>(
        &'a self,
        url: &'a str,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchRefusal>> + Send + 'a>>;
}
