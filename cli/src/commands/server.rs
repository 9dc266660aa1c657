//! `petsem server`.

use std::path::PathBuf;

use clap::Args;
use petsem_server::{Settings, serve};

use crate::failure::Failure;
use crate::{log, remote};

/// Run the server
///
/// It runs until SIGTERM or SIGINT, finishes the requests under way, and exits 0. Its log goes to standard error;
/// PETSEM_LOG says how much of it (default: info).
#[derive(Args)]
pub(crate) struct Server {
    /// The configuration file; `petsem config reference` prints one that explains itself
    #[arg(long, value_name = "FILE", env = "PETSEM_CONFIG", hide_env_values = true)]
    config: PathBuf,
}

impl Server {
    pub(crate) fn run(self) -> Result<(), Failure> {
        log::start()?;
        let settings = Settings::read(&self.config)?;
        Ok(remote::serve(serve(settings, |_| ()))??)
    }
}
