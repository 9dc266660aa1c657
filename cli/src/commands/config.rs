//! `petsem config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use petsem_seals::{KeyFile, KeyFileError};
use petsem_server::{SealSettings, Settings};

use crate::failure::Failure;
use crate::{messages, output};

#[derive(Subcommand)]
pub(crate) enum Config {
    Check(Check),
    Reference(Reference),
}

/// Say whether a configuration file would be accepted
///
/// Keys and values are checked, and that key files can be used; nothing is started and nothing is changed.
#[derive(Args)]
pub(crate) struct Check {
    /// The configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print a configuration file that explains every key
#[derive(Args)]
pub(crate) struct Reference {}

impl Config {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(),
            Self::Reference(Reference {}) => output::write(Settings::reference().as_bytes()),
        }
    }
}

impl Check {
    fn run(self) -> Result<(), Failure> {
        let settings = Settings::read(&self.file)?;
        for seal in &settings.seals {
            // What people give is theirs, and a device is asked at start.
            let SealSettings::KeyFile { path } = seal else { continue };
            match KeyFile::open(path) {
                Ok(_) => {}
                Err(KeyFileError::Missing { .. }) => output::notice(&messages::key_file_to_be_made(path)),
                Err(error) => return Err(error.into()),
            }
        }
        output::line(&messages::configuration_good(&self.file))
    }
}
