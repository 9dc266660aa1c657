//! Keyed digests over canonical bundles.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Keeps proofs of this protocol apart from every other use of a challenge.
const LABEL: &[u8] = b"petsem machine channel v1";

/// The proof of an ACK: HMAC-SHA-256 (RFC 2104) under the host's challenge over label, the guest's nonce and
/// the canonical bundle.
pub fn prove(challenge: &[u8; 32], nonce: &[u8; 16], canonical: &[u8]) -> [u8; 32] {
    digest(challenge, &[LABEL, nonce, canonical])
}

/// HMAC-SHA-256 under `challenge` over the canonical bundle alone: what a test that plays the orchestrator
/// compares over its own challenge.
pub fn keyed_digest(challenge: &[u8; 32], canonical: &[u8]) -> [u8; 32] {
    digest(challenge, &[canonical])
}

fn digest(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
