//! The first steps of the init: mounts, the command line, modules.

use std::fmt;
use std::fs::File;

use data_encoding::HEXLOWER;
use rustix::mount::{MountFlags, mount};
use rustix::system::finit_module;

/// The failed step, and why it failed.
#[derive(Debug)]
pub(crate) struct Failure {
    what: &'static str,
    source: Box<dyn std::error::Error>,
}

impl Failure {
    pub(crate) fn new(what: &'static str, source: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self { what, source: source.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.source)
    }
}

/// The test's parameters on the kernel's command line, which every process in the VM can read.
#[derive(Debug)]
pub(crate) struct BootParameters {
    /// `petsem.machine=`: the claimed Machine, or empty.
    pub(crate) machine: String,
    /// `petsem.app=`: the claimed app, or empty.
    pub(crate) app: String,
    /// `petsem.challenge=`: 32 bytes as hex.
    pub(crate) challenge: [u8; 32],
}

impl BootParameters {
    pub(crate) fn read() -> Result<Self, Failure> {
        let line = std::fs::read_to_string("/proc/cmdline");
        let line = line.map_err(|error| Failure::new("read /proc/cmdline", error))?;
        let of = |key: &str| {
            let mut words = line.split_ascii_whitespace();
            words.find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        let challenge = HEXLOWER.decode(of("petsem.challenge").as_bytes());
        let challenge = challenge.map_err(|error| Failure::new("read petsem.challenge", error))?;
        let challenge =
            challenge.try_into().map_err(|_| Failure::new("read petsem.challenge", "it is not 32 bytes"))?;
        Ok(Self { machine: of("petsem.machine"), app: of("petsem.app"), challenge })
    }
}

/// Mounts the file systems that the other steps need. Their directories are in the initramfs.
pub(crate) fn mount_all() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        mount(kind, place, kind, flags, None).map_err(|error| Failure::new("mount", error))?;
    }
    Ok(())
}

/// Loads the files in `/modules` in the order of their names (`00-virtio.ko` …).
pub(crate) fn load_modules() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new("load a module", error);
    let mut modules = Vec::new();
    for entry in std::fs::read_dir("/modules").map_err(failed)? {
        modules.push(entry.map_err(failed)?.path());
    }
    modules.sort();
    for module in modules {
        let file = File::open(&module).map_err(failed)?;
        finit_module(&file, c"", 0).map_err(|error| failed(error.into()))?;
    }
    Ok(())
}
