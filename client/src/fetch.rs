//! The host's calls to petsem and to dischargers: endpoints, credentials, retries and outcomes.

mod boot_flow;
mod client;
pub(crate) mod clock;
mod connection;
mod credentials;
mod endpoint;
mod exchange;
mod in_flight;
mod narrow;
mod outside;
mod refusals;
mod third_party;
mod transport;

pub use boot_flow::{BootFlow, Booted};
pub use client::{BootItem, Client, ClientBuilder};
pub use credentials::Credentials;
pub use endpoint::Endpoint;
pub use hyper::Method;
pub use narrow::narrow_for_boot;
pub use third_party::Patience;
pub use transport::Timing;
