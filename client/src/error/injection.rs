//! Injection: a target that does not accept a bundle, and a delivery that failed. No text holds a value.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use petsem_api::SecretName;
use thiserror::Error;

/// Why a bundle does not fit a target. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The whole environment (and the arguments) is over 2,000,000 bytes.
    #[error("the environment would have {bytes} bytes, and exec accepts 2,000,000; deliver to files instead")]
    TooMuch {
        /// How many bytes it would be.
        bytes: usize,
    },
    /// A variable of the base environment cannot be passed on.
    #[error("the variable {} of the environment cannot be passed on; leave it out", .0.to_string_lossy())]
    BaseVariable(OsString),
    /// A variable is mapped to a secret that the bundle does not have.
    #[error("there is no secret {0} for a variable; set it, or map the variable to another one")]
    NoSecret(SecretName),
    /// No program to start.
    #[error("no command given; give it after --")]
    NoProgram,
    /// The directory is on a disk.
    #[error(
        "{} is not in memory; give a directory on tmpfs such as /run, or allow disk and accept that deleted \
         secrets stay on it", .0.display()
    )]
    OnDisk(PathBuf),
    /// The directory, or its parent, cannot be examined.
    #[error("{} cannot be examined ({}); create its parent directory first", .0.display(), .1)]
    NoDirectory(PathBuf, io::ErrorKind),
    /// The bundle belongs to another app or Machine than the channel is bound to.
    #[error(
        "the secrets are for another app or Machine than this channel is bound to; make a channel for that Machine"
    )]
    AnotherMachine,
    /// The bundle is larger than a frame.
    #[error("the bundle is larger than a channel's frame (2 MiB); store less in it")]
    TooLarge,
}

/// Why a delivery failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The bundle does not fit.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// The program could not be started. This process continues, with its core limit at 0.
    #[error("{} cannot be started ({source}); check that it exists and may be executed", program.to_string_lossy())]
    Exec {
        /// The program.
        program: OsString,
        /// The system's error.
        source: io::Error,
    },
    /// A file or directory could not be written. The files of the earlier delivery stay in force.
    #[error("the secrets cannot be written to {} ({source}); check owner and space", path.display())]
    Files {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The channel's socket failed before a Machine connected.
    #[error("the channel {} failed ({source}); make a new one for a new boot", path.display())]
    Channel {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a channel cannot be made.
#[derive(Debug, Error)]
#[error(
    "the channel {} cannot be made ({source}); give a free path of at most 107 bytes in a directory of this user",
    path.display()
)]
pub struct BindError {
    /// The socket's path.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}
