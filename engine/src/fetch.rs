//! The only network access of the engine: a bounded GET, as a trait that the server implements.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

/// Why a URL cannot be fetched, as text for an operator. Contains no text from the remote server.
pub type FetchRefusal = Box<dyn Error + Send + Sync>;

/// An answer, with any status.
#[derive(Debug)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The body, at most as long as the requested limit.
    pub body: Vec<u8>,
}

/// Fetches the keys that issuers publish: over HTTPS, without redirects, with limits of time and size.
pub trait Fetch: Send + Sync {
    /// Checks that a URL may be fetched, and returns its origin (scheme, host, port).
    ///
    /// # Errors
    /// The URL is malformed or may not be fetched.
    fn origin(&self, url: &str) -> Result<String, FetchRefusal>;

    /// Fetches a URL, with a body of at most `limit` bytes.
    ///
    /// # Errors
    /// The URL may not be fetched, or there was no answer within the limits.
    fn get<'a>(
        &'a self,
        url: &'a str,
        limit: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchRefusal>> + Send + 'a>>;
}
