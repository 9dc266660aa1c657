//! The server's log on standard error: one JSON object per line, or text on a terminal.

use std::io::IsTerminal;
use std::path::Path;

use petsem_server::Settings;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::messages;

/// The log filter, such as `info` or `petsem_server=debug`; `info` if it is not set.
const FILTER: &str = "PETSEM_LOG";

/// Starts the log. Values, keys and tokens never reach it, at any level.
pub(crate) fn start() -> Result<(), Failure> {
    let filter = match std::env::var(FILTER) {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(text).map_err(|_| messages::invalid_log_filter(FILTER))?
        }
        _ => EnvFilter::new("info"),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that cannot be written, as when a terminal was closed, must not end the server.
    let log = log.log_internal_errors(false);
    if std::io::stderr().is_terminal() {
        log.init()
    } else {
        log.json().flatten_event(true).init()
    }
    Ok(())
}

/// The first line: what runs, and with which settings.
pub(crate) fn starting(configuration: &Path, settings: &Settings) {
    let listeners: Vec<String> =
        settings.listeners.iter().map(|listener| listener.address.to_string()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        configuration = %std::path::absolute(configuration).unwrap_or_default().display(),
        listeners = listeners.join(" "),
        "starting"
    );
}
