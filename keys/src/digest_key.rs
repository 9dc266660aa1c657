//! Digests of values, shown to people.

use crate::context::Context;
use crate::mac;
use crate::role::random_key_role;

/// Length of a digest, in bytes.
const DIGEST_LENGTH: usize = 16;

random_key_role! {
    /// The digest key of one app. It never rotates, so that equal values keep equal digests.
    DigestKey, DigestKey, WrappedByAppKek
}

impl DigestKey {
    /// The first 16 bytes of HMAC-SHA-256 over label, name and value. Equal values under two names
    /// or in two apps have different digests.
    pub fn digest(&self, name: &str, value: &[u8]) -> [u8; DIGEST_LENGTH] {
        let tag = mac::tag(&self.0, Context::ValueDigest { name, value });
        let mut digest = [0; DIGEST_LENGTH];
        digest.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
        digest
    }
}
