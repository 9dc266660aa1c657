//! Vectors of the standards themselves, for gaps of project Wycheproof: XSalsa20-Poly1305, hashes, and
//! signing, which Wycheproof only verifies.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use blake2::digest::consts::{U32, U64};
use blake2::{Blake2b, Digest};
use crypto_box::SalsaBox;
use crypto_box::aead::Aead;
use data_encoding::HEXLOWER;
use petsem_keys::{SecretKey, SecretKeyType};
use sha2::{Sha256, Sha384, Sha512};

/// The key, nonce and message of NaCl's own tests, and what they encrypt to; "Cryptography in NaCl" derives the
/// key from those of Alice and Bob.
const NACL_KEY: &str = "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389";
const NACL_NONCE: &str = "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37";
const NACL_MESSAGE: &str = "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d4\
                            5e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a\
                            024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705";
const NACL_SEALED: &str = "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531\
                           a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932\
                           164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14\
                           a6599b1f654cb45a74e355a5";

#[test]
fn xsalsa20_poly1305_opens_the_message_of_nacl_and_refuses_changed_ones() {
    let key = SecretKey::import(SecretKeyType::NaclSecretbox, &hex(NACL_KEY)).unwrap();
    let sealed = [hex(NACL_NONCE), hex(NACL_SEALED)].concat();
    assert_eq!(*key.decrypt(&sealed, b"").unwrap(), hex(NACL_MESSAGE));
    for byte in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[byte] ^= 1;
        assert_eq!(key.decrypt(&changed, b"").err(), Some(petsem_keys::KeyUseError::NotAuthentic), "{byte}");
    }
}

#[test]
fn a_box_from_alice_to_bob_equals_the_one_of_nacl() {
    // Bob's private key and Alice's public one make the same key.
    let bob = array("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let alice = array("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let between = SalsaBox::new(&crypto_box::PublicKey::from(alice), &crypto_box::SecretKey::from(bob));
    let nonce = crypto_box::Nonce::clone_from_slice(&hex(NACL_NONCE));
    let sealed = between.encrypt(&nonce, hex(NACL_MESSAGE).as_slice()).unwrap();
    assert_eq!(HEXLOWER.encode(&sealed), NACL_SEALED);
}

#[test]
fn hashes_are_those_of_fips_180_4_and_rfc_7693() {
    assert_eq!(
        HEXLOWER.encode(&Sha256::digest(b"abc")),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        HEXLOWER.encode(&Sha384::digest(b"abc")),
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
    );
    assert_eq!(
        HEXLOWER.encode(&Sha512::digest(b"abc")),
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    );
    assert_eq!(
        HEXLOWER.encode(&Blake2b::<U64>::digest(b"abc")),
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
         7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
    );
    // The used length; RFC 7693 has no example of it, but libsodium and Python's hashlib do.
    assert_eq!(
        HEXLOWER.encode(&Blake2b::<U32>::digest(b"abc")),
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
    );
}

#[test]
fn es256_signs_as_rfc_6979_says() {
    // Appendix A.2.5.
    let key = hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let key = SecretKey::import(SecretKeyType::Es256, &key).unwrap();
    for (message, r, s) in [
        (
            "sample",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            "test",
            "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
            "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
        ),
    ] {
        let signature = key.sign(message.as_bytes()).unwrap();
        assert_eq!(HEXLOWER.encode(&signature), format!("{r}{s}"));
    }
}

#[test]
fn nacl_sign_signs_as_rfc_8032_says() {
    // Section 7.1, test 2.
    let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = SecretKey::import(SecretKeyType::NaclSign, &seed).unwrap();
    assert_eq!(
        HEXLOWER.encode(&key.public_key().unwrap().unwrap()),
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    );
    assert_eq!(
        HEXLOWER.encode(&key.sign(&[0x72]).unwrap()),
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    );
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn array(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap()
}
