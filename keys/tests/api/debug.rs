//! No `Debug` of a type that holds keys prints any of them.

use std::fmt::Debug;

use petsem_keys::{
    AppKek, AuditMacKey, AuditSigningKey, DigestKey, DischargerKey, HostCacheKey, Keyring, KeyringKey,
    PollKey, RootKey, RowMacKey, SealKey, SecretKey, SecretKeyMaterial, SecretKeyType, SigningKey,
};

use crate::seeded::FixedBytes;

/// Searched in decimal, in hexadecimal and as text.
const CANARY: [u8; 32] = *b"canary-KEY-that-is-never-printed";

#[test]
fn debug_of_every_key_is_its_name_alone() {
    let given = || FixedBytes(&CANARY);
    let material = CANARY.to_vec().into_boxed_slice();
    assert_prints(&RootKey::generate(&mut given(), 1), "RootKey(..)");
    assert_prints(&KeyringKey::generate(&mut given(), 1), "KeyringKey(..)");
    assert_prints(&AppKek::generate(&mut given(), [0; 16], 1), "AppKek(..)");
    assert_prints(&SigningKey::generate(&mut given()), "SigningKey(..)");
    assert_prints(&DischargerKey::generate(&mut given()), "DischargerKey(..)");
    assert_prints(&RowMacKey::generate(&mut given()), "RowMacKey(..)");
    assert_prints(&AuditMacKey::generate(&mut given()), "AuditMacKey(..)");
    assert_prints(&AuditSigningKey::generate(&mut given()), "AuditSigningKey(..)");
    assert_prints(&PollKey::generate(&mut given()), "PollKey(..)");
    assert_prints(&DigestKey::generate(&mut given()), "DigestKey(..)");
    assert_prints(&SecretKeyMaterial::new(material.into()).unwrap(), "SecretKeyMaterial(..)");
    assert_prints(&SecretKey::import(SecretKeyType::NaclAuth, &CANARY).unwrap(), "SecretKey(nacl_auth, ..)");
    assert_prints(&HostCacheKey::generate(&mut given()), "HostCacheKey(..)");
    assert_prints(&SealKey::generate(&mut given()), "SealKey(..)");
    let keyring = Keyring::new([KeyringKey::generate(&mut given(), 4)], 4).unwrap();
    assert_prints(&keyring, "Keyring(.., current version 4)");
}

fn assert_prints(key: &impl Debug, expected: &str) {
    assert_eq!(format!("{key:?}"), expected);
    assert_eq!(format!("{key:#?}"), expected);
}
