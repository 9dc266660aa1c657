//! SoftHSM2: a token in a directory.
//!
//! It reads its configuration's path from the environment when it is loaded: `SOFTHSM2_CONF`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The PKCS#11 module.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The label of the token.
pub const TOKEN: &str = "ops";
/// Its user's PIN.
pub const PIN: &str = "98765432";

/// A SoftHSM2 with one token.
#[derive(Debug)]
pub struct SoftHsm {
    directory: PathBuf,
}

impl SoftHsm {
    /// Creates the token in this directory, and a file with its PIN.
    ///
    /// # Panics
    /// If SoftHSM2 is not installed.
    pub fn initialise(directory: &Path) -> Self {
        assert!(Path::new(MODULE).exists(), "{MODULE} is missing; `apt-get install softhsm2`, or run ./test");
        let hsm = Self::at(directory);
        fs::create_dir(hsm.tokens()).expect("there is room for a directory");
        let configuration = format!("directories.tokendir = {}\nlog.level = ERROR\n", hsm.tokens().display());
        fs::write(hsm.configuration(), configuration).expect("a file can be written");
        hsm.run(&["--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "12345678"]);
        hsm.write_pin(PIN);
        hsm
    }

    /// The one created earlier in this directory.
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.into() }
    }

    /// Its configuration.
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("softhsm2.conf")
    }

    /// The file with the PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.directory.join("pin")
    }

    /// The directory of its tokens.
    pub fn tokens(&self) -> PathBuf {
        self.directory.join("tokens")
    }

    /// Writes the file with the PIN.
    ///
    /// # Panics
    /// If that fails.
    pub fn write_pin(&self, pin: &str) {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.pin_file());
        writeln!(file.expect("a file can be made"), "{pin}").expect("a file can be written");
    }

    /// Runs `softhsm2-util`.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, arguments: &[&str]) {
        let output = Command::new("softhsm2-util")
            .args(arguments)
            .env("SOFTHSM2_CONF", self.configuration())
            .output()
            .expect("softhsm2-util is missing; `apt-get install softhsm2`, or run ./test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
