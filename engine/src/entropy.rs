//! The operating system's randomness, named here and nowhere else in the server.

use getrandom::SysRng;
use rand_core::{CryptoRng, Rng, UnwrapErr};

/// The system's generator. A system that cannot give randomness cannot run a secrets manager: it panics.
pub(crate) fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}
