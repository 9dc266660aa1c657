//! A key of AWS KMS: moto's server.

use std::ffi::OsString;
use std::time::Duration;

use petsem_counterparts::{Moto, REGION};
use petsem_integration::pause;
use petsem_integration::seals::{assert_open, done, get, refused};

use crate::scene::{self, Device, Scene};

/// An access key that moto accepts while it does not check.
const ACCESS: &str = "AKIATESTKMS";
const SECRET: &str = "canary-secret-access-key";

struct Kms {
    moto: Moto,
    key: String,
    credentials: (String, String),
}

impl Kms {
    fn new() -> Self {
        let moto = Moto::start(&[]);
        let key = moto.create_key();
        Self { moto, key, credentials: (ACCESS.to_owned(), SECRET.to_owned()) }
    }

    /// A server that checks signatures and policies: its user may encrypt and decrypt.
    fn checking() -> Self {
        let mut kms = Self::new();
        kms.credentials = kms.moto.create_user("petsem", &["kms:Encrypt", "kms:Decrypt"]);
        kms.moto.check_from_now_on();
        kms
    }
}

impl Device for Kms {
    const KIND: &'static str = "aws-kms";

    fn seal(&self) -> String {
        format!(
            "[[seal]]\nkind = \"aws-kms\"\nkey = \"{}\"\nregion = \"{REGION}\"\nendpoint = \"{}\"\n",
            self.key,
            self.moto.endpoint()
        )
    }

    fn description(&self) -> String {
        format!("AWS KMS key {} in {REGION}", self.key)
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let (access, secret) = &self.credentials;
        vec![("AWS_ACCESS_KEY_ID", access.into()), ("AWS_SECRET_ACCESS_KEY", secret.into())]
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.credentials.1.clone(), SECRET.to_owned()]
    }

    fn take_away(&mut self) {
        self.moto.stop();
    }

    fn bring_back(&mut self) {
        self.moto.start_again();
    }

    fn away(&self) -> [String; 2] {
        [
            format!("AWS KMS gave no answer: {} cannot be reached", self.moto.endpoint()),
            "check the network and what filters it".to_owned(),
        ]
    }
}

#[test]
fn a_kms_key_opens_a_store_without_a_person() {
    scene::opens_a_store_without_a_person(Kms::checking());
}

#[test]
fn a_kms_key_is_added_beside_a_key_file_and_removed() {
    scene::is_added_beside_a_key_file_and_removed(Kms::new());
}

#[test]
fn a_store_stays_sealed_while_its_kms_is_unreachable_and_opens_afterwards() {
    scene::store_stays_sealed_without_its_device(Kms::new());
}

#[test]
fn a_sealed_server_opens_without_a_person_when_its_kms_is_reachable_again() {
    let mut scene = Scene::made(Kms::new());
    scene.device.take_away();
    let server = scene.start();
    scene.why_sealed(&server);
    scene.device.bring_back();
    // A sealed server retries every thirty seconds.
    for _ in 0..600 {
        if get(&server, "/readyz").status == 200 {
            break;
        }
        pause(Duration::from_millis(100));
    }
    assert_open(&scene.installation, &server);
    let printed = scene.stop(server);
    assert!(printed.contains("\"unsealed\""), "{printed}");
    scene.nothing_secret();
}

#[test]
fn unauthorized_and_wrong_credentials_are_reported_and_open_nothing() {
    let mut kms = Kms::new();
    let half = kms.moto.create_user("half", &["kms:Encrypt"]);
    kms.credentials = kms.moto.create_user("petsem", &["kms:Encrypt", "kms:Decrypt"]);
    kms.moto.check_from_now_on();
    let mut scene = Scene::made(kms);
    let wrong = (scene.device.credentials.0.clone(), "canary-of-a-wrong-secret".to_owned());
    for credentials in [half, wrong] {
        scene.device.credentials = credentials;
        scene.equip();
        let server = scene.start();
        let why = scene.why_sealed(&server);
        // Moto answers in XML, which KMS never does.
        assert!(why.contains(&format!("{}: ", scene.device.description())), "{why}");
        assert!(why.contains("AWS KMS refused kms:Decrypt with HTTP 403; check whether"), "{why}");
        refused(&scene.operator(&["unseal", "--configured"]), &["AWS KMS refused kms:Decrypt"]);
        scene.stop(server);
        scene.nothing_secret();
    }
    // No credentials at all, on a machine without a role.
    scene.installation.environment = vec![("AWS_EC2_METADATA_DISABLED", "true".into())];
    let server = scene.start();
    let why = scene.why_sealed(&server);
    assert!(why.contains("AWS_ACCESS_KEY_ID"), "{why}");
    scene.stop(server);
}

#[test]
fn a_missing_kms_key_and_a_different_one_are_reported_by_name() {
    let mut scene = Scene::made(Kms::new());
    let absent = "11111111-2222-3333-4444-555555555555";
    let other = scene.device.moto.create_key();
    let right = std::mem::replace(&mut scene.device.key, absent.to_owned());
    scene.configure(&scene.device.seal());
    let server = scene.start();
    let why = scene.why_sealed(&server);
    assert!(why.contains(&format!("AWS KMS has no key {absent} in {REGION}; give the key")), "{why}");
    // The server reads the configuration at its start; commands read it each time.
    scene.stop(server);
    scene.device.key = other;
    scene.configure(&scene.device.seal());
    let server = scene.start();
    let why = scene.why_sealed(&server);
    assert!(why.contains(&scene.device.description()) && why.contains("give the right key"), "{why}");
    scene.stop(server);
    scene.device.key = right;
    scene.configure(&scene.device.seal());
    let server = scene.start();
    assert_open(&scene.installation, &server);
    done(&scene.operator(&["seal", "verify"]));
    scene.stop(server);
    scene.nothing_secret();
}
