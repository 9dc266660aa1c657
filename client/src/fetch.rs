//! The host's calls to petsem: where to, with what, how often, and what became of them.

mod boot_flow;
mod client;
pub(crate) mod clock;
mod connection;
mod credentials;
mod endpoint;
mod error;
mod exchange;
mod in_flight;
mod narrow;
mod refusals;
mod third_party;
mod transport;

pub use boot_flow::{BootFlow, BootFlowError, Booted};
pub use client::{BootItem, Client, ClientBuilder};
pub use credentials::{Credentials, CredentialsError};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{CallError, EndpointFailure, FailureKind, MalformedAnswer};
pub use hyper::Method;
pub use narrow::{NarrowError, narrow_for_boot};
pub use third_party::Patience;
pub use transport::Timing;
