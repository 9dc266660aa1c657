//! The keys of the audit log.

use petsem_keys::{
    AuditMacKey, AuditRatchetKey, AuditSigningKey, IntegrityError, Keyring, KeyringKey, OpenError,
    WrapContext, verify_checkpoint,
};

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
fn a_kept_ratchet_key_makes_the_macs_of_the_key_it_was_made_from() {
    let key = AuditMacKey::generate(&mut FixedBytes(&[1; 32])).ratchet();
    assert_eq!(key.as_ratchet().into_mac().tag(b"line"), key.tag(b"line"));
}

#[test]
fn a_kept_ratchet_key_opens_only_in_its_own_role_and_as_of_its_checkpoint() {
    let mut rng = SeededRng::new("ratchet");
    let keyring = Keyring::new([KeyringKey::generate(&mut rng, 1)], 1).unwrap();
    let context = WrapContext { version: 7, ..WrapContext::new([1; 16], [2; 16]) };
    let key = AuditMacKey::generate(&mut rng);
    let wrapped = keyring.wrap(&mut rng, &key.as_ratchet(), &context).unwrap();
    let opened: AuditRatchetKey = keyring.unwrap(&wrapped, &context).unwrap();
    assert_eq!(opened.into_mac().tag(b"line"), key.tag(b"line"));
    let as_first_key = keyring.unwrap::<AuditMacKey>(&wrapped, &context).map(drop);
    assert_eq!(as_first_key, Err(OpenError::NotAuthentic));
    let other = WrapContext { version: 8, ..context };
    assert_eq!(keyring.unwrap::<AuditRatchetKey>(&wrapped, &other).map(drop), Err(OpenError::NotAuthentic));
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
