//! `petsem server`.

use std::path::PathBuf;

use clap::Args;
use petsem_server::{Settings, serve};

use crate::failure::Failure;
use crate::{log, remote, service_manager};

/// Run the server
///
/// It runs until SIGTERM, SIGINT or SIGQUIT, then finishes the requests in progress and exits with 0. SIGHUP reloads
/// nothing and is ignored. To systemd it reports when it listens (Type=notify). It logs to standard error; PETSEM_LOG is the log filter (default: info).
#[derive(Args)]
pub(crate) struct Server {
    /// The configuration file; `petsem config reference` prints a documented one
    #[arg(long, value_name = "FILE", env = "PETSEM_CONFIG", hide_env_values = true)]
    config: PathBuf,
}

impl Server {
    pub(crate) fn run(self) -> Result<(), Failure> {
        log::start()?;
        let settings = Settings::read(&self.config)?;
        log::starting(&self.config, &settings);
        Ok(remote::serve(serve(settings, |_| service_manager::ready()))??)
    }
}
