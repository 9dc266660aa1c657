//! Which key wraps which, and how versions are replaced.

use petsem_keys::{
    AppKek, DigestKey, DischargerKey, EncryptError, Keyring, KeyringError, KeyringKey, OpenError,
    RecordContext, RewrapError, RootKey, SECRET_KEY_MAXIMUM, Sealed, SecretKeyMaterial, SigningKey,
    WrapContext,
};

use crate::seeded::SeededRng;

const STORE: [u8; 16] = [0x51; 16];
const ORG: [u8; 16] = [0x52; 16];
const APP: [u8; 16] = [0x53; 16];
const ID: [u8; 16] = [0x54; 16];
const VALUE: RecordContext<'static> =
    RecordContext::Value { epoch: 1, org: ORG, app: APP, name: "DATABASE_URL", version: 7 };

#[test]
fn a_value_is_decrypted_through_the_whole_hierarchy() {
    let mut rng = SeededRng::new("whole hierarchy");
    let root = RootKey::generate(&mut rng, 1);
    let keyring = Keyring::new([KeyringKey::generate(&mut rng, 1)], 1).unwrap();
    let kek = AppKek::generate(&mut rng, APP, 1);
    let sealed = kek.seal(&mut rng, b"postgres://", &VALUE).unwrap();
    let wrapped_kek = keyring.wrap(&mut rng, &kek, &WrapContext::app_kek(STORE, APP, 1)).unwrap();
    let wrapped_ring = root.wrap_keyring_key(&mut rng, keyring.key(1).unwrap(), STORE).unwrap();
    drop((kek, keyring));

    let keyring = Keyring::new([root.unwrap_keyring_key(&wrapped_ring, STORE, 1).unwrap()], 1).unwrap();
    let kek: AppKek = keyring.unwrap(&wrapped_kek, &WrapContext::app_kek(STORE, APP, 1)).unwrap();
    assert_eq!((kek.app(), kek.version()), (&APP, 1));
    assert_eq!(kek.open(sealed.borrowed(), &VALUE).unwrap().as_slice(), b"postgres://");
}

#[test]
fn messages_of_every_edge_length_are_decrypted() {
    let mut rng = SeededRng::new("edge lengths");
    let kek = AppKek::generate(&mut rng, APP, 1);
    for length in [0, 1, 15, 16, 17, 4096, petsem_keys::PLAINTEXT_MAXIMUM] {
        let plaintext = vec![0xa5; length];
        let sealed = kek.seal(&mut rng, &plaintext, &VALUE).unwrap();
        assert_eq!((sealed.wrapped_dek.len(), sealed.ciphertext.len()), (93, 29 + length));
        assert_eq!(*kek.open(sealed.borrowed(), &VALUE).unwrap(), plaintext);
    }
}

#[test]
fn a_message_over_two_mebibytes_is_not_sealed_and_not_opened() {
    let mut rng = SeededRng::new("too long");
    let kek = AppKek::generate(&mut rng, APP, 1);
    let (length, maximum) = (petsem_keys::PLAINTEXT_MAXIMUM + 1, petsem_keys::PLAINTEXT_MAXIMUM);
    let error = kek.seal(&mut rng, &vec![0; length], &VALUE).unwrap_err();
    assert_eq!(error, EncryptError::TooLong { length, maximum });

    let mut sealed = kek.seal(&mut rng, b"", &VALUE).unwrap();
    sealed.ciphertext.resize(29 + length, 0);
    let error = kek.open(sealed.borrowed(), &VALUE).unwrap_err();
    assert_eq!(error, OpenError::TooLong { length: 29 + length, maximum: 29 + maximum });
}

#[test]
fn sealing_a_message_twice_uses_new_deks_and_nonces() {
    let mut rng = SeededRng::new("twice");
    let kek = AppKek::generate(&mut rng, APP, 1);
    let [one, other] = [(); 2].map(|()| kek.seal(&mut rng, b"same", &VALUE).unwrap());
    assert_ne!(one.wrapped_dek[5..21], other.wrapped_dek[5..21], "DEK ids");
    assert_ne!(one.wrapped_dek[21..45], other.wrapped_dek[21..45], "wrap nonces");
    assert_ne!(one.ciphertext[1..13], other.ciphertext[1..13], "message nonces");
    assert_ne!(one.ciphertext[13..], other.ciphertext[13..]);
}

#[test]
fn a_record_is_sealed_only_with_the_kek_of_its_app() {
    let mut rng = SeededRng::new("own kek");
    let foreign = AppKek::generate(&mut rng, [0xff; 16], 1);
    assert_eq!(foreign.seal(&mut rng, b"", &VALUE).unwrap_err(), EncryptError::OtherKey);
}

#[test]
fn a_kek_is_wrapped_only_with_its_own_app_and_version() {
    let mut rng = SeededRng::new("kek context");
    let keyring = Keyring::new([KeyringKey::generate(&mut rng, 1)], 1).unwrap();
    let kek = AppKek::generate(&mut rng, APP, 2);
    for context in [WrapContext::app_kek(STORE, APP, 1), WrapContext::app_kek(STORE, ORG, 2)] {
        assert_eq!(keyring.wrap(&mut rng, &kek, &context).unwrap_err(), EncryptError::OtherKey);
    }
}

#[test]
fn a_rotated_keyring_rewraps_keys_and_removes_the_old_version() {
    let mut rng = SeededRng::new("rotate keyring");
    let context = WrapContext::new(STORE, ID).owned_by(ORG);
    let mut keyring = Keyring::new([KeyringKey::generate(&mut rng, 1)], 1).unwrap();
    let key = SigningKey::generate(&mut rng);
    let old = keyring.wrap(&mut rng, &key, &context).unwrap();

    keyring.add(KeyringKey::generate(&mut rng, 2)).unwrap();
    keyring.make_current(2).unwrap();
    assert_eq!(keyring.versions(), [1, 2]);
    let new = keyring.rewrap::<SigningKey>(&mut rng, &old, &context).unwrap();
    assert_eq!((Keyring::version_of(&old), Keyring::version_of(&new)), (Ok(1), Ok(2)));
    assert_eq!(keyring.remove(1), Ok(()));

    let error = keyring.unwrap::<SigningKey>(&old, &context).unwrap_err();
    assert_eq!(error, OpenError::UnknownKeyVersion { version: 1 });
    let again: SigningKey = keyring.unwrap(&new, &context).unwrap();
    assert_eq!(again.expose_signing_key(), key.expose_signing_key());
    let error = keyring.rewrap::<SigningKey>(&mut rng, &old, &context).unwrap_err();
    assert_eq!(error, RewrapError::Open(OpenError::UnknownKeyVersion { version: 1 }));
}

#[test]
fn a_keyring_refuses_repeated_versions_and_keeps_its_current_one() {
    let mut rng = SeededRng::new("keyring versions");
    let mut key = |version| KeyringKey::generate(&mut rng, version);
    let error = Keyring::new([key(1), key(1)], 1).unwrap_err();
    assert_eq!(error, KeyringError::VersionTwice { version: 1 });
    assert_eq!(Keyring::new([key(1)], 2).unwrap_err(), KeyringError::NoSuchVersion { version: 2 });

    let mut keyring = Keyring::new([key(1), key(3)], 3).unwrap();
    assert_eq!(keyring.current_version(), 3);
    assert_eq!(keyring.add(key(3)), Err(KeyringError::VersionTwice { version: 3 }));
    assert_eq!(keyring.add(key(1)), Err(KeyringError::VersionTwice { version: 1 }));
    assert_eq!(keyring.make_current(2), Err(KeyringError::NoSuchVersion { version: 2 }));
    assert_eq!(keyring.remove(3), Err(KeyringError::IsCurrent { version: 3 }));
    assert_eq!(keyring.remove(2), Err(KeyringError::NoSuchVersion { version: 2 }));
    assert_eq!(keyring.versions(), [1, 3]);
}

#[test]
fn a_rewrapped_dek_opens_the_same_ciphertext_with_the_new_kek_only() {
    let mut rng = SeededRng::new("rewrap dek");
    let old = AppKek::generate(&mut rng, APP, 1);
    let new = AppKek::generate(&mut rng, APP, 2);
    let mut sealed = old.seal(&mut rng, b"value", &VALUE).unwrap();
    let id = AppKek::id_of_dek(&sealed.wrapped_dek).unwrap();
    sealed.wrapped_dek = old.rewrap_dek(&mut rng, &new, &sealed.wrapped_dek).unwrap();

    assert_eq!(AppKek::version_of_dek(&sealed.wrapped_dek), Ok(2));
    assert_eq!(AppKek::id_of_dek(&sealed.wrapped_dek), Ok(id));
    assert_eq!(new.open(sealed.borrowed(), &VALUE).unwrap().as_slice(), b"value");
    let error = old.open(sealed.borrowed(), &VALUE).unwrap_err();
    assert_eq!(error, OpenError::UnknownKeyVersion { version: 2 });
}

#[test]
fn a_message_opens_only_with_the_dek_id_that_it_was_sealed_with() {
    let mut rng = SeededRng::new("dek id");
    let kek = AppKek::generate(&mut rng, APP, 1);
    let [first, second] = [(); 2].map(|()| kek.seal(&mut rng, b"value", &VALUE).unwrap());
    let id = AppKek::id_of_dek(&first.wrapped_dek).unwrap();
    assert_ne!(AppKek::id_of_dek(&second.wrapped_dek), Ok(id));
    // The id of the first in the header of the second: it is read from there, and does not open.
    let mut renamed = second.clone();
    renamed.wrapped_dek[5..21].copy_from_slice(&id);
    assert_eq!(AppKek::id_of_dek(&renamed.wrapped_dek), Ok(id));
    assert_eq!(kek.open(renamed.borrowed(), &VALUE).unwrap_err(), OpenError::NotAuthentic);
    // The ciphertext of the second with the DEK of the first.
    let mixed = Sealed { wrapped_dek: first.wrapped_dek, ..second };
    assert_eq!(kek.open(mixed.borrowed(), &VALUE).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn a_dek_or_key_is_not_rewrapped_with_the_kek_of_another_app() {
    let mut rng = SeededRng::new("other app");
    let own = AppKek::generate(&mut rng, APP, 1);
    let foreign = AppKek::generate(&mut rng, [0xff; 16], 2);
    let sealed = own.seal(&mut rng, b"value", &VALUE).unwrap();
    let refused = RewrapError::Encrypt(EncryptError::OtherKey);
    assert_eq!(own.rewrap_dek(&mut rng, &foreign, &sealed.wrapped_dek).unwrap_err(), refused);
    let digest_key = DigestKey::generate(&mut rng);
    let wrapped = own.wrap(&mut rng, &digest_key, STORE, ID).unwrap();
    let error = own.rewrap::<DigestKey>(&mut rng, &foreign, &wrapped, STORE, ID).unwrap_err();
    assert_eq!(error, refused);
}

#[test]
fn digest_and_secret_keys_are_unwrapped_with_their_apps_kek() {
    let mut rng = SeededRng::new("app keys");
    let old = AppKek::generate(&mut rng, APP, 1);
    let new = AppKek::generate(&mut rng, APP, 2);
    let digest_key = DigestKey::generate(&mut rng);
    let wrapped = old.wrap(&mut rng, &digest_key, STORE, ID).unwrap();
    let wrapped = old.rewrap::<DigestKey>(&mut rng, &new, &wrapped, STORE, ID).unwrap();
    let again: DigestKey = new.unwrap(&wrapped, STORE, ID).unwrap();
    assert_eq!(again.digest("A", b"b"), digest_key.digest("A", b"b"));

    for length in [0, 1, 32, SECRET_KEY_MAXIMUM] {
        let material = vec![0x5a; length].into_boxed_slice();
        let secret_key = SecretKeyMaterial::new(material.clone().into()).unwrap();
        let wrapped = old.wrap(&mut rng, &secret_key, STORE, ID).unwrap();
        let again: SecretKeyMaterial = old.unwrap(&wrapped, STORE, ID).unwrap();
        assert_eq!(again.expose_secret_key_material(), &*material);
    }
    let too_long = vec![0; SECRET_KEY_MAXIMUM + 1].into_boxed_slice();
    let error = SecretKeyMaterial::new(too_long.into()).unwrap_err();
    assert_eq!(error, EncryptError::TooLong { length: 4097, maximum: 4096 });
}

#[test]
fn an_imported_discharger_key_keeps_its_bytes() {
    let key = DischargerKey::filled_by(|room| {
        room.fill(7);
        Ok::<(), OpenError>(())
    });
    assert_eq!(key.unwrap().expose_discharger_key(), &[7; 32]);
    let refused = DischargerKey::filled_by(|_| Err("not hexadecimal"));
    assert_eq!(refused.unwrap_err(), "not hexadecimal");
}

#[test]
fn another_root_key_or_version_does_not_open_a_keyring_key() {
    let mut rng = SeededRng::new("other root");
    let root = RootKey::generate(&mut rng, 1);
    let keyring_key = KeyringKey::generate(&mut rng, 1);
    let wrapped = root.wrap_keyring_key(&mut rng, &keyring_key, STORE).unwrap();
    let opened = |root: &RootKey, store, version| {
        root.unwrap_keyring_key(&wrapped, store, version).map(|key| key.version())
    };
    assert_eq!(opened(&root, STORE, 1), Ok(1));
    assert_eq!(opened(&root, STORE, 2), Err(OpenError::NotAuthentic));
    assert_eq!(opened(&root, ORG, 1), Err(OpenError::NotAuthentic));
    assert_eq!(opened(&RootKey::generate(&mut rng, 1), STORE, 1), Err(OpenError::NotAuthentic));
    let next = RootKey::generate(&mut rng, 2);
    assert_eq!(opened(&next, STORE, 1), Err(OpenError::UnknownKeyVersion { version: 1 }));
}
