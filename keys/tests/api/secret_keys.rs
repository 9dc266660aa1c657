//! Operations of secret keys, and their refusals.

use petsem_keys::{
    AppKek, ImportError, KeyOperation, KeyUseError, SECRET_KEY_MESSAGE_MAXIMUM, SecretKey, SecretKeyMaterial,
    SecretKeyType,
};
use proptest::prelude::*;

use crate::seeded::SeededRng;

const MESSAGE: &[u8] = b"a message of some length";

fn rng() -> SeededRng {
    SeededRng::new("secret keys")
}

fn keys() -> Vec<SecretKey> {
    let mut rng = rng();
    SecretKeyType::ALL.into_iter().map(|kind| SecretKey::generate(&mut rng, kind)).collect()
}

fn encrypting() -> Vec<SecretKey> {
    keys().into_iter().filter(|key| key.kind().can(KeyOperation::Encrypt)).collect()
}

fn signing() -> Vec<SecretKey> {
    keys().into_iter().filter(|key| key.kind().can(KeyOperation::Sign)).collect()
}

fn aad(key: &SecretKey) -> &'static [u8] {
    if key.kind().takes_associated_data() { b"context" } else { b"" }
}

#[test]
fn every_type_has_its_name_in_the_machines_api() {
    let names = SecretKeyType::ALL.map(SecretKeyType::as_str);
    assert_eq!(
        names,
        [
            "hs256",
            "hs384",
            "hs512",
            "xaes256gcm",
            "nacl_auth",
            "nacl_box",
            "nacl_secretbox",
            "nacl_sign",
            "es256"
        ]
    );
    for name in names {
        assert_eq!(name.parse::<SecretKeyType>().map(SecretKeyType::as_str), Ok(name));
    }
    assert_eq!(
        "HS256".parse::<SecretKeyType>().unwrap_err().to_string(),
        "unknown type of key; the types are hs256 hs384 hs512 xaes256gcm nacl_auth nacl_box \
         nacl_secretbox nacl_sign es256"
    );
}

#[test]
fn a_key_decrypts_its_own_ciphertexts_and_refuses_changed_ones() {
    for key in encrypting() {
        for message in [MESSAGE, b"", &[0; 100]] {
            let ciphertext = key.encrypt(&mut rng(), message, aad(&key)).unwrap();
            assert_eq!(key.decrypt(&ciphertext, aad(&key)).as_deref(), Ok(&message.to_vec()), "{key:?}");
            for at in 0..ciphertext.len() {
                let mut changed = ciphertext.clone();
                changed[at] ^= 0x80;
                // X25519 ignores the top bit of a public key, but the nonce does not.
                assert_eq!(
                    key.decrypt(&changed, aad(&key)).err(),
                    Some(KeyUseError::NotAuthentic),
                    "{key:?} byte {at}"
                );
                assert_eq!(
                    key.decrypt(&ciphertext[..at], aad(&key)).err(),
                    Some(KeyUseError::NotAuthentic),
                    "{key:?} cut at {at}"
                );
            }
        }
    }
}

#[test]
fn two_ciphertexts_of_one_message_differ() {
    let mut rng = rng();
    for key in encrypting() {
        let mut encrypt = || key.encrypt(&mut rng, MESSAGE, b"").unwrap();
        assert_ne!(encrypt(), encrypt(), "{key:?}");
    }
}

#[test]
fn a_key_verifies_its_own_signatures_and_refuses_changed_ones() {
    for key in signing() {
        let signature = key.sign(MESSAGE).unwrap();
        assert_eq!(key.sign(MESSAGE).as_ref(), Ok(&signature), "{key:?} is deterministic");
        assert_eq!(key.verify(MESSAGE, &signature), Ok(()), "{key:?}");
        let refused = Err(KeyUseError::SignatureMismatch);
        assert_eq!(key.verify(b"another message", &signature), refused, "{key:?}");
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert_eq!(key.verify(MESSAGE, &changed), refused, "{key:?} byte {at}");
            assert_eq!(key.verify(MESSAGE, &signature[..at]), refused, "{key:?} cut at {at}");
        }
        assert_eq!(key.verify(MESSAGE, &[signature.as_slice(), &[0]].concat()), refused, "{key:?}");
    }
}

#[test]
fn another_key_of_the_same_type_opens_and_verifies_nothing() {
    let mut rng = SeededRng::new("other keys");
    for key in encrypting() {
        let other = SecretKey::generate(&mut rng, key.kind());
        let ciphertext = key.encrypt(&mut rng, MESSAGE, b"").unwrap();
        assert_eq!(other.decrypt(&ciphertext, b"").err(), Some(KeyUseError::NotAuthentic), "{key:?}");
    }
    for key in signing() {
        let other = SecretKey::generate(&mut rng, key.kind());
        let signature = key.sign(MESSAGE).unwrap();
        assert_eq!(other.verify(MESSAGE, &signature), Err(KeyUseError::SignatureMismatch), "{key:?}");
    }
}

#[test]
fn a_key_performs_only_the_operations_of_its_type() {
    let unsupported =
        |key: &SecretKey, operation| Some(KeyUseError::Unsupported { kind: key.kind(), operation });
    for key in signing() {
        assert_eq!(key.encrypt(&mut rng(), b"", b"").err(), unsupported(&key, KeyOperation::Encrypt));
        assert_eq!(key.decrypt(b"", b"").err(), unsupported(&key, KeyOperation::Decrypt));
    }
    for key in encrypting() {
        assert_eq!(key.sign(b"").err(), unsupported(&key, KeyOperation::Sign));
        assert_eq!(key.verify(b"", b"").err(), unsupported(&key, KeyOperation::Verify));
    }
    assert_eq!((signing().len(), encrypting().len()), (6, 3));
    let key = SecretKey::generate(&mut rng(), SecretKeyType::Hs256);
    assert_eq!(
        key.encrypt(&mut rng(), b"", b"").unwrap_err().to_string(),
        "a hs256 key does not encrypt; its kind is made to sign and verify; use another key"
    );
}

#[test]
fn associated_data_is_authenticated_if_the_type_supports_it_and_otherwise_refused() {
    for key in encrypting() {
        let result = key.encrypt(&mut rng(), MESSAGE, b"context");
        if key.kind() == SecretKeyType::Xaes256Gcm {
            let ciphertext = result.unwrap();
            for other in [&b""[..], b"contexT", b"context "] {
                assert_eq!(key.decrypt(&ciphertext, other).err(), Some(KeyUseError::NotAuthentic));
            }
        } else {
            let refused = Some(KeyUseError::AssociatedData { kind: key.kind() });
            assert_eq!(result.err(), refused);
            assert_eq!(key.decrypt(&[0; 100], b"context").err(), refused);
        }
    }
}

#[test]
fn a_message_above_the_maximum_is_refused() {
    let long = vec![0; SECRET_KEY_MESSAGE_MAXIMUM + 1];
    let maximum = SECRET_KEY_MESSAGE_MAXIMUM;
    let refused = Some(KeyUseError::TooLong { length: maximum + 1, maximum });
    for key in encrypting() {
        assert_eq!(key.encrypt(&mut rng(), &long, b"").err(), refused);
        let longest = key.encrypt(&mut rng(), &long[1..], b"").unwrap();
        assert_eq!(key.decrypt(&longest, b"").unwrap().len(), maximum);
    }
    for key in signing() {
        assert_eq!(key.sign(&long).err(), refused);
        assert_eq!(key.verify(&long, b"").err(), refused);
    }
}

#[test]
fn an_imported_key_equals_the_generated_one() {
    for key in keys() {
        let material = key.material().expose_secret_key_material();
        let imported = SecretKey::import(key.kind(), material).unwrap();
        assert_eq!(imported.material().expose_secret_key_material(), material);
        assert_eq!(imported.public_key(), key.public_key());
    }
}

#[test]
fn only_keys_of_the_right_length_are_imported() {
    use SecretKeyType::{Es256, Hs256, Hs384, Hs512, NaclAuth, NaclBox, NaclSecretbox, NaclSign, Xaes256Gcm};
    // 64 bytes for nacl_sign contain the public key; another test covers that.
    let lengths = |kind| match kind {
        Hs256 => 32..=64,
        Hs384 => 48..=128,
        Hs512 => 64..=128,
        Xaes256Gcm | NaclAuth | NaclBox | NaclSecretbox | NaclSign | Es256 => 32..=32,
    };
    for kind in SecretKeyType::ALL {
        for length in (1..140).filter(|length| (kind, *length) != (NaclSign, 64)) {
            match SecretKey::import(kind, &vec![7; length]) {
                Ok(_) => assert!(lengths(kind).contains(&length), "{kind} accepted {length} bytes"),
                Err(ImportError::Length { length: reported, .. }) => {
                    assert!(!lengths(kind).contains(&length), "{kind} refused {length} bytes");
                    assert_eq!(reported, length);
                }
                Err(error) => panic!("{kind} {length}: {error}"),
            }
        }
        assert_eq!(SecretKey::import(kind, &[]).err(), Some(ImportError::Empty), "{kind}");
        for length in [32, 48, 64] {
            assert_eq!(SecretKey::import(kind, &vec![0; length]).err(), Some(ImportError::Zero), "{kind}");
        }
    }
}

#[test]
fn a_p256_key_is_a_scalar_below_the_order() {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let import = |key: &[u8]| SecretKey::import(SecretKeyType::Es256, key).err();
    assert_eq!(import(&ORDER), Some(ImportError::NotOnCurve));
    assert_eq!(import(&[0xff; 32]), Some(ImportError::NotOnCurve));
    let mut below = ORDER;
    below[31] -= 1;
    assert_eq!(import(&below), None);
}

#[test]
fn an_ed25519_key_is_imported_with_its_own_public_key_only() {
    let key = SecretKey::generate(&mut rng(), SecretKeyType::NaclSign);
    let seed = key.material().expose_secret_key_material();
    let public = key.public_key().unwrap().unwrap();
    let both = [seed, &public].concat();
    let imported = SecretKey::import(SecretKeyType::NaclSign, &both).unwrap();
    assert_eq!(imported.material().expose_secret_key_material(), seed);
    let other = [seed, &[7; 32]].concat();
    assert_eq!(SecretKey::import(SecretKeyType::NaclSign, &other).err(), Some(ImportError::OtherPublicKey));
}

#[test]
fn stored_material_of_another_length_is_refused() {
    let material = |length| SecretKeyMaterial::new(vec![7; length].into_boxed_slice().into()).unwrap();
    assert_eq!(
        SecretKey::from_material(SecretKeyType::NaclSign, material(64)).err(),
        Some(ImportError::Length { length: 64, wanted: "32 bytes" })
    );
    assert_eq!(SecretKey::from_material(SecretKeyType::NaclSign, material(32)).err(), None);
}

#[test]
fn a_key_is_unwrapped_with_the_apps_kek() {
    let kek = AppKek::generate(&mut rng(), [1; 16], 1);
    for key in keys() {
        let wrapped = kek.wrap(&mut rng(), key.material(), [2; 16], [3; 16]).unwrap();
        let material: SecretKeyMaterial = kek.unwrap(&wrapped, [2; 16], [3; 16]).unwrap();
        let unwrapped = SecretKey::from_material(key.kind(), material).unwrap();
        assert_eq!(
            unwrapped.material().expose_secret_key_material(),
            key.material().expose_secret_key_material()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_ciphertexts_and_signatures_are_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for key in encrypting() {
            prop_assert_eq!(key.decrypt(&bytes, b"").err(), Some(KeyUseError::NotAuthentic));
        }
        for key in signing() {
            prop_assert_eq!(key.verify(MESSAGE, &bytes), Err(KeyUseError::SignatureMismatch));
        }
    }

    #[test]
    fn arbitrary_keys_are_imported_or_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..140),
    ) {
        for kind in SecretKeyType::ALL {
            if let Ok(key) = SecretKey::import(kind, &bytes) {
                prop_assert!(key.public_key().is_ok());
            }
        }
    }
}
