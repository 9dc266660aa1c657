//! Everything that this crate says to people, a file per topic. No text holds a token or a value.
//!
//! A text states the fact, then the hint.

#[cfg(feature = "fetch")]
mod boot_flow;
#[cfg(feature = "fetch")]
mod call;
mod channel;
#[cfg(feature = "fetch")]
mod injection;
#[cfg(feature = "fetch")]
mod tokens;

#[cfg(feature = "fetch")]
pub use boot_flow::BootFlowError;
#[cfg(feature = "fetch")]
pub use call::{CallError, EndpointError, EndpointFailure, FailureKind, MalformedAnswer};
pub use channel::{GuestError, NotCanonical};
#[cfg(feature = "fetch")]
pub use injection::{BindError, DeliveryError, Rejection};
#[cfg(feature = "fetch")]
pub use tokens::{CredentialsError, NarrowError};

#[cfg(feature = "fetch")]
pub(crate) use call::{no_reason, printable, with_credentials};
#[cfg(feature = "fetch")]
pub(crate) use channel::{ANOTHER_MACHINE, HELLO_FIRST};
