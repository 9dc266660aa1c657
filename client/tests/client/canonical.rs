use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use petsem_api::AppId;
use petsem_client::{Bundle, CanonicalBundle, Identity, NotCanonical, keyed_digest, prove};
use proptest::prelude::*;
use serde_json::Value;

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

#[test]
fn bundles_and_proofs_are_those_of_the_published_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/canonical.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let identity = Identity::Machine {
            app: AppId::from_bytes(array(&case["app"])),
            app_name: "shop".parse().unwrap(),
            machine: case["machine"].as_str().unwrap().parse().unwrap(),
        };
        let secrets = case["secrets"].as_object().unwrap();
        let secrets = secrets.iter().map(|(name, value)| (name.parse().unwrap(), bytes(value)));
        let version = case["version"].as_str().unwrap().parse().unwrap();
        let bundle = Bundle::new(identity, version, secrets);
        let canonical = bundle.expose_canonical().unwrap();
        assert_eq!(HEXLOWER.encode(&canonical), case["canonical"].as_str().unwrap(), "{}", case["name"]);

        let challenge = array(&case["challenge"]);
        assert_eq!(prove(&challenge, &array(&case["nonce"]), &canonical), array(&case["proof"]));
        assert_eq!(keyed_digest(&challenge, &canonical), array(&case["keyed_digest"]));

        let read = CanonicalBundle::read(&canonical).unwrap();
        let written: Vec<_> = bundle.expose_secrets().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!((read.version, read.expose_secrets()), (version, written.as_slice()));
    }
}

#[test]
fn what_is_cut_or_longer_or_out_of_order_is_not_canonical() {
    let whole = crate::sample::awkward().expose_canonical().unwrap();
    for cut in 0..whole.len() {
        assert_eq!(CanonicalBundle::read(&whole[..cut]).err(), Some(NotCanonical), "{cut}");
    }
    let longer = [whole.as_slice(), b"\0"].concat();
    assert_eq!(CanonicalBundle::read(&longer).err(), Some(NotCanonical));
    let two = crate::sample::bundle(1, &[("A", b""), ("B", b"")]).expose_canonical().unwrap();
    let mut twice = two.to_vec();
    let second = twice.len() - 5;
    assert_eq!(twice[second], b'B');
    twice[second] = b'A';
    assert_eq!(CanonicalBundle::read(&twice).err(), Some(NotCanonical));
}

#[test]
fn a_count_that_lies_allocates_nothing() {
    let mut empty = crate::sample::bundle(1, &[]).expose_canonical().unwrap().to_vec();
    let count = empty.len() - 4;
    empty[count..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(CanonicalBundle::read(&empty).err(), Some(NotCanonical));
}

/// The encoding as it is documented, written a second time as a reference.
fn reference(app: [u8; 16], machine: &str, version: u64, secrets: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes =
        [&[1], app.as_slice(), &(machine.len() as u16).to_be_bytes(), machine.as_bytes()].concat();
    bytes.extend(version.to_be_bytes());
    bytes.extend((secrets.len() as u32).to_be_bytes());
    for (name, value) in secrets {
        bytes.extend((name.len() as u16).to_be_bytes());
        bytes.extend(name.bytes());
        bytes.extend((value.len() as u32).to_be_bytes());
        bytes.extend(*value);
    }
    bytes
}

fn secrets() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    prop::collection::btree_map("[A-Z]{1,3}", prop::collection::vec(any::<u8>(), 0..6), 0..4)
}

fn listed(secrets: &BTreeMap<String, Vec<u8>>) -> Vec<(&str, &[u8])> {
    secrets.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_bundle_has_the_reference_encoding_and_reads_back(version: u64, secrets in secrets()) {
        let secrets = listed(&secrets);
        let canonical = crate::sample::bundle(version, &secrets).expose_canonical().unwrap();
        prop_assert_eq!(canonical.as_slice(), reference([7; 16], "m-1", version, &secrets));
        let read = CanonicalBundle::read(&canonical).unwrap();
        prop_assert_eq!((read.app, read.machine, read.version), ([7; 16], "m-1", version));
        prop_assert_eq!(read.expose_secrets(), secrets.as_slice());
    }

    #[test]
    fn modified_bytes_are_refused_or_are_the_encoding_of_what_was_read(
        version: u64,
        secrets in secrets(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = reference([7; 16], "m-1", version, &listed(&secrets));
        for (index, byte) in &changes {
            *index.get_mut(&mut bytes) = *byte;
        }
        if let Ok(read) = CanonicalBundle::read(&bytes) {
            prop_assert!(read.expose_secrets().is_sorted_by(|(one, _), (next, _)| one < next));
            let written = reference(read.app, read.machine, read.version, read.expose_secrets());
            prop_assert_eq!(written, bytes);
        } else {
            prop_assert!(!changes.is_empty());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_are_the_encoding_of_what_was_read(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Ok(read) = CanonicalBundle::read(&bytes) {
            prop_assert_eq!(reference(read.app, read.machine, read.version, read.expose_secrets()), bytes);
        }
    }
}
