//! What an orchestrator links to boot Machines with their secrets, and what runs inside a Machine to take
//! them.
//!
//! With the feature `fetch` (the default) it is the host's side: [`Client`] calls petsem, [`BootFlow`] walks
//! one host's boots, a [`Bundle`] holds what came, and an [`Injector`] puts it where the Machine expects it.
//! Without it only the channel's frames and the proof are left, for the init of a VM.
//!
//! Non-goals: it decides nothing (petsem does), knows no server and no store, reads no clock but for waits,
//! and keeps nothing on disk.

mod canonical;
mod channel;
mod wiped;

#[cfg(feature = "fetch")]
mod bundle;
#[cfg(feature = "fetch")]
mod fetch;
#[cfg(feature = "fetch")]
mod inject;

pub use canonical::{CanonicalBundle, NotCanonical};
pub use channel::{
    Claims, DenyReason, GuestChannel, GuestError, PORT_NAME, Received, ReceivedBundle, keyed_digest, prove,
};

#[cfg(feature = "fetch")]
pub use bundle::{Bundle, Identity};
#[cfg(feature = "fetch")]
pub use fetch::{
    BootFlow, BootFlowError, BootItem, Booted, CallError, Client, ClientBuilder, Credentials,
    CredentialsError, Endpoint, EndpointError, EndpointFailure, FailureKind, MalformedAnswer, Method,
    NarrowError, Patience, Timing, narrow_for_boot,
};
#[cfg(feature = "fetch")]
pub use inject::{
    BindError, ChannelBinding, ChannelDeadlines, DeliveryError, EnvMap, Environment, Exec, Injector,
    MachineChannel, MachineReceipt, OnClash, Owner, Rejection, TmpfsDir, TmpfsReceipt,
};
