//! The other side of the seals in tests: SoftHSM2, moto's server in place of AWS KMS, and swtpm;
//! started and stopped by the tests of the seals alone, and by those of the whole server. It knows nothing of petsem.
//!
//! What is missing fails the test: `./test` installs it.

#![expect(clippy::expect_used, clippy::panic, reason = "a harness: what it cannot do fails the test")]

mod moto;
mod ports;
mod softhsm;
mod swtpm;

pub use moto::{Moto, REGION, python};
pub use ports::two_ports;
pub use softhsm::{MODULE, PIN, SoftHsm, TOKEN};
pub use swtpm::Swtpm;
