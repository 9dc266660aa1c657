//! The operating system's random generator. No other module of the engine names it.

use getrandom::SysRng;
use rand_core::{CryptoRng, Rng, UnwrapErr};

/// The system's generator. It panics if the system provides no randomness, without which no secrets manager can run.
pub(crate) fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}
