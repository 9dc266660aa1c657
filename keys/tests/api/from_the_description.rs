//! The crate's page is enough to open every format: a second implementation, written only from the tables of
//! the crate documentation.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, Mac};
use petsem_keys::{
    AppKek, AuditMacKey, AuditSigningKey, DigestKey, Keyring, KeyringKey, RecordContext, RowContext,
    RowMacKey, SigningKey, WrapContext,
};
use sha2::Sha256;
use xaes_256_gcm::Xaes256Gcm;

use crate::seeded::{FixedBytes, SeededRng};

const KEY: [u8; 32] = [0x11; 32];
const STORE: [u8; 16] = [0x12; 16];
const ORG: [u8; 16] = [0x13; 16];
const APP: [u8; 16] = [0x14; 16];
const ID: [u8; 16] = [0x15; 16];

#[test]
fn a_wrap_opens_as_described() {
    let mut rng = SeededRng::new("described wrap");
    let keyring = Keyring::new([KeyringKey::generate(&mut FixedBytes(&KEY), 6)], 6).unwrap();
    let key = SigningKey::generate(&mut rng);
    let wrapped = keyring.wrap(&mut rng, &key, &WrapContext::new(STORE, ID).owned_by(ORG)).unwrap();

    assert_eq!(wrapped[..5], [1, 0, 0, 0, 6]);
    let aad = context(0x03, &[&STORE, &ID, &ORG, &int(0), &int(6)]);
    assert_eq!(xaes_open(&KEY, &wrapped[5..], &aad), key.expose_signing_key());
}

#[test]
fn a_value_and_its_dek_open_as_described() {
    let mut rng = SeededRng::new("described value");
    let kek = AppKek::generate(&mut FixedBytes(&KEY), APP, 2);
    let record = RecordContext::Value { epoch: 3, org: ORG, app: APP, name: "NAME", version: 4 };
    let sealed = kek.seal(&mut rng, b"value", &record).unwrap();

    assert_eq!(sealed.wrapped_dek[..5], [1, 0, 0, 0, 2]);
    let dek_id = &sealed.wrapped_dek[5..21];
    let aad = context(0x09, &[&APP, dek_id, &int(2)]);
    let dek = xaes_open(&KEY, &sealed.wrapped_dek[21..], &aad);
    let aad = context(0x20, &[&int(3), &ORG, &APP, b"NAME", &int(4), dek_id]);
    assert_eq!(gcm_open(&dek, &sealed.ciphertext, &aad), b"value");
}

#[test]
fn a_bundle_opens_as_described() {
    let mut rng = SeededRng::new("described bundle");
    let kek = AppKek::generate(&mut FixedBytes(&KEY), APP, 2);
    let record = RecordContext::Bundle { epoch: 3, org: ORG, app: APP, version: 4 };
    let sealed = kek.seal(&mut rng, b"bundle", &record).unwrap();

    let dek_id = &sealed.wrapped_dek[5..21];
    let dek = xaes_open(&KEY, &sealed.wrapped_dek[21..], &context(0x09, &[&APP, dek_id, &int(2)]));
    let aad = context(0x21, &[&int(3), &ORG, &APP, &int(4), dek_id]);
    assert_eq!(gcm_open(&dek, &sealed.ciphertext, &aad), b"bundle");
}

#[test]
fn macs_and_digests_are_computed_as_described() {
    let rows = RowMacKey::generate(&mut FixedBytes(&KEY));
    let row = RowContext { table: 7, id: b"id", epoch: 1, row_version: 2 };
    let message = context(0x40, &[&int(7), b"id", &int(1), &int(2), b"content"]);
    assert_eq!(rows.tag(&row, b"content"), hmac(&KEY, &message));

    let message = context(0x41, &[&int(1), &int(2), &[5; 32], b"change"]);
    assert_eq!(rows.feed_tag(1, 2, &[5; 32], b"change"), hmac(&KEY, &message));

    let digests = DigestKey::generate(&mut FixedBytes(&KEY));
    let message = context(0x42, &[b"NAME", b"value"]);
    assert_eq!(digests.digest("NAME", b"value"), hmac(&KEY, &message)[..16]);

    let lines = AuditMacKey::generate(&mut FixedBytes(&KEY));
    let message = context(0x43, &[b"line"]);
    assert_eq!(lines.tag(b"line"), hmac(&KEY, &message));
    let next = hmac(&KEY, &context(0x44, &[]));
    assert_eq!(lines.ratchet().tag(b"line"), hmac(&next, &message));
}

#[test]
fn a_checkpoint_verifies_as_described() {
    let key = AuditSigningKey::generate(&mut FixedBytes(&KEY));
    let public = VerifyingKey::from_bytes(&key.public()).unwrap();
    let signature = Signature::from_bytes(&key.sign(b"head"));
    assert_eq!(public.verify_strict(&context(0x45, &[b"head"]), &signature).ok(), Some(()));
}

fn context(label: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![label];
    for field in fields {
        bytes.extend_from_slice(&(field.len() as u32).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

fn int(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

/// Opens `nonce 24 | ciphertext | tag`.
fn xaes_open(key: &[u8], body: &[u8], aad: &[u8]) -> Vec<u8> {
    let (nonce, msg) = body.split_at(24);
    let cipher = Xaes256Gcm::new(key.try_into().unwrap());
    cipher.decrypt(nonce.try_into().unwrap(), Payload { msg, aad }).unwrap()
}

/// Opens `0x01 | nonce 12 | ciphertext | tag`.
fn gcm_open(key: &[u8], message: &[u8], aad: &[u8]) -> Vec<u8> {
    assert_eq!(message[0], 1);
    let (nonce, msg) = message[1..].split_at(12);
    let cipher = Aes256Gcm::new(key.try_into().unwrap());
    cipher.decrypt(nonce.try_into().unwrap(), Payload { msg, aad }).unwrap()
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}
