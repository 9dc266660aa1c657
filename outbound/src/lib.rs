//! One HTTPS client for calls to third parties: issuers of JWTs, AWS KMS, outside dischargers.
//!
//! Addresses of third parties come from registrations, tickets and documents that a stranger wrote, so every
//! call has the same bounds:
//!
//! | what | bound |
//! |---|---|
//! | scheme | `https`; `http` only to loopback and to the fixed addresses that the caller names ([`PlainHttp`]) |
//! | address | public (IANA special-purpose registries, RFC 6890), unless the host is listed as private |
//! | DNS | one lookup; every address is checked, and only checked addresses are connected to, or named to a proxy |
//! | dead addresses | at most four are tried, 250 ms after one another (RFC 8305); the first that connects wins |
//! | redirects | none is followed; a redirect is an error |
//! | certificate | TLS 1.2 or 1.3; the system's CAs, or the CAs of one file instead of them |
//! | time | one limit for the whole call, from the lookup to the last byte |
//! | size | header at most 64 KiB; body at most what the request states, and never over 8 MiB |
//! | connections | one per call; none is kept |
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use petsem_outbound::{OutboundClient, OutboundSettings, OutboundUrl};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = OutboundClient::new(&OutboundSettings {
//!     ca_file: None,
//!     private_hosts: vec!["keys.internal".to_owned()],
//!     origins: Vec::new(),
//!     within: Duration::from_secs(5),
//! })?;
//! let url: OutboundUrl = "https://issuer.example/keys".parse()?;
//! let answer = client.get(&url, 256 * 1024).await?;
//! assert_eq!(answer.status, 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors and secrets
//! Errors hold the origin of a URL (`https://HOST[:PORT]`), never its path, a header or a body. An
//! [`OutboundError`] states a fact. The caller adds the hint, because only the caller knows what its settings
//! are called. A body may be a secret: it is received into one allocation that is wiped on drop.
//!
//! # Why hyper and not a complete client
//! The address check must see every address, also one that is written as an IP literal in the URL. The resolver
//! hook of `reqwest`, for example, is not called for a literal, so a check in that hook can be bypassed. This
//! crate resolves, checks and connects itself; hyper only speaks HTTP/1.1 over the connected stream.
//!
//! # Non-goals
//! No HTTP/2, cookies, compression, retries or connection pools. The crate knows no tokens, keys,
//! storage or settings file, and depends on no other crate of petsem. It does not interpret answers: the
//! caller parses the body and decides what a status means.

mod address;
mod client;
mod connect;
mod error;
mod exchange;
mod origin;
#[cfg(test)]
mod tests;
mod url;

pub use bytes::Bytes;
pub use hyper::{Method, header};

pub use client::{OutboundClient, OutboundSettings};
pub use error::{OutboundError, OutboundSetupError, OutboundUrlError};
pub use exchange::{OutboundAnswer, OutboundRequest};
pub use origin::{OriginSettings, ProxyAddress};
pub use url::{OutboundUrl, PlainHttp};
