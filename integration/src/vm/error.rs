//! Why there is no VM. All are failures; no test is skipped.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a VM could not be prepared or booted.
#[derive(Debug)]
#[non_exhaustive]
pub enum VmError {
    /// QEMU is not installed.
    NoQemu,
    /// QEMU could not be run.
    Qemu(io::Error),
    /// QEMU refused its command line or crashed.
    QemuFailed(ExitStatus),
    /// A program that prepares the image could not be run.
    Program {
        /// Its name.
        program: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A program that prepares the image failed.
    ProgramFailed {
        /// Its name.
        program: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// Its standard error.
        said: String,
    },
    /// The kernel package has no kernel, or lacks this module.
    NotInPackage(String),
    /// A file of the image cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A path that cannot be on QEMU's command line.
    Path(PathBuf),
    /// `PETSEM_ACCEL` is neither `kvm` nor `tcg`.
    UnknownAccelerator(String),
    /// The test could not create its channel.
    Channel(io::Error),
}

impl fmt::Display for VmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQemu => f.write_str(
                "qemu-system-x86_64 is not installed: run apt-get update, then apt-get install \
                 --no-install-recommends qemu-system-x86 xz-utils",
            ),
            Self::Qemu(source) => {
                write!(f, "QEMU cannot be run ({source}): try qemu-system-x86_64 --version")
            }
            Self::QemuFailed(status) => {
                write!(f, "QEMU ended with {status}: read target/vm/qemu.log")
            }
            Self::Program { program, source } => {
                write!(f, "{program} cannot be run ({source}): the VM tests need a Debian system with it")
            }
            Self::ProgramFailed { program, status, said } => {
                write!(f, "{program} ended with {status}: {said}; if it found no package, run apt-get update")
            }
            Self::NotInPackage(what) => write!(
                f,
                "the kernel package holds no {what}: remove target/vm, and if that does not help, this kernel is \
                 unknown to the tests"
            ),
            Self::File { path, source } => {
                write!(f, "{} cannot be used ({source}): remove target/vm and run again", path.display())
            }
            Self::Path(path) => write!(f, "{} is no text: use a directory with a plain name", path.display()),
            Self::UnknownAccelerator(name) => {
                write!(f, "PETSEM_ACCEL is {name:?}: set it to kvm or tcg, or leave it out")
            }
            Self::Channel(source) => write!(f, "the test cannot make its channel ({source})"),
        }
    }
}

impl std::error::Error for VmError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Qemu(source)
            | Self::Program { source, .. }
            | Self::File { source, .. }
            | Self::Channel(source) => Some(source),
            _ => None,
        }
    }
}
