//! The TPM 2.0 seal against swtpm, with tpm2-tools for operations of an operator.

mod bus;

use std::collections::BTreeSet;
use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use getrandom::SysRng;
use petsem_counterparts::Swtpm;
use petsem_keys::{KeyringKey, RootKey, SealExt as _, SealKey};
use rand_core::{CryptoRng, UnwrapErr};
use tss_esapi::structures::{Private, Public};
use tss_esapi::traits::UnMarshall as _;

use super::*;
use bus::{Bus, Device};

const OWN_PROCESS: &str = "PETSEM_TEST_TPM_OWN_PROCESS";
const CONTEXT: SealContext = SealContext::root_key([1; 16], [2; 16], 3);

#[test]
fn a_root_key_is_opened_by_the_tpm_that_wrapped_it_even_after_a_restart() {
    in_own_process("a_root_key_is_opened_by_the_tpm_that_wrapped_it_even_after_a_restart", || {
        let mut chip = Swtpm::start();
        let seal = open(&chip, None);
        let root = RootKey::generate(&mut rng(), 3);
        let keyring_key = KeyringKey::generate(&mut rng(), 1);
        let keyring_wrap = root.wrap_keyring_key(&mut rng(), &keyring_key, [1; 16]).unwrap();
        let wrapped = seal.wrap(&mut rng(), &root, &CONTEXT).unwrap();
        chip.start_again();
        let again = open(&chip, None).unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap();
        assert_eq!(again.unwrap_keyring_key(&keyring_wrap, [1; 16], 1).unwrap().version(), 1);
        assert_eq!((seal.kind(), seal.describe()), (TPM2_KIND, format!("TPM swtpm:{}", chip.port())));
    });
}

/// So it opens whatever the machine has booted.
#[test]
fn a_seal_opens_after_every_pcr_was_extended() {
    in_own_process("a_seal_opens_after_every_pcr_was_extended", || {
        let chip = Swtpm::start();
        let seal = open(&chip, None);
        let wrapped = wrap(&seal);
        // The others belong to a late launch, which software may not extend.
        for pcr in (0..=16).chain([23]) {
            chip.tool("tpm2_pcrextend", &[&format!("{pcr}:sha256={}", "5a".repeat(32))]);
        }
        assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
    });
}

#[test]
fn a_message_sealed_by_the_tpm_opens_only_in_its_context() {
    in_own_process("a_message_sealed_by_the_tpm_opens_only_in_its_context", || {
        let chip = Swtpm::start();
        let seal = open(&chip, None);
        let wrapped = wrap(&seal);
        for context in [
            SealContext::root_key([9; 16], [2; 16], 3),
            SealContext::root_key([1; 16], [9; 16], 3),
            SealContext::root_key([1; 16], [2; 16], 4),
        ] {
            let sealed = SealedMessage::parse(&wrapped[3..3 + sealed_length(&wrapped)]).unwrap();
            let opened =
                chip::with_chip(&chip.device(), |chip| chip.unseal(&sealed, &context.seal_key_aad(), None));
            assert!(matches!(opened, Err(Tpm2Error::NotItsOwn)), "{opened:?}");
            assert_eq!(
                refusal(&seal, &wrapped, &context),
                format!(
                    "TPM {} does not open the root key of this store; give the seal that this store was made with, or \
                 restore the store that belongs to it",
                    chip.device()
                )
            );
        }
    });
}

#[test]
fn a_wrap_with_a_byte_changed_or_missing_is_refused() {
    in_own_process("a_wrap_with_a_byte_changed_or_missing_is_refused", || {
        let chip = Swtpm::start();
        let seal = open(&chip, None);
        let wrapped = wrap(&seal);
        let mut texts = BTreeSet::new();
        for position in (0..wrapped.len()).filter(|place| place % 5 == 0 || (37..80).contains(place)) {
            let mut changed = wrapped.clone();
            changed[position] ^= 4;
            texts.insert(refusal(&seal, &changed, &CONTEXT));
            texts.insert(refusal(&seal, &wrapped[..position], &CONTEXT));
        }
        let expected = [
            // The name of the storage key.
            other_chip(&chip),
            // The attribute that marks the use of a PIN.
            "the TPM's key was sealed with a PIN, and none is set; give the file that holds it".to_owned(),
            format!(
                "TPM {} does not open the root key of this store; give the seal that this store was made with, or restore \
             the store that belongs to it",
                chip.device()
            ),
        ];
        assert_eq!(texts, BTreeSet::from(expected));
        assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
    });
}

#[test]
fn another_tpm_and_a_cleared_tpm_are_refused() {
    in_own_process("another_tpm_and_a_cleared_tpm_are_refused", || {
        let (first, second) = (Swtpm::start(), Swtpm::start());
        let wrapped = wrap(&open(&first, None));
        assert_eq!(refusal(&open(&second, None), &wrapped, &CONTEXT), other_chip(&second));
        first.tool("tpm2_clear", &[]);
        assert_eq!(refusal(&open(&first, None), &wrapped, &CONTEXT), other_chip(&first));
    });
}

#[test]
fn neither_key_nor_pin_crosses_the_bus_in_plaintext() {
    in_own_process("neither_key_nor_pin_crosses_the_bus_in_plaintext", || {
        let chip = Swtpm::start();
        let bus = Bus::record(&chip);
        let key = SealKey::generate(&mut rng());
        let pin = b"canary-pin-4711";
        let sealed = chip::with_chip(&bus.device(), |chip| chip.seal(&key, b"context", Some(pin))).unwrap();
        let again =
            chip::with_chip(&bus.device(), |chip| chip.unseal(&sealed, b"context", Some(pin))).unwrap();
        assert_eq!(again.expose_seal_key(), key.expose_seal_key());
        // The public part was recorded, so a secret would be too.
        assert!(bus.recorded(&sealed.public));
        // TPM2_StartAuthSession names a loaded key, to which the salt is encrypted, and not TPM_RH_NULL.
        assert!(bus.recorded(&[0, 0, 1, 0x76, 0x80, 0, 0, 0]));
        assert!(!bus.recorded(&[0, 0, 1, 0x76, 0x40, 0, 0, 7]));
        assert!(!bus.recorded(key.expose_seal_key()));
        assert!(!bus.recorded(&key.expose_seal_key()[..8]));
        assert!(!bus.recorded(&pin[..8]));
        assert!(!bus.recorded(&sealed.private));
    });
}

#[test]
fn wrong_pins_are_counted_the_last_attempt_is_not_used_and_a_reset_unlocks() {
    in_own_process("wrong_pins_are_counted_the_last_attempt_is_not_used_and_a_reset_unlocks", || {
        let chip = Swtpm::start();
        chip.tool("tpm2_dictionarylockout", &["--setup-parameters", "--max-tries=3"]);
        let directory = tempfile::tempdir().unwrap();
        let pin_file = directory.path().join("pin");
        write_pin(&pin_file, "canary-right");
        let seal = open(&chip, Some(&pin_file));
        let wrapped = wrap(&seal);
        assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);

        write_pin(&pin_file, "canary-wrong");
        assert_eq!(
            refusal(&seal, &wrapped, &CONTEXT),
            "the TPM refused the PIN (wrong ones left before it locks itself: 2); correct the PIN file before you try \
         again"
        );
        assert_eq!(
            refusal(&seal, &wrapped, &CONTEXT),
            "the TPM refused the PIN (wrong ones left before it locks itself: 1); correct the PIN file before you try \
         again"
        );
        let last_try = "the TPM locks itself after one more wrong PIN, so petsem did not try; check the PIN file, then \
                    wait until the TPM forgets a failure, or reset its count (`tpm2_dictionarylockout --clear-lockout`)";
        assert_eq!(refusal(&seal, &wrapped, &CONTEXT), last_try);
        write_pin(&pin_file, "canary-right");
        assert_eq!(refusal(&seal, &wrapped, &CONTEXT), last_try);

        // Another process uses the last try.
        let locked = "the TPM is locked after too many wrong PINs; wait until it opens again, or reset it with its \
                  lockout password (`tpm2_dictionarylockout --clear-lockout`)";
        assert_eq!(try_uncounted(&chip, &wrapped, b"wrong").unwrap_err().to_string(), locked_or_wrong(0));
        assert_eq!(try_uncounted(&chip, &wrapped, b"canary-right").unwrap_err().to_string(), locked);
        assert_eq!(refusal(&seal, &wrapped, &CONTEXT), locked);

        chip.tool("tpm2_dictionarylockout", &["--clear-lockout"]);
        assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
    });
}

#[test]
fn a_missing_or_unexpected_pin_is_reported_and_uses_no_attempt() {
    in_own_process("a_missing_or_unexpected_pin_is_reported_and_uses_no_attempt", || {
        let chip = Swtpm::start();
        let directory = tempfile::tempdir().unwrap();
        let pin_file = directory.path().join("pin");
        write_pin(&pin_file, "1234");
        let (with, without) = (open(&chip, Some(&pin_file)), open(&chip, None));
        let (sealed_with, sealed_without) = (wrap(&with), wrap(&without));
        for _ in 0..5 {
            assert_eq!(
                refusal(&without, &sealed_with, &CONTEXT),
                "the TPM's key was sealed with a PIN, and none is set; give the file that holds it"
            );
            assert_eq!(
                refusal(&with, &sealed_without, &CONTEXT),
                "the TPM's key was sealed without a PIN, and one is set; omit it, or add the seal again with \
                 it"
            );
        }
        assert_eq!(with.unwrap::<RootKey>(&sealed_with, &CONTEXT).unwrap().version(), 3);
    });
}

#[test]
fn a_locked_tpm_still_opens_keys_without_a_pin() {
    in_own_process("a_locked_tpm_still_opens_keys_without_a_pin", || {
        let chip = Swtpm::start();
        let seal = open(&chip, None);
        let wrapped = wrap(&seal);
        let directory = tempfile::tempdir().unwrap();
        let pin_file = directory.path().join("pin");
        write_pin(&pin_file, "1234");
        let with_pin = wrap(&open(&chip, Some(&pin_file)));
        chip.tool("tpm2_dictionarylockout", &["--setup-parameters", "--max-tries=1"]);
        try_uncounted(&chip, &with_pin, b"wrong").unwrap_err();
        assert!(matches!(try_uncounted(&chip, &with_pin, b"1234"), Err(Tpm2Error::Locked)));
        assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
    });
}

#[test]
fn an_absent_tpm_is_reported_with_its_device() {
    in_own_process("an_absent_tpm_is_reported_with_its_device", || {
        let mut chip = Swtpm::start();
        let seal = open(&chip, None);
        let wrapped = wrap(&seal);
        chip.stop();
        assert_eq!(
            refusal(&seal, &wrapped, &CONTEXT),
            format!("no TPM 2.0 answers at {}; check the device, and that it is version 2.0", chip.device())
        );
        let at = |path: &str| {
            Tpm2::open(Tpm2Settings { device: path.parse().unwrap(), pin_file: None })
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            at("/dev/no-such-tpm"),
            "there is no TPM at /dev/no-such-tpm; switch it on in the firmware's setup, give the virtual machine one, or \
         give the path of its device file"
        );
        assert_eq!(
            at("/dev/null"),
            "no TPM 2.0 answers at /dev/null; check the device, and that it is version 2.0"
        );
        assert_eq!(at("/"), "the TPM at / cannot be opened; check the kernel's log");
    });
}

#[test]
fn a_tpm_in_an_unusable_state_is_reported_with_a_hint() {
    in_own_process("a_tpm_in_an_unusable_state_is_reported_with_a_hint", || {
        let refused = |chip: &Swtpm| {
            let settings = Tpm2Settings { device: chip.device(), pin_file: None };
            Tpm2::open(settings).unwrap_err().to_string()
        };
        let not_started = Swtpm::start_without_startup();
        assert_eq!(
            refused(&not_started),
            format!(
                "the TPM at {} was not started by the firmware; restart the machine",
                not_started.device()
            )
        );
        let chip = Swtpm::start();
        chip.tool("tpm2_changeauth", &["-c", "owner", "a-password"]);
        assert_eq!(
            refused(&chip),
            "the TPM's owner hierarchy has a password, which petsem does not use; remove it \
             (`tpm2_changeauth -c owner`), or use another seal"
        );
        chip.tool("tpm2_changeauth", &["-c", "owner", "-p", "a-password"]);
        // swtpm has room for three objects, and no resource manager that swaps them.
        for name in ["1", "2", "3"] {
            chip.tool("tpm2_createprimary", &["-C", "n", "-G", "ecc", "-c", name]);
        }
        assert_eq!(
            refused(&chip),
            format!(
                "the TPM at {} is in use by another process; use /dev/tpmrm0, which the kernel shares, or try again when \
             the other is done",
                chip.device()
            )
        );
        chip.tool("tpm2_flushcontext", &["-t"]);
        open(&chip, None);
        chip.tool("tpm2_hierarchycontrol", &["-C", "o", "shEnable", "clear"]);
        assert_eq!(
            refused(&chip),
            "the TPM's owner hierarchy is switched off; switch it on in the firmware's setup, or use another seal"
        );
    });
}

#[test]
fn an_inaccessible_or_busy_device_file_is_reported_with_a_hint() {
    // Error codes by number: no kernel here has a device that could produce them.
    let device = Tpm2Device::File("/dev/tpm0".into());
    assert_eq!(
        Tpm2Error::NoAccess { device: device.clone() }.to_string(),
        "petsem may not use the TPM at /dev/tpm0; add its user to the group of that file, usually tss"
    );
    assert_eq!(
        Tpm2Error::Busy { device }.to_string(),
        "the TPM at /dev/tpm0 is in use by another process; use /dev/tpmrm0, which the kernel shares, or try again \
         when the other is done"
    );
}

#[test]
fn a_device_is_an_absolute_path_or_a_port_of_swtpm() {
    let read = |text: &str| text.parse::<Tpm2Device>().map_err(|error| error.to_string());
    assert_eq!(read("/dev/tpmrm0"), Ok(Tpm2Device::default()));
    assert_eq!(read("swtpm:2321"), Ok(Tpm2Device::Swtpm { port: 2321 }));
    for text in ["", "tpm0", "device:/dev/tpm0", "cmd:evil", "swtpm:", "swtpm:0", "swtpm:65535", "/dev/tpm\n"]
    {
        assert_eq!(
            read(text),
            Err(format!(
                "`{}` is not a TPM; give the path of its device file, usually /dev/tpmrm0",
                text.escape_default()
            ))
        );
    }
    for text in ["/dev/tpmrm0", "swtpm:2321"] {
        assert_eq!(read(text).unwrap().to_string(), text);
    }
}

#[test]
fn a_pin_file_holds_one_line_of_at_most_32_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let pin_file = directory.path().join("pin");
    let seal =
        Tpm2 { settings: Tpm2Settings { device: Tpm2Device::default(), pin_file: Some(pin_file.clone()) } };
    let long = "x".repeat(32);
    for pin in ["1", "1234", "пароль", &long] {
        write_pin(&pin_file, pin);
        assert_eq!(seal.read_pin().unwrap().unwrap().as_slice(), pin.as_bytes());
    }
    for pin in ["", "12\n34", "1234\n", "tab\t", "x\0", &"x".repeat(33), &"x".repeat(40)] {
        write_pin(&pin_file, pin);
        assert_eq!(
            seal.read_pin().unwrap_err().to_string(),
            format!(
                "{} has no PIN; write 1 to 32 bytes there in one line, with nothing else",
                pin_file.display()
            )
        );
    }
    std::fs::remove_file(&pin_file).unwrap();
    assert_eq!(
        seal.read_pin().unwrap_err().to_string(),
        format!("the PIN was not read: there is no file {}; write it, mode 0600", pin_file.display())
    );
}

/// Runs `body` of the test of this name in its own process: every process that another test starts meanwhile
/// inherits libtss2's sockets, and swtpm accepts the next connection only when the last is closed everywhere.
fn in_own_process(test: &str, body: impl FnOnce()) {
    if env::var_os(OWN_PROCESS).is_some() {
        return body();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([format!("tpm2::tests::{test}").as_str(), "--exact", "--nocapture"])
        .env(OWN_PROCESS, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}{log}");
}

/// Tries a PIN without checking the remaining tries.
fn try_uncounted(chip: &Swtpm, wrapped: &[u8], pin: &[u8]) -> Result<SealKey, Tpm2Error> {
    let sealed = SealedMessage::parse(&wrapped[3..3 + sealed_length(wrapped)]).unwrap();
    let (public, private) =
        (Public::unmarshall(&sealed.public).unwrap(), Private::try_from(sealed.private).unwrap());
    chip::with_chip(&chip.device(), |chip| {
        chip.danger_unseal_uncounted(public, private, &CONTEXT.seal_key_aad(), Some(pin))
    })
}

fn locked_or_wrong(tries: u32) -> String {
    Tpm2Error::PinWrong { tries_left: Some(tries) }.to_string()
}

fn sealed_length(wrapped: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([wrapped[1], wrapped[2]]))
}

fn other_chip(chip: &Swtpm) -> String {
    format!(
        "the TPM at {} is not the one that sealed this store, or it was cleared since; start petsem on the machine \
         where it was sealed, or open the store with another seal and add this TPM again",
        chip.device()
    )
}

fn open(chip: &Swtpm, pin_file: Option<&Path>) -> Tpm2 {
    Tpm2::open(Tpm2Settings { device: chip.device(), pin_file: pin_file.map(Path::to_owned) }).unwrap()
}

fn write_pin(path: &Path, pin: &str) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    writeln!(file, "{pin}").unwrap();
}

fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

fn wrap(seal: &Tpm2) -> Vec<u8> {
    seal.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap()
}

/// The text of the refusal; it never contains the PIN.
fn refusal(seal: &Tpm2, wrapped: &[u8], context: &SealContext) -> String {
    let error = seal.unwrap::<RootKey>(wrapped, context).unwrap_err();
    let all = format!("{error} {error:?} {seal:?}");
    assert_eq!(all.find("canary"), None, "{all}");
    error.to_string()
}
