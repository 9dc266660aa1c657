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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(CanonicalBundle::read(&bytes));
    }
}
