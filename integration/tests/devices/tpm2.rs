//! The TPM of the machine: swtpm.

use std::ffi::OsString;
use std::path::PathBuf;

use petsem_counterparts::Swtpm;
use petsem_integration::seals::{assert_open, done, private, refused};

use crate::scene::{self, Device, Scene};

/// A random PIN.
const PIN: &str = "canary-pin-4711";

struct Chip {
    chip: Swtpm,
    pin_file: Option<PathBuf>,
}

impl Chip {
    fn new() -> Self {
        Self { chip: Swtpm::start(), pin_file: None }
    }
}

impl Device for Chip {
    const KIND: &'static str = "tpm2";

    fn seal(&self) -> String {
        let pin = self.pin_file.as_ref().map(|file| format!("pin_file = \"{}\"\n", file.display()));
        let device = format!("device = \"swtpm:{}\"\n", self.chip.port());
        format!("[[seal]]\nkind = \"tpm2\"\n{device}{}", pin.unwrap_or_default())
    }

    fn description(&self) -> String {
        format!("TPM swtpm:{}", self.chip.port())
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    fn secrets(&self) -> Vec<String> {
        vec![PIN.to_owned()]
    }

    fn take_away(&mut self) {
        self.chip.stop();
    }

    fn bring_back(&mut self) {
        self.chip.start_again();
    }

    fn away(&self) -> [String; 2] {
        [
            format!("no TPM 2.0 answers at swtpm:{}", self.chip.port()),
            "check the device, and that it is version 2.0".to_owned(),
        ]
    }
}

#[test]
fn a_tpm_opens_a_store_without_a_person() {
    scene::opens_a_store_without_a_person(Chip::new());
}

#[test]
fn a_tpm_is_added_beside_a_key_file_and_removed() {
    scene::is_added_beside_a_key_file_and_removed(Chip::new());
}

#[test]
fn a_store_stays_sealed_while_its_tpm_is_absent_and_opens_afterwards() {
    scene::store_stays_sealed_without_its_device(Chip::new());
}

#[test]
fn another_tpm_opens_nothing_and_the_error_says_that_it_did_not_seal_the_store() {
    let mut scene = Scene::made(Chip::new());
    scene.device.chip = Swtpm::start();
    scene.configure(&scene.device.seal());
    let server = scene.start();
    let why = scene.why_sealed(&server);
    let text = format!(
        "{} is not the one that sealed this store",
        scene.device.description().replace("TPM ", "the TPM at ")
    );
    assert!(why.contains(&text) && why.contains("start petsem on the machine where it was sealed"), "{why}");
    scene.stop(server);
    scene.nothing_secret();
}

#[test]
fn a_server_with_a_wrong_tpm_pin_stays_sealed_and_never_uses_the_last_attempt() {
    let mut scene = Scene::configured(Chip::new(), "");
    scene.device.chip.tool("tpm2_dictionarylockout", &["--setup-parameters", "--max-tries=3"]);
    let pin_file = private(&scene.installation, "pin", PIN);
    scene.device.pin_file = Some(pin_file);
    scene.configure(&scene.device.seal());
    done(&scene.init());
    private(&scene.installation, "pin", "canary-wrong-0815");
    let server = scene.start();
    let why = scene.why_sealed(&server);
    assert!(why.contains("the TPM refused the PIN (wrong ones left before it locks itself: 2)"), "{why}");
    refused(
        &scene.operator(&["unseal", "--configured"]),
        &[&scene.device.description(), "locks itself: 1)", "correct the PIN file before you try again"],
    );
    let last = ["petsem did not try", "check the PIN file", "tpm2_dictionarylockout --clear-lockout"];
    refused(&scene.operator(&["unseal", "--configured"]), &last);
    refused(&scene.operator(&["unseal", "--configured"]), &last);
    private(&scene.installation, "pin", PIN);
    scene.device.chip.tool("tpm2_dictionarylockout", &["--clear-lockout"]);
    done(&scene.operator(&["unseal", "--configured"]));
    assert_open(&scene.installation, &server);
    let printed = scene.stop(server);
    assert!(!printed.contains("canary-wrong-0815"), "{printed}");
    scene.nothing_secret();
}
