//! The keys of the audit log.

use petsem_keys::{AuditMacKey, AuditSigningKey, IntegrityError, verify_checkpoint};

use crate::seeded::{FixedBytes, SeededRng};

#[test]
fn a_line_does_not_verify_with_the_next_ratchet_key() {
    let first = AuditMacKey::generate(&mut FixedBytes(&[1; 32]));
    let tag = first.tag(b"line");
    assert_eq!(first.verify(b"line", &tag), Ok(()));
    assert_eq!(first.verify(b"lime", &tag), Err(IntegrityError::TagMismatch));
    let second = first.ratchet();
    assert_eq!(second.verify(b"line", &tag), Err(IntegrityError::TagMismatch));
    assert_ne!(second.tag(b"line"), tag);
}

#[test]
fn the_ratchet_is_deterministic() {
    let step = |key: AuditMacKey| key.ratchet().ratchet();
    let [one, other] = [(); 2].map(|()| step(AuditMacKey::generate(&mut FixedBytes(&[1; 32]))));
    assert_eq!(one.tag(b"line"), other.tag(b"line"));
}

#[test]
fn a_checkpoint_verifies_only_with_its_own_key_message_and_signature() {
    let mut rng = SeededRng::new("checkpoint");
    let (key, other) = (AuditSigningKey::generate(&mut rng), AuditSigningKey::generate(&mut rng));
    let signature = key.sign(b"head");
    assert_eq!(verify_checkpoint(&key.public(), b"head", &signature), Ok(()));
    let refused = Err(IntegrityError::SignatureMismatch);
    assert_eq!(verify_checkpoint(&key.public(), b"hear", &signature), refused);
    assert_eq!(verify_checkpoint(&other.public(), b"head", &signature), refused);
    for position in 0..64 {
        let mut changed = signature;
        changed[position] ^= 1;
        assert_eq!(verify_checkpoint(&key.public(), b"head", &changed), refused, "{position}");
    }
}

#[test]
fn an_invalid_or_weak_point_is_refused_as_a_public_key() {
    let signature = AuditSigningKey::generate(&mut FixedBytes(&[1; 32])).sign(b"head");
    // No point of the curve has y = 2.
    let mut no_point = [0; 32];
    no_point[0] = 2;
    assert_eq!(verify_checkpoint(&no_point, b"head", &signature), Err(IntegrityError::PublicKey));
    // y = 1 is the neutral element.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert_eq!(verify_checkpoint(&weak, b"head", &signature), Err(IntegrityError::SignatureMismatch));
}
