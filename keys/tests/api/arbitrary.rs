//! Every parser survives arbitrary bytes: it refuses, and neither panics nor opens anything.

use petsem_keys::{
    AppKek, DigestKey, HostCacheContext, HostCacheKey, Keyring, KeyringKey, PollKey, RecordContext, RootKey,
    SealContext, SealKey, SealedRef, SecretKeyMaterial, SigningKey, WrapContext,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::seeded::FixedBytes;

const KEY: [u8; 32] = [3; 32];
const ID: [u8; 16] = [4; 16];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_key_opens_arbitrary_bytes(one in sealed_bytes(), other in sealed_bytes()) {
        let keyring = Keyring::new([KeyringKey::generate(&mut FixedBytes(&KEY), 1)], 1).unwrap();
        let kek = AppKek::generate(&mut FixedBytes(&KEY), ID, 1);
        let sealed = SealedRef { wrapped_dek: &one, ciphertext: &other };
        let record = RecordContext::Bundle { epoch: 1, org: ID, app: ID, version: 1 };
        let seal = SealContext::root_key(ID, ID, 1);
        let host = HostCacheContext { host: "h", org: ID, app: ID, machine: "m" };
        let opened = [
            keyring.unwrap::<SigningKey>(&one, &WrapContext::new(ID, ID)).is_ok(),
            keyring.unwrap::<AppKek>(&one, &WrapContext::app_kek(ID, ID, 1)).is_ok(),
            kek.open(sealed, &record).is_ok(),
            kek.unwrap::<DigestKey>(&one, ID, ID).is_ok(),
            kek.unwrap::<SecretKeyMaterial>(&one, ID, ID).is_ok(),
            kek.rewrap_dek(&mut FixedBytes(&[0; 64]), &kek, &one).is_ok(),
            RootKey::generate(&mut FixedBytes(&KEY), 1).unwrap_keyring_key(&one, ID, 1).is_ok(),
            SealKey::generate(&mut FixedBytes(&KEY)).unwrap::<RootKey>(&one, &seal).is_ok(),
            PollKey::generate(&mut FixedBytes(&KEY)).open(&one, &ID, &ID).is_ok(),
            HostCacheKey::generate(&mut FixedBytes(&KEY)).open(&one, &host).is_ok(),
        ];
        prop_assert_eq!(opened, [false; 10]);
    }

    #[test]
    fn versions_and_dek_ids_are_read_only_from_a_valid_header(bytes in sealed_bytes()) {
        let in_header = |minimum| {
            (bytes.len() >= minimum && bytes[0] == 1)
                .then(|| u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]))
        };
        prop_assert_eq!(Keyring::version_of(&bytes).ok(), in_header(45));
        let dek_version = AppKek::version_of_dek(&bytes).ok();
        prop_assert_eq!(dek_version, in_header(93).filter(|_| bytes.len() == 93));
        let dek = AppKek::id_of_dek(&bytes).ok();
        prop_assert_eq!(dek, dek_version.map(|_| bytes[5..21].try_into().unwrap()));
    }
}

/// Bytes that pass the header check more often than random ones.
fn sealed_bytes() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![
        Just(vec![]),
        Just(vec![1]),
        Just(vec![1, 0, 0, 0, 0]),
        Just(vec![1, 0, 0, 0, 1]),
        vec(any::<u8>(), 5)
    ];
    let rest = prop_oneof![vec(any::<u8>(), 0..200), vec(any::<u8>(), 88), vec(any::<u8>(), 72)];
    (header, rest).prop_map(|(header, rest)| [header, rest].concat())
}
