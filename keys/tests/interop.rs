//! Interoperability: PyNaCl and cryptography decrypt and verify what petsem encrypts and signs, with the same
//! or the public key, and vice versa.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use petsem_keys::{KeyOperation, SecretKey, SecretKeyType};
use serde_json::{Value, json};

const LENGTHS: [usize; 5] = [0, 1, 31, 32, 5_000];

#[test]
fn pynacl_and_cryptography_interoperate_with_petsem() {
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let keys: Vec<(SecretKey, usize)> = SecretKeyType::ALL
        .into_iter()
        .flat_map(|kind| LENGTHS.map(|length| (kind, length)))
        .map(|(kind, length)| (SecretKey::generate(&mut rng, kind), length))
        .collect();
    let cases: Vec<Value> = keys
        .iter()
        .map(|(key, length)| {
            let (plaintext, hex) = (plaintext(*length), |bytes: &[u8]| HEXLOWER.encode(bytes));
            let mut case = json!({
                "type": key.kind().as_str(),
                "key": hex(key.material().expose_secret_key_material()),
                "plaintext": hex(&plaintext),
                "answer": hex(&answer(*length)),
                "associated_data": hex(associated_data(key)),
            });
            if let Some(public) = key.public_key().unwrap() {
                case["public_key"] = hex(&public).into();
            }
            if key.kind().can(KeyOperation::Encrypt) {
                let ciphertext = key.encrypt(&mut rng, &plaintext, associated_data(key)).unwrap();
                case["ciphertext"] = hex(&ciphertext).into();
            } else {
                case["signature"] = hex(&key.sign(&plaintext).unwrap()).into();
            }
            case
        })
        .collect();
    let answers = run_python(&Value::from(cases));
    assert_eq!(answers.len(), keys.len());
    for ((key, length), made) in keys.iter().zip(&answers) {
        let bytes = |field: &str| HEXLOWER.decode(made[field].as_str().unwrap().as_bytes()).unwrap();
        if key.kind().can(KeyOperation::Encrypt) {
            let opened = key.decrypt(&bytes("ciphertext"), associated_data(key));
            assert_eq!(opened.as_deref(), Ok(&answer(*length)), "{key:?}, {length} bytes");
        } else {
            let verified = key.verify(&answer(*length), &bytes("signature"));
            assert_eq!(verified, Ok(()), "{key:?}, {length} bytes");
        }
    }
}

fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn answer(length: usize) -> Vec<u8> {
    plaintext(length).into_iter().rev().chain(*b"!").collect()
}

fn associated_data(key: &SecretKey) -> &'static [u8] {
    if key.kind().takes_associated_data() { b"where it belongs" } else { b"" }
}

/// Runs the Python program once, with all keys on its standard input.
fn run_python(cases: &Value) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/peer.py");
    let mut child =
        Command::new(python()).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(cases.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the Python program failed; its error is above");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target.join("python/bin/python");
    assert!(
        python.exists(),
        "there is no {}: run ./test once, which installs it, or\n  python3 -m venv {target}/python && \
         {target}/python/bin/pip install -r keys/tests/interop/requirements.txt",
        python.display(),
        target = target.display()
    );
    python
}
