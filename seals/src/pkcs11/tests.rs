//! The PKCS#11 seal against a real SoftHSM2.
//!
//! SoftHSM2 reads its configuration's path from the environment when it is loaded, once per process. So each
//! test runs itself again in its own process, with its own token directory.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use cryptoki::object::{Attribute, KeyType, ObjectClass};
use getrandom::SysRng;
use petsem_counterparts::{MODULE, PIN, SoftHsm, TOKEN};
use petsem_keys::{KeyringKey, OpenError, RootKey, Seal as _, SealContext, SealError, SealExt as _};
use rand_core::{CryptoRng, UnwrapErr};

use super::{PKCS11_KIND, Pkcs11, Pkcs11Error, Pkcs11Settings, token};

const CONTEXT: SealContext = SealContext::root_key([1; 16], [2; 16], 3);
const DIRECTORY: &str = "PETSEM_TEST_SOFTHSM_DIRECTORY";

#[test]
fn a_root_key_is_opened_by_the_token_that_wrapped_it() {
    with_softhsm("a_root_key_is_opened_by_the_token_that_wrapped_it", |hsm| {
        let seal = Pkcs11::create(hsm.settings()).unwrap();
        let root = RootKey::generate(&mut rng(), 3);
        let keyring_key = KeyringKey::generate(&mut rng(), 1);
        let keyring_wrap = root.wrap_keyring_key(&mut rng(), &keyring_key, [1; 16]).unwrap();
        let wrapped = seal.wrap(&mut rng(), &root, &CONTEXT).unwrap();
        let again = Pkcs11::open(hsm.settings()).unwrap().unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap();
        assert_eq!(again.unwrap_keyring_key(&keyring_wrap, [1; 16], 1).unwrap().version(), 1);
        assert_eq!((seal.kind(), seal.describe().as_str()), (PKCS11_KIND, "key petsem of token ops"));
    });
}

#[test]
fn the_key_is_generated_once_and_then_reused() {
    with_softhsm("the_key_is_generated_once_and_then_reused", |hsm| {
        assert_eq!(
            refusal(Pkcs11::open(hsm.settings())),
            "there is no AES key petsem on token ops; name the one that this store was sealed with, or \
             restore the token from its backup"
        );
        let wrapped = wrap(&Pkcs11::create(hsm.settings()).unwrap());
        let second = Pkcs11::create(hsm.settings()).unwrap();
        assert_eq!(second.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
    });
}

#[test]
fn a_wrap_opens_for_no_other_context_and_no_other_key() {
    with_softhsm("a_wrap_opens_for_no_other_context_and_no_other_key", |hsm| {
        let seal = Pkcs11::create(hsm.settings()).unwrap();
        let other = Pkcs11::create(Pkcs11Settings { key: "other".to_owned(), ..hsm.settings() }).unwrap();
        let wrapped = wrap(&seal);
        for context in [
            SealContext::root_key([9; 16], [2; 16], 3),
            SealContext::root_key([1; 16], [9; 16], 3),
            SealContext::root_key([1; 16], [2; 16], 4),
        ] {
            assert_eq!(not_its_wrap(&seal, &wrapped, &context), OpenError::NotAuthentic);
        }
        assert_eq!(not_its_wrap(&other, &wrapped, &CONTEXT), OpenError::NotAuthentic);
        assert_eq!(
            other.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap_err().to_string(),
            "key other of token ops does not open the root key of this store; give the seal that this store was made \
             with, or restore the store that belongs to it"
        );
    });
}

#[test]
fn a_wrap_with_any_byte_changed_or_missing_is_refused() {
    with_softhsm("a_wrap_with_any_byte_changed_or_missing_is_refused", |hsm| {
        let seal = Pkcs11::create(hsm.settings()).unwrap();
        let wrapped = wrap(&seal);
        for position in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[position] ^= 1;
            not_its_wrap(&seal, &changed, &CONTEXT);
            not_its_wrap(&seal, &wrapped[..position], &CONTEXT);
        }
        assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
    });
}

#[test]
fn a_wrong_pin_is_refused_with_a_warning_and_the_right_one_works_again() {
    with_softhsm("a_wrong_pin_is_refused_with_a_warning_and_the_right_one_works_again", |hsm| {
        let seal = Pkcs11::create(hsm.settings()).unwrap();
        let wrapped = wrap(&seal);
        hsm.write_pin("00000000");
        assert_eq!(
            seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap_err().to_string(),
            format!(
                "token ops refused the PIN in {}; correct it before you try again: a token locks itself \
                 after a few wrong PINs",
                hsm.pin_file().display()
            )
        );
        hsm.write_pin(PIN);
        assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
    });
}

#[test]
fn a_missing_or_invalid_module_is_named() {
    with_softhsm("a_missing_or_invalid_module_is_named", |hsm| {
        for module in ["/no/such/module.so", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/etc/hostname"] {
            assert_eq!(
                refusal(Pkcs11::open(Pkcs11Settings { module: module.into(), ..hsm.settings() })),
                format!(
                    "the PKCS#11 module {module} cannot be used; give the path of the library that came with \
                     the token, and check its configuration"
                )
            );
        }
    });
}

#[test]
fn an_absent_token_is_named_with_the_connected_ones() {
    with_softhsm("an_absent_token_is_named_with_the_connected_ones", |hsm| {
        assert_eq!(
            refusal(Pkcs11::create(Pkcs11Settings { token: "dev".to_owned(), ..hsm.settings() })),
            "there is no token dev; connect it, or name one of these: ops"
        );
    });
}

#[test]
fn an_absent_token_is_named_if_none_is_connected() {
    with_softhsm("an_absent_token_is_named_if_none_is_connected", |hsm| {
        fs::remove_dir_all(hsm.tokens()).unwrap();
        fs::create_dir(hsm.tokens()).unwrap();
        assert_eq!(
            refusal(Pkcs11::open(hsm.settings())),
            "there is no token ops, and no other token; connect it, or initialize one with that label"
        );
    });
}

#[test]
fn a_reconnected_token_is_found_without_a_restart() {
    with_softhsm("a_reconnected_token_is_found_without_a_restart", |hsm| {
        let away = hsm.tokens().with_extension("away");
        let wrapped = wrap(&Pkcs11::create(hsm.settings()).unwrap());
        // The module is initialised while the token is absent, or cannot be initialised.
        for (is_empty, expected) in [
            (
                true,
                "there is no token ops, and no other token; connect it, or initialize one with that label"
                    .to_owned(),
            ),
            (
                false,
                format!(
                    "the PKCS#11 module {MODULE} cannot be used; give the path of the library that came with \
                     the token, and check its configuration"
                ),
            ),
        ] {
            fs::rename(hsm.tokens(), &away).unwrap();
            if is_empty {
                fs::create_dir(hsm.tokens()).unwrap();
            }
            assert_eq!(refusal(Pkcs11::open(hsm.settings())), expected);
            assert_eq!(refusal(Pkcs11::open(hsm.settings())), expected);
            if is_empty {
                fs::remove_dir(hsm.tokens()).unwrap();
            }
            fs::rename(&away, hsm.tokens()).unwrap();
            let again = Pkcs11::open(hsm.settings()).unwrap();
            assert_eq!(again.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
        }
    });
}

#[test]
fn an_extractable_key_is_refused() {
    with_softhsm("an_extractable_key_is_refused", |hsm| {
        let settings = Pkcs11Settings { key: "readable".to_owned(), ..hsm.settings() };
        token::with_session(&settings, true, |session| {
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Label(b"readable".to_vec()),
                Attribute::Token(true),
                Attribute::Sensitive(false),
                Attribute::Extractable(true),
                Attribute::Value(vec![7; 32]),
            ];
            session.create_object(&template).unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(
            refusal(Pkcs11::open(settings)),
            "key readable of token ops can be read out of it; let petsem make a key, or make one that is \
             sensitive and not extractable"
        );
    });
}

#[test]
fn two_keys_with_one_label_are_refused() {
    with_softhsm("two_keys_with_one_label_are_refused", |hsm| {
        Pkcs11::create(hsm.settings()).unwrap();
        let ambiguous = "2 AES keys of token ops have the label petsem; give each its own";
        let second = token::with_session(&hsm.settings(), true, |session| {
            token::generate_key(session, &hsm.settings())
        });
        assert_eq!(second.unwrap_err().to_string(), ambiguous);
        assert_eq!(refusal(Pkcs11::open(hsm.settings())), ambiguous);
    });
}

#[test]
fn two_tokens_with_one_label_are_refused() {
    with_softhsm("two_tokens_with_one_label_are_refused", |hsm| {
        hsm.run(&["--init-token", "--free", "--label", "ops", "--pin", PIN, "--so-pin", "12345678"]);
        assert_eq!(
            refusal(Pkcs11::open(hsm.settings())),
            "2 tokens have the label ops; connect only one, or give each its own label"
        );
    });
}

#[test]
fn a_key_that_was_deleted_from_the_token_is_named() {
    with_softhsm("a_key_that_was_deleted_from_the_token_is_named", |hsm| {
        let seal = Pkcs11::create(hsm.settings()).unwrap();
        let wrapped = wrap(&seal);
        token::with_session(&hsm.settings(), true, |session| {
            let key = token::find_key(session, &hsm.settings())?;
            session.destroy_object(key).unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(
            seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap_err().to_string(),
            "there is no AES key petsem on token ops; name the one that this store was sealed with, or restore the \
             token from its backup"
        );
    });
}

#[test]
fn errors_that_softhsm_does_not_cause_have_a_hint() {
    let token = || "ops".to_owned();
    for (error, expected) in [
        (
            Pkcs11Error::PinNotSet { token: token() },
            "token ops has no user's PIN yet; have its security officer set one",
        ),
        (
            Pkcs11Error::NoGcm { token: token() },
            "token ops has no AES-GCM (CKM_AES_GCM); use one that has, or another kind of seal",
        ),
        (
            Pkcs11Error::NotGcm { length: 48, expected: 60 },
            "the token's AES-GCM gave 48 bytes instead of 60; use another token, or another kind of seal",
        ),
        (
            Pkcs11Error::NotReadBack,
            "the token did not decrypt its own ciphertext; nothing was sealed; use another token, or another \
             kind of seal",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn debug_and_errors_hold_no_pin() {
    with_softhsm("debug_and_errors_hold_no_pin", |hsm| {
        hsm.write_pin("canary4711");
        let error = Pkcs11::open(hsm.settings()).unwrap_err();
        for text in [format!("{error:?} {error}"), format!("{:?}", hsm.settings())] {
            assert_eq!(text.find("canary"), None, "{text}");
        }
    });
}

/// Settings for a token that the tests started.
trait HsmSettings {
    fn settings(&self) -> Pkcs11Settings;
}

impl HsmSettings for SoftHsm {
    fn settings(&self) -> Pkcs11Settings {
        Pkcs11Settings {
            module: MODULE.into(),
            token: TOKEN.to_owned(),
            key: "petsem".to_owned(),
            pin_file: self.pin_file(),
        }
    }
}

/// Runs `body` of the test of this name in a process that has its own SoftHSM2.
fn with_softhsm(test: &str, body: impl FnOnce(&SoftHsm)) {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return body(&SoftHsm::at(Path::new(&directory)));
    }
    let directory = tempfile::tempdir().unwrap();
    let hsm = SoftHsm::initialise(directory.path());
    let name = format!("pkcs11::tests::{test}");
    let output = Command::new(env::current_exe().unwrap())
        .args([name.as_str(), "--exact", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .env("SOFTHSM2_CONF", hsm.configuration())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}{log}");
}

fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

fn wrap(seal: &Pkcs11) -> Vec<u8> {
    seal.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap()
}

fn refusal(result: Result<Pkcs11, Pkcs11Error>) -> String {
    result.unwrap_err().to_string()
}

fn not_its_wrap(seal: &Pkcs11, wrapped: &[u8], context: &SealContext) -> OpenError {
    match seal.unwrap::<RootKey>(wrapped, context) {
        Err(SealError::NotItsWrap { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}
