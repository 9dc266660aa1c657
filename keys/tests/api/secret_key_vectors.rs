//! The published layouts of secret keys, `tests/vectors/secret_keys.json`: its entries must always open and
//! verify, and the same randomness gives the same bytes. `PETSEM_BLESS=1` rewrites it.

use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use petsem_keys::{KeyOperation, SecretKey, SecretKeyType};
use serde_json::{Value, json};

use crate::published::bless;
use crate::seeded::SeededRng;

#[test]
fn the_same_randomness_gives_the_published_ciphertexts_and_signatures() {
    let generated = generate();
    bless(&path(), &generated);
    assert_eq!(published(), generated);
}

#[test]
fn every_published_ciphertext_opens_and_every_published_signature_verifies() {
    let vectors = published();
    let vectors = vectors["keys"].as_array().unwrap();
    for vector in vectors {
        let kind: SecretKeyType = vector["type"].as_str().unwrap().parse().unwrap();
        let key = SecretKey::import(kind, &bytes(vector, "key")).unwrap();
        let public = vector["public_key"].as_str().map(|_| bytes(vector, "public_key"));
        assert_eq!(key.public_key(), Ok(public), "{kind}");
        let plaintext = bytes(vector, "plaintext");
        if kind.can(KeyOperation::Encrypt) {
            let ad = bytes(vector, "associated_data");
            assert_eq!(*key.decrypt(&bytes(vector, "ciphertext"), &ad).unwrap(), plaintext, "{kind}");
        } else {
            assert_eq!(key.verify(&plaintext, &bytes(vector, "signature")), Ok(()), "{kind}");
        }
    }
    assert_eq!(vectors.len(), SecretKeyType::ALL.len());
}

fn generate() -> Value {
    let mut rng = SeededRng::new("petsem secret key vectors, version 1");
    let keys: Vec<Value> = SecretKeyType::ALL.into_iter().map(|kind| vector(&mut rng, kind)).collect();
    json!({
        "about": "One key of each type, and what it makes. Byte strings are hexadecimal. \
                  Keys and nonces come from a test's seed and protect nothing.",
        "keys": keys,
    })
}

fn vector(rng: &mut SeededRng, kind: SecretKeyType) -> Value {
    let key = SecretKey::generate(rng, kind);
    let plaintext = b"the same message for every type";
    let mut vector = json!({
        "type": kind.as_str(),
        "key": HEXLOWER.encode(key.material().expose_secret_key_material()),
        "public_key": key.public_key().unwrap().map(|public| HEXLOWER.encode(&public)),
        "plaintext": HEXLOWER.encode(plaintext),
    });
    if kind.can(KeyOperation::Encrypt) {
        let ad: &[u8] = if kind.takes_associated_data() { b"where it belongs" } else { b"" };
        vector["associated_data"] = HEXLOWER.encode(ad).into();
        vector["ciphertext"] = HEXLOWER.encode(&key.encrypt(rng, plaintext, ad).unwrap()).into();
    } else {
        vector["signature"] = HEXLOWER.encode(&key.sign(plaintext).unwrap()).into();
    }
    vector
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/secret_keys.json")
}

fn published() -> Value {
    serde_json::from_slice(&fs::read(path()).unwrap()).unwrap()
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    HEXLOWER.decode(vector[field].as_str().unwrap().as_bytes()).unwrap()
}
