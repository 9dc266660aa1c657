//! The chain of MACs that a token is (macaroon-format §5): HMAC-SHA-256, each tail the key of the next.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The key, an ASCII text, under which the last tail of a proof is MACed once more.
const FINALIZATION_KEY: &[u8] = b"proof-signature-finalization";

/// Bytes of a tail.
pub(crate) const TAIL_LENGTH: usize = 32;

/// A state of the chain. Whoever has it can attenuate the token from there on: wiped on drop.
pub(crate) type Tail = Zeroizing<[u8; TAIL_LENGTH]>;

/// The state after the nonce.
pub(crate) fn first_tail(key: &[u8], nonce: &[u8]) -> Tail {
    mac(key, &[nonce])
}

/// The state after a caveat, given as the bytes of its type and body: what is MACed is a set of this one.
pub(crate) fn next_tail(tail: &Tail, caveat: &[u8]) -> Tail {
    mac(tail.as_slice(), &[&[0x92], caveat])
}

/// The tail that a proof is written with.
pub(crate) fn finalized(tail: &Tail) -> Tail {
    mac(FINALIZATION_KEY, &[tail.as_slice()])
}

/// What `BindToParentToken` holds a prefix of.
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
