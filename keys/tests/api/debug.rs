//! No `Debug` of a type that holds keys prints any of them.

use std::fmt::Debug;

use petsem_keys::{
    AppKek, AuditMacKey, AuditRatchetKey, AuditSigningKey, DigestKey, DischargerKey, HostCacheKey, Keyring,
    KeyringKey, PollKey, RootKey, RowMacKey, SealKey, SecretKey, SecretKeyMaterial, SecretKeyType,
    SigningKey,
};

use crate::seeded::FixedBytes;

/// Searched in decimal, in hexadecimal and as text.
const CANARY: [u8; 32] = *b"canary-KEY-that-is-never-printed";

#[test]
fn debug_of_a_key_type_shows_no_key_bytes() {
    let canary_bytes = || FixedBytes(&CANARY);
    let material = CANARY.to_vec().into_boxed_slice();
    assert_prints(&RootKey::generate(&mut canary_bytes(), 1), "RootKey(..)");
    assert_prints(&KeyringKey::generate(&mut canary_bytes(), 1), "KeyringKey(..)");
    assert_prints(&AppKek::generate(&mut canary_bytes(), [0; 16], 1), "AppKek(..)");
    assert_prints(&SigningKey::generate(&mut canary_bytes()), "SigningKey(..)");
    assert_prints(&DischargerKey::generate(&mut canary_bytes()), "DischargerKey(..)");
    assert_prints(&RowMacKey::generate(&mut canary_bytes()), "RowMacKey(..)");
    assert_prints(&AuditMacKey::generate(&mut canary_bytes()), "AuditMacKey(..)");
    assert_prints(&AuditRatchetKey::generate(&mut canary_bytes()), "AuditRatchetKey(..)");
    assert_prints(&AuditSigningKey::generate(&mut canary_bytes()), "AuditSigningKey(..)");
    assert_prints(&PollKey::generate(&mut canary_bytes()), "PollKey(..)");
    assert_prints(&DigestKey::generate(&mut canary_bytes()), "DigestKey(..)");
    assert_prints(&SecretKeyMaterial::new(material.into()).unwrap(), "SecretKeyMaterial(..)");
    assert_prints(&SecretKey::import(SecretKeyType::NaclAuth, &CANARY).unwrap(), "SecretKey(nacl_auth, ..)");
    assert_prints(&HostCacheKey::generate(&mut canary_bytes()), "HostCacheKey(..)");
    assert_prints(&SealKey::generate(&mut canary_bytes()), "SealKey(..)");
    let keyring = Keyring::new([KeyringKey::generate(&mut canary_bytes(), 4)], 4).unwrap();
    assert_prints(&keyring, "Keyring(.., current version 4)");
}

fn assert_prints(key: &impl Debug, expected: &str) {
    assert_eq!(format!("{key:?}"), expected);
    assert_eq!(format!("{key:#?}"), expected);
}
