//! The MAC chain of a token (macaroon-format §5): HMAC-SHA-256, each tail the key of the next MAC.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The key, an ASCII text, of the final MAC over the last tail of a proof.
const FINALIZATION_KEY: &[u8] = b"proof-signature-finalization";

/// Bytes of a tail.
pub(crate) const TAIL_LENGTH: usize = 32;

/// A state of the chain. Its holder can attenuate the token from there on, so it is wiped on drop.
pub(crate) type Tail = Zeroizing<[u8; TAIL_LENGTH]>;

/// The state after the nonce.
pub(crate) fn first_tail(key: &[u8], nonce: &[u8]) -> Tail {
    mac(key, &[nonce])
}

/// The state after a caveat, given as the bytes of its type and body. The MAC covers a set of this caveat.
pub(crate) fn next_tail(tail: &Tail, caveat: &[u8]) -> Tail {
    mac(tail.as_slice(), &[&[0x92], caveat])
}

/// The tail in an encoded proof.
pub(crate) fn finalized(tail: &Tail) -> Tail {
    mac(FINALIZATION_KEY, &[tail.as_slice()])
}

/// `BindToParentToken` holds a prefix of this.
pub(crate) fn binding_id(tail: &[u8]) -> [u8; 32] {
    Sha256::digest(tail).into()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Tail {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104)")]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}
