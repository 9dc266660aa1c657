//! Why a target does not take a bundle. All text that people read about injection stands in this file; none
//! of it holds a value.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use petsem_api::SecretName;

/// Why a bundle does not fit a target. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// A value with a NUL byte, which no environment carries.
    HoldsNul(SecretName),
    /// `NAME=value` is over 131,071 bytes.
    TooLong(SecretName),
    /// All of the environment (and the arguments) is over 2,000,000 bytes.
    TooMuch {
        /// How many bytes it would be.
        bytes: usize,
    },
    /// A name that changes how programs start, or how petsem's own do.
    ReservedName(SecretName),
    /// A name that the environment has already.
    Clash(SecretName),
    /// A variable of the environment beneath cannot be passed on.
    BaseVariable(OsString),
    /// There is no program to start.
    NoProgram,
    /// The directory lies on a disk.
    OnDisk(PathBuf),
    /// The directory, or its parent, cannot be looked at.
    NoDirectory(PathBuf, io::ErrorKind),
    /// The bundle was given to another app or Machine than the channel is bound to.
    AnotherMachine,
    /// The bundle is larger than a frame.
    TooLarge,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HoldsNul(name) => write!(
                f,
                "{name} holds a NUL byte, which an environment cannot carry: deliver to files, or encode the value"
            ),
            Self::TooLong(name) => write!(
                f,
                "{name} with its value is over 131,071 bytes, which exec refuses: deliver to files instead"
            ),
            Self::TooMuch { bytes } => write!(
                f,
                "the environment would have {bytes} bytes, exec takes 2,000,000: deliver to files instead"
            ),
            Self::ReservedName(name) => write!(
                f,
                "{name} is a name that changes how programs start: rename the secret, or deliver to files"
            ),
            Self::Clash(name) => write!(
                f,
                "{name} is in the environment and among the secrets: rename one, or say which of them wins"
            ),
            Self::BaseVariable(name) => write!(
                f,
                "the variable {} of the environment cannot be passed on: leave it out",
                name.to_string_lossy()
            ),
            Self::NoProgram => f.write_str("there is no command to run: give it after --"),
            Self::OnDisk(path) => write!(
                f,
                "{} does not lie in memory: give a directory on tmpfs such as /run, or allow disk and know that \
                 deleted secrets stay on it",
                path.display()
            ),
            Self::NoDirectory(path, kind) => {
                write!(f, "{} cannot be looked at ({kind}): make its parent directory first", path.display())
            }
            Self::AnotherMachine => f.write_str(
                "the secrets were given to another app or Machine than this channel is bound to: make a channel \
                 for that one",
            ),
            Self::TooLarge => f.write_str("the bundle is larger than a channel's frame (2 MiB): store less in it"),
        }
    }
}

impl std::error::Error for Rejection {}

/// Why a delivery failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The bundle does not fit.
    Rejected(Rejection),
    /// The program could not be started. This process goes on, with its core limit at 0.
    Exec {
        /// The program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// A file or directory could not be written. What was there before is still in force.
    Files {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The channel's socket failed before a Machine was there.
    Channel {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Exec { program, source } => write!(
                f,
                "{} cannot be started ({source}): check that it exists and may be executed",
                program.to_string_lossy()
            ),
            Self::Files { path, source } => {
                write!(
                    f,
                    "the secrets cannot be written to {} ({source}): check owner and space",
                    path.display()
                )
            }
            Self::Channel { path, source } => {
                write!(f, "the channel {} failed ({source}): make a new one for a new boot", path.display())
            }
        }
    }
}

impl std::error::Error for DeliveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            Self::Exec { source, .. } | Self::Files { source, .. } | Self::Channel { source, .. } => {
                Some(source)
            }
        }
    }
}

impl From<Rejection> for DeliveryError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}
