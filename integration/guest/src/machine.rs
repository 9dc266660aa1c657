//! What an init does before anything else: mounts, the command line, modules.

use std::fmt;
use std::fs::File;

use data_encoding::HEXLOWER;
use rustix::mount::{MountFlags, mount};
use rustix::system::finit_module;

/// What could not be done, and why.
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

/// What the test put on the kernel's command line. All of it is visible to everyone in the VM.
#[derive(Debug)]
pub(crate) struct BootParameters {
    /// `petsem.machine=`: the claimed Machine, or nothing.
    pub(crate) machine: String,
    /// `petsem.app=`: the claimed app, or nothing.
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

/// Mounts the file systems that the rest needs. Their directories are in the initramfs.
pub(crate) fn mount_all() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        mount(kind, place, kind, flags, None).map_err(|error| Failure::new("mount", error))?;
    }
    Ok(())
}

/// Loads what lies under `/modules`, in order of the names (`00-virtio.ko` …).
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
