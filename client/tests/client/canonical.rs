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
fn bundles_and_proofs_match_the_published_vectors() {
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
fn cut_longer_or_unordered_bytes_are_not_canonical() {
    let whole = crate::sample::edge_case_bundle().expose_canonical().unwrap();
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
fn a_count_without_secrets_is_refused_before_anything_is_allocated() {
    let mut empty = crate::sample::bundle(1, &[]).expose_canonical().unwrap().to_vec();
    let count = empty.len() - 4;
    empty[count..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(CanonicalBundle::read(&empty).err(), Some(NotCanonical));
}

/// The encoding as it is documented, written a second time.
fn encoded(app: [u8; 16], machine: &str, version: u64, secrets: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = [&[1][..], &app].concat();
    out.extend(u16::try_from(machine.len()).unwrap().to_be_bytes());
    out.extend(machine.as_bytes());
    out.extend(version.to_be_bytes());
    out.extend(u32::try_from(secrets.len()).unwrap().to_be_bytes());
    for (name, value) in secrets {
        out.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        out.extend(name.as_bytes());
        out.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        out.extend(*value);
    }
    out
}

fn secrets() -> impl Strategy<Value = std::collections::BTreeMap<String, Vec<u8>>> {
    prop::collection::btree_map("[A-Z][A-Z0-9_]{0,10}", prop::collection::vec(any::<u8>(), 0..20), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_bundle_encodes_as_documented_and_reads_back(app: [u8; 16], version: u64, secrets in secrets()) {
        let identity = Identity::Machine {
            app: AppId::from_bytes(app),
            app_name: "shop".parse().unwrap(),
            machine: "m-1".parse().unwrap(),
        };
        let owned = secrets.iter().map(|(name, value)| (name.parse().unwrap(), value.clone()));
        let canonical = Bundle::new(identity, version, owned).expose_canonical().unwrap();
        let expected: Vec<_> = secrets.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        prop_assert_eq!(canonical.as_slice(), encoded(app, "m-1", version, &expected));
        let read = CanonicalBundle::read(&canonical).unwrap();
        prop_assert_eq!((read.app, read.machine, read.version), (app, "m-1", version));
        prop_assert_eq!(read.expose_secrets(), expected);
    }

    #[test]
    fn changed_bytes_are_refused_or_are_the_encoding_of_what_is_read(
        secrets in secrets(),
        position: prop::sample::Index,
        byte in prop_oneof![0_u8..4, any::<u8>()],
    ) {
        let secrets: Vec<_> = secrets.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let mut bytes = encoded([7; 16], "m-1", 3, &secrets);
        let at = position.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = CanonicalBundle::read(&bytes) {
            prop_assert_eq!(encoded(read.app, read.machine, read.version, read.expose_secrets()), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_are_the_encoding_of_what_is_read(
        bytes in prop::collection::vec(prop_oneof![0_u8..3, any::<u8>()], 0..200),
    ) {
        if let Ok(read) = CanonicalBundle::read(&bytes) {
            prop_assert_eq!(encoded(read.app, read.machine, read.version, read.expose_secrets()), bytes);
        }
    }
}
