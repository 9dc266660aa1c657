//! `petsem config`.

use std::path::{Path, PathBuf};

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

/// Check whether a configuration file is valid
///
/// It checks keys and values, and whether key files can be used. It starts nothing and changes nothing.
#[derive(Args)]
pub(crate) struct Check {
    /// The configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print a configuration file that documents every key
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
            // Passphrases and shares are given later, and a device is called at start.
            let SealSettings::KeyFile { path } = seal else { continue };
            match KeyFile::open(path) {
                Ok(_) => {}
                Err(KeyFileError::Missing { .. }) => {
                    output::notice(&messages::key_file_missing(path));
                    // Not an error: the reference is valid everywhere. `petsem operator init` refuses it.
                    if !directory_of(path).is_dir() {
                        output::notice(&messages::no_key_directory(path, directory_of(path)));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Not an error: a service manager creates such a directory when it starts the server.
        for socket in settings.listeners.iter().filter_map(|listener| listener.address.socket()) {
            if !directory_of(socket).is_dir() {
                output::notice(&messages::no_socket_directory(socket, directory_of(socket)));
            }
        }
        let (data, audit) = (&settings.data_directory, &settings.audit.directory);
        for directory in [data, audit] {
            let is_inside = directory == audit && audit.starts_with(data);
            if !is_inside && !directory_of(directory).is_dir() {
                output::notice(&messages::no_parent_directory(directory, directory_of(directory)));
            }
        }
        output::line(&messages::configuration_valid(&self.file))
    }
}

/// Whether a new file can be created there: `petsem operator init` must not find out when half is done.
pub(crate) fn check_directory(file: &Path) -> Result<(), Failure> {
    let directory = directory_of(file);
    if directory.is_dir() { Ok(()) } else { Err(messages::no_directory(file, directory)) }
}

fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
