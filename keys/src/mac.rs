//! HMAC-SHA-256 (RFC 2104, FIPS 198-1) over a context: 256-bit keys, full 256-bit tags.
//!
//! The `hmac` crate wipes its running state, but not the padded key on the stack during its start: that copy
//! remains until the next call overwrites it.

use hmac::digest::{FixedOutput, Update};
use hmac::{Hmac, KeyInit};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::context::{Context, Sink};
use crate::error::IntegrityError;
use crate::key_bytes::KeyBytes;

/// Block length of SHA-256, in bytes: HMAC pads its key to it with zeros.
const BLOCK_LENGTH: usize = 64;

/// The tag of `context` under `key`.
pub(crate) fn tag(key: &KeyBytes, context: Context<'_>) -> [u8; 32] {
    let mut output = [0; 32];
    tag_into(key, context, &mut output);
    output
}

/// The tag, written in place: for tags that are themselves keys.
pub(crate) fn tag_into(key: &KeyBytes, context: Context<'_>, output: &mut [u8; 32]) {
    let mut block = Zeroizing::new([0; BLOCK_LENGTH]);
    let (head, _) = block.split_at_mut(KeyBytes::LENGTH);
    head.copy_from_slice(key.as_array());
    let mut running = RunningMac(Hmac::new((&*block).into()));
    context.write_to(&mut running);
    running.0.finalize_into(output.into());
}

/// Compares in constant time.
pub(crate) fn verify(
    key: &KeyBytes,
    context: Context<'_>,
    expected: &[u8; 32],
) -> Result<(), IntegrityError> {
    let computed = tag(key, context);
    if bool::from(computed.ct_eq(expected)) { Ok(()) } else { Err(IntegrityError::TagMismatch) }
}

struct RunningMac(Hmac<Sha256>);

impl Sink for RunningMac {
    fn put(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
