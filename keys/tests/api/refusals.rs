//! Anything changed, cut, swapped or opened in another context is refused, and no part of it is released.

use petsem_keys::{
    AppKek, DigestKey, DischargerKey, HostCacheContext, HostCacheKey, Keyring, KeyringKey, OpenError,
    PollKey, RecordContext, Sealed, SigningKey, WrapContext,
};

use crate::seeded::SeededRng;

const STORE: [u8; 16] = [0x61; 16];
const ORG: [u8; 16] = [0x62; 16];
const APP: [u8; 16] = [0x63; 16];
const ID: [u8; 16] = [0x64; 16];
const OTHER: [u8; 16] = [0x65; 16];

const VALUE: RecordContext<'static> =
    RecordContext::Value { epoch: 1, org: ORG, app: APP, name: "NAME", version: 7 };
const BUNDLE: RecordContext<'static> = RecordContext::Bundle { epoch: 1, org: ORG, app: APP, version: 7 };

#[test]
fn a_wrap_with_any_bit_changed_is_refused() {
    let (keyring, wrapped) = wrapped_signing_key();
    let context = WrapContext::new(STORE, ID).owned_by(ORG);
    for_each_flip(&wrapped, |position, changed| {
        let error = keyring.unwrap::<SigningKey>(changed, &context).unwrap_err();
        assert_eq!(kind(error), if position < 5 { Kind::Header } else { Kind::NotAuthentic }, "{position}");
    });
}

#[test]
fn a_wrap_cut_or_lengthened_is_refused() {
    let (keyring, wrapped) = wrapped_signing_key();
    let context = WrapContext::new(STORE, ID).owned_by(ORG);
    let open = |bytes: &[u8]| keyring.unwrap::<SigningKey>(bytes, &context).unwrap_err();
    for length in 0..wrapped.len() {
        let expected = match length {
            0..45 => OpenError::TooShort { length, minimum: 45 },
            _ => OpenError::KeyLength { length: length - 45 },
        };
        assert_eq!(open(&wrapped[..length]), expected);
    }
    let longer = [wrapped.as_slice(), &[0]].concat();
    assert_eq!(open(&longer), OpenError::KeyLength { length: 33 });
}

#[test]
fn a_wrap_opens_under_no_other_store_id_owner_version_or_role() {
    let (keyring, wrapped) = wrapped_signing_key();
    let context = WrapContext::new(STORE, ID).owned_by(ORG);
    for changed in [
        WrapContext { store: OTHER, ..context },
        WrapContext { id: OTHER, ..context },
        WrapContext { owner: None, ..context },
        WrapContext { owner: Some(OTHER), ..context },
        WrapContext { version: 1, ..context },
    ] {
        let error = keyring.unwrap::<SigningKey>(&wrapped, &changed).unwrap_err();
        assert_eq!(error, OpenError::NotAuthentic, "{changed:?}");
    }
    let error = keyring.unwrap::<DischargerKey>(&wrapped, &context).unwrap_err();
    assert_eq!(error, OpenError::NotAuthentic);
}

#[test]
fn a_wrap_relabelled_as_made_by_another_loaded_version_is_refused() {
    let mut rng = SeededRng::new("relabelled");
    let (mut keyring, wrapped) = wrapped_signing_key();
    keyring.add(KeyringKey::generate(&mut rng, 2)).unwrap();
    let mut relabelled = wrapped;
    relabelled[4] = 2;
    let error = keyring.unwrap::<SigningKey>(&relabelled, &WrapContext::new(STORE, ID).owned_by(ORG));
    assert_eq!(error.unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn a_wrapped_dek_or_ciphertext_with_any_bit_changed_is_refused() {
    for record in [VALUE, BUNDLE] {
        let (kek, sealed) = sealed(&record);
        for_each_flip(&sealed.wrapped_dek, |position, changed| {
            let sealed = Sealed { wrapped_dek: changed.to_vec(), ..sealed.clone() };
            let error = kek.open(sealed.borrowed(), &record).unwrap_err();
            assert_eq!(
                kind(error),
                if position < 5 { Kind::Header } else { Kind::NotAuthentic },
                "{position}"
            );
        });
        for_each_flip(&sealed.ciphertext, |position, changed| {
            let sealed = Sealed { ciphertext: changed.to_vec(), ..sealed.clone() };
            let error = kek.open(sealed.borrowed(), &record).unwrap_err();
            assert_eq!(
                kind(error),
                if position < 1 { Kind::Header } else { Kind::NotAuthentic },
                "{position}"
            );
        });
    }
}

#[test]
fn a_wrapped_dek_or_ciphertext_cut_or_lengthened_is_refused() {
    let (kek, sealed) = sealed(&VALUE);
    for length in 0..sealed.wrapped_dek.len() {
        let cut = Sealed { wrapped_dek: sealed.wrapped_dek[..length].to_vec(), ..sealed.clone() };
        let error = kek.open(cut.borrowed(), &VALUE).unwrap_err();
        assert_eq!(error, OpenError::TooShort { length, minimum: 93 });
        assert_eq!(AppKek::version_of_dek(&cut.wrapped_dek), Err(error));
        assert_eq!(AppKek::id_of_dek(&cut.wrapped_dek), Err(error));
    }
    for length in 0..sealed.ciphertext.len() {
        let cut = Sealed { ciphertext: sealed.ciphertext[..length].to_vec(), ..sealed.clone() };
        let expected = match length {
            0..29 => OpenError::TooShort { length, minimum: 29 },
            _ => OpenError::NotAuthentic,
        };
        assert_eq!(kek.open(cut.borrowed(), &VALUE).unwrap_err(), expected);
    }
    let mut longer = sealed.clone();
    longer.wrapped_dek.push(0);
    let error = kek.open(longer.borrowed(), &VALUE).unwrap_err();
    assert_eq!(error, OpenError::TooLong { length: 94, maximum: 93 });
    let mut longer = sealed;
    longer.ciphertext.push(0);
    assert_eq!(kek.open(longer.borrowed(), &VALUE).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn a_sealed_record_opens_only_in_its_own_context() {
    let (kek, sealed_value) = sealed(&VALUE);
    for other in [
        RecordContext::Value { epoch: 2, org: ORG, app: APP, name: "NAME", version: 7 },
        RecordContext::Value { epoch: 1, org: OTHER, app: APP, name: "NAME", version: 7 },
        RecordContext::Value { epoch: 1, org: ORG, app: OTHER, name: "NAME", version: 7 },
        RecordContext::Value { epoch: 1, org: ORG, app: APP, name: "NAMF", version: 7 },
        RecordContext::Value { epoch: 1, org: ORG, app: APP, name: "", version: 7 },
        RecordContext::Value { epoch: 1, org: ORG, app: APP, name: "NAME", version: 8 },
        BUNDLE,
    ] {
        let error = kek.open(sealed_value.borrowed(), &other).unwrap_err();
        assert_eq!(error, OpenError::NotAuthentic, "{other:?}");
    }
    let (kek, sealed_bundle) = sealed(&BUNDLE);
    for other in [
        RecordContext::Bundle { epoch: 2, org: ORG, app: APP, version: 7 },
        RecordContext::Bundle { epoch: 1, org: OTHER, app: APP, version: 7 },
        RecordContext::Bundle { epoch: 1, org: ORG, app: OTHER, version: 7 },
        RecordContext::Bundle { epoch: 1, org: ORG, app: APP, version: 6 },
        VALUE,
    ] {
        let error = kek.open(sealed_bundle.borrowed(), &other).unwrap_err();
        assert_eq!(error, OpenError::NotAuthentic, "{other:?}");
    }
}

#[test]
fn two_records_of_one_app_with_their_deks_swapped_are_refused() {
    let mut rng = SeededRng::new("swapped");
    let kek = AppKek::generate(&mut rng, APP, 1);
    let one = kek.seal(&mut rng, b"one", &VALUE).unwrap();
    let other = kek.seal(&mut rng, b"other", &VALUE).unwrap();
    let swapped = Sealed { wrapped_dek: other.wrapped_dek, ciphertext: one.ciphertext };
    assert_eq!(kek.open(swapped.borrowed(), &VALUE).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn a_kek_of_another_app_with_the_same_bytes_opens_nothing() {
    let bytes = [9; 32];
    let kek = AppKek::generate(&mut crate::seeded::FixedBytes(&bytes), APP, 1);
    let impostor = AppKek::generate(&mut crate::seeded::FixedBytes(&bytes), OTHER, 1);
    let mut rng = SeededRng::new("impostor");
    let sealed = kek.seal(&mut rng, b"value", &VALUE).unwrap();
    let as_other = RecordContext::Value { epoch: 1, org: ORG, app: OTHER, name: "NAME", version: 7 };
    assert_eq!(impostor.open(sealed.borrowed(), &as_other).unwrap_err(), OpenError::NotAuthentic);
    let digest_key = DigestKey::generate(&mut rng);
    let wrapped = kek.wrap(&mut rng, &digest_key, STORE, ID).unwrap();
    let error = impostor.unwrap::<DigestKey>(&wrapped, STORE, ID).unwrap_err();
    assert_eq!(error, OpenError::NotAuthentic);
}

#[test]
fn a_poll_entry_opens_only_whole_and_under_its_own_id() {
    let mut rng = SeededRng::new("poll entry");
    let key = PollKey::generate(&mut rng);
    let sealed = key.seal(&mut rng, b"answer", &STORE, &ID).unwrap();
    assert_eq!(key.open(&sealed, &STORE, &ID).unwrap().as_slice(), b"answer");
    assert_eq!(key.open(&sealed, &STORE, &OTHER).unwrap_err(), OpenError::NotAuthentic);
    assert_eq!(key.open(&sealed, &OTHER, &ID).unwrap_err(), OpenError::NotAuthentic);
    for length in 0..sealed.len() {
        let expected = match length {
            0..41 => OpenError::TooShort { length, minimum: 41 },
            _ => OpenError::NotAuthentic,
        };
        assert_eq!(key.open(&sealed[..length], &STORE, &ID).unwrap_err(), expected);
    }
    for_each_flip(&sealed, |position, changed| {
        let error = key.open(changed, &STORE, &ID).unwrap_err();
        assert_eq!(kind(error), if position < 1 { Kind::Header } else { Kind::NotAuthentic }, "{position}");
    });
    let error = key.open(&vec![1; 41 + 64 * 1024 + 1], &STORE, &ID).unwrap_err();
    assert_eq!(error, OpenError::TooLong { length: 65_578, maximum: 65_577 });
}

#[test]
fn a_cached_bundle_opens_only_for_its_machine_app_and_host() {
    let mut rng = SeededRng::new("host cache");
    let key = HostCacheKey::generate(&mut rng);
    let context = HostCacheContext { host: "h1", org: ORG, app: APP, machine: "m1" };
    let sealed = key.seal(&mut rng, b"bundle", &context).unwrap();
    assert_eq!(key.open(&sealed, &context).unwrap().as_slice(), b"bundle");
    for other in [
        HostCacheContext { host: "h2", ..context },
        HostCacheContext { org: OTHER, ..context },
        HostCacheContext { app: OTHER, ..context },
        HostCacheContext { machine: "m2", ..context },
    ] {
        assert_eq!(key.open(&sealed, &other).unwrap_err(), OpenError::NotAuthentic, "{other:?}");
    }
    let other_key = HostCacheKey::generate(&mut rng);
    assert_eq!(other_key.open(&sealed, &context).unwrap_err(), OpenError::NotAuthentic);
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// Refused by the header alone.
    Header,
    NotAuthentic,
}

fn kind(error: OpenError) -> Kind {
    match error {
        OpenError::UnknownFormat { .. } | OpenError::UnknownKeyVersion { .. } => Kind::Header,
        OpenError::NotAuthentic => Kind::NotAuthentic,
        other => panic!("{other:?}"),
    }
}

fn for_each_flip(bytes: &[u8], check: impl Fn(usize, &[u8])) {
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.to_vec();
            changed[position] ^= 1 << bit;
            check(position, &changed);
        }
    }
}

fn wrapped_signing_key() -> (Keyring, Vec<u8>) {
    let mut rng = SeededRng::new("wrapped signing key");
    let keyring = Keyring::new([KeyringKey::generate(&mut rng, 1)], 1).unwrap();
    let key = SigningKey::generate(&mut rng);
    let wrapped = keyring.wrap(&mut rng, &key, &WrapContext::new(STORE, ID).owned_by(ORG)).unwrap();
    (keyring, wrapped)
}

fn sealed(record: &RecordContext<'_>) -> (AppKek, Sealed) {
    let mut rng = SeededRng::new("sealed record");
    let kek = AppKek::generate(&mut rng, APP, 1);
    let sealed = kek.seal(&mut rng, b"a value of some length", record).unwrap();
    (kek, sealed)
}
