//! The counterparts of the seals in tests: SoftHSM2, moto's server in place of AWS KMS, and swtpm. The tests
//! of the seals and of the whole server start and stop them. This crate does not depend on petsem.
//!
//! A missing program fails the test: `./test` installs them.

#![expect(clippy::expect_used, clippy::panic, reason = "a harness: what it cannot do fails the test")]

mod moto;
mod ports;
mod softhsm;
mod swtpm;

pub use moto::{Moto, REGION, python};
pub use ports::two_ports;
pub use softhsm::{MODULE, PIN, SoftHsm, TOKEN};
pub use swtpm::Swtpm;
