//! What an orchestrator links to boot Machines with their secrets, and what a Machine runs to receive them.
//!
//! ```text
//! orchestrator                                petsem                 Machine
//!   narrow_for_boot ─ proof ──► discharger ─ discharge ─┐
//!   BootFlow ─ host token + discharge ──► boot ◄────────┘
//!     Bundle ──► Injector: EnvMap · Exec · TmpfsDir · MachineChannel ──► environment, files, GuestChannel
//!     renewal ──► next boot without a proof          receipt ──► report (audit log)
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`Client`] | single calls: deadlines, jittered retries over several endpoints (nearest first), remembered refusals |
//! | [`BootFlow`] | the boots of one host: discharge, boot, renew, report; keeps renewals in memory |
//! | [`narrow_for_boot`] | narrows a user's token to one boot before it leaves the orchestrator |
//! | [`Bundle`] | the secrets of one app at one version, for one Machine |
//! | [`Injector`] | a target for a bundle: [`EnvMap`], [`Exec`], [`TmpfsDir`], [`MachineChannel`] |
//! | [`GuestChannel`] | the Machine's end of a channel; the protocol is specified there |
//! | [`CanonicalBundle`] | the one encoding of a bundle; specified there, with vectors in `tests/vectors` |
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use petsem_client::{BootFlow, Client, Credentials, EnvMap, Injector};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let petsem = "unix:/run/petsem/petsem.sock".parse()?;
//! let discharger = "unix:/run/petsem/petsem.sock".parse()?;
//! let client = Client::builder(vec![petsem])
//!     .discharger("https://petsem.example/discharger", vec![discharger])
//!     .build();
//! let host = Credentials::read_file("/etc/petsem/host.token".as_ref())?;
//! let flow = BootFlow::new(Arc::new(client), host)?;
//!
//! let (app, machine) = ("shop".parse()?, "m-1".parse()?);
//! let proof = Credentials::new("a JWT that a rule of the app's policy accepts")?;
//! let booted = flow.boot(&app, &machine, None, Some(&proof)).await?;
//! let environment = EnvMap::merge([]).deliver(booted.bundle()).await?;
//! # drop(environment);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/orchestrator.rs` is a complete small orchestrator.
//!
//! # Features
//! `fetch` (the default) is the host's side. Without it only the guest's end of the channel and the proof are
//! built, for the init of a VM: they need HMAC and no async runtime.
//!
//! # Errors and secrets
//! All text for people is in one module; a text states the fact, then the hint. Tokens and values are wiped on drop,
//! and no `Debug`, `Display` or error shows one. What shows a value or a token is named `expose_…`. Bodies of
//! requests and answers are in buffers that leave no unwiped copy when they grow.
//!
//! # Sources
//! Discharges: macaroon format, part 9. Boot: design §4; injection: design §9. Proof of a channel: HMAC-SHA-256
//! (RFC 2104, FIPS 180-4). Limits of `execve`: measured, and stated at [`EnvMap`].
//!
//! # Non-goals
//! This crate decides nothing: petsem does. It evaluates no policy and verifies no token, knows neither server nor
//! store, reads no clock except to wait, writes nothing to a disk unless [`TmpfsDir::danger_allow_disk`] says so, and
//! draws no randomness except jitter: a challenge takes a random number generator as an argument. It does not ask
//! people anything.

mod canonical;
mod channel;
mod error;

#[cfg(feature = "fetch")]
mod bundle;
#[cfg(feature = "fetch")]
mod fetch;
#[cfg(feature = "fetch")]
mod inject;

pub use canonical::CanonicalBundle;
pub use channel::{
    Claims, DenyReason, GuestChannel, PORT_NAME, Received, ReceivedBundle, keyed_digest, prove,
};
pub use error::{GuestError, NotCanonical};

#[cfg(feature = "fetch")]
pub use bundle::{Bundle, Identity};
#[cfg(feature = "fetch")]
pub use error::{
    BindError, BootFlowError, CallError, CredentialsError, DeliveryError, EndpointError, EndpointFailure,
    FailureKind, MalformedAnswer, NarrowError, Rejection,
};
#[cfg(feature = "fetch")]
pub use fetch::{
    BootFlow, BootItem, Booted, Client, ClientBuilder, Credentials, Endpoint, Method, Patience, Timing,
    narrow_for_boot,
};
#[cfg(feature = "fetch")]
pub use inject::{
    ChannelBinding, ChannelDeadlines, EnvMap, Environment, Exec, Injector, LeftOut, LeftOutReason,
    MachineChannel, MachineReceipt, Owner, TmpfsDir, TmpfsReceipt,
};
