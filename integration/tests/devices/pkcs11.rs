//! A key on a PKCS#11 token: SoftHSM2.

use std::ffi::OsString;

use petsem_counterparts::{MODULE, PIN, SoftHsm, TOKEN};
use petsem_integration::seals::{assert_open, done, refused};
use tempfile::TempDir;

use crate::scene::{self, Device, Scene};

struct Token {
    hsm: SoftHsm,
    _directory: TempDir,
}

impl Token {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { hsm: SoftHsm::initialise(directory.path()), _directory: directory }
    }
}

impl Device for Token {
    const KIND: &'static str = "pkcs11";

    fn seal(&self) -> String {
        format!(
            "[[seal]]\nkind = \"pkcs11\"\nmodule = \"{MODULE}\"\ntoken = \"{TOKEN}\"\nkey = \"petsem\"\npin_file = \"{}\"\n",
            self.hsm.pin_file().display()
        )
    }

    fn description(&self) -> String {
        format!("key petsem of token {TOKEN}")
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![("SOFTHSM2_CONF", self.hsm.configuration().into())]
    }

    fn secrets(&self) -> Vec<String> {
        vec![PIN.to_owned(), "12345678".to_owned()]
    }

    fn take_away(&mut self) {
        scene::move_away(&self.hsm.tokens());
        std::fs::create_dir(self.hsm.tokens()).unwrap();
    }

    fn bring_back(&mut self) {
        std::fs::remove_dir(self.hsm.tokens()).unwrap();
        scene::move_back(&self.hsm.tokens());
    }

    fn away(&self) -> [String; 2] {
        [
            format!("there is no token {TOKEN}, and no other token"),
            "connect it, or initialize one with that label".to_owned(),
        ]
    }
}

#[test]
fn a_token_opens_a_store_without_a_person() {
    scene::opens_a_store_without_a_person(Token::new());
}

#[test]
fn a_token_is_added_beside_a_key_file_and_removed() {
    scene::is_added_beside_a_key_file_and_removed(Token::new());
}

#[test]
fn a_store_stays_sealed_while_its_token_is_absent_and_opens_afterwards() {
    scene::store_stays_sealed_without_its_device(Token::new());
}

#[test]
fn a_server_with_a_wrong_pin_stays_sealed_until_the_pin_is_corrected_and_an_operator_unseals() {
    let scene = Scene::made(Token::new());
    let hsm = &scene.device.hsm;
    hsm.write_pin("canary4711");
    let refusal = [
        format!("token {TOKEN} refused the PIN in {}", hsm.pin_file().display()),
        "correct it before you try again".to_owned(),
    ];
    let texts: Vec<&str> = refusal.iter().map(String::as_str).collect();
    let server = scene.start();
    let why = scene.why_sealed(&server);
    assert!(texts.iter().all(|text| why.contains(text)), "{why}");
    refused(&scene.operator(&["unseal", "--configured"]), &texts);
    refused(&scene.operator(&["rotate-root"]), &["a server holds the store", "nothing was changed"]);
    hsm.write_pin(PIN);
    done(&scene.operator(&["unseal", "--configured"]));
    assert_open(&scene.installation, &server);
    let printed = scene.stop(server);
    assert!(!printed.contains("canary4711"), "{printed}");
    // The error for a file that is accessible to others names its mode.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(hsm.pin_file(), mode).unwrap();
    let server = scene.start();
    let why = scene.why_sealed(&server);
    assert!(why.contains("the PIN was not read") && why.contains("0644"), "{why}");
    scene.stop(server);
    scene.nothing_secret();
}

#[test]
fn a_missing_module_and_a_deleted_key_are_reported() {
    let scene = Scene::made(Token::new());
    let seal = scene.device.seal();
    scene.configure(&seal.replace(MODULE, "/no/such/module.so"));
    let server = scene.start();
    let why = scene.why_sealed(&server);
    assert!(why.contains("the PKCS#11 module /no/such/module.so cannot be used; give the path"), "{why}");
    scene.stop(server);
    scene.configure(&seal.replace("key = \"petsem\"", "key = \"deleted\""));
    let server = scene.start();
    let why = scene.why_sealed(&server);
    assert!(why.contains("there is no AES key deleted on token ops; name the one"), "{why}");
    scene.stop(server);
    scene.nothing_secret();
}
