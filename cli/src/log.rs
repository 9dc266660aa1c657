//! The server's log on standard error: one JSON object per line, or text on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::messages;

/// The log filter, such as `info` or `petsem_server=debug`; `info` if it is not set.
const FILTER: &str = "PETSEM_LOG";

/// Starts the log. Values, keys and tokens never reach it, at any level.
pub(crate) fn start() -> Result<(), Failure> {
    let filter = match std::env::var(FILTER) {
        Ok(text) => EnvFilter::try_new(text).map_err(|_| messages::invalid_log_filter(FILTER))?,
        Err(_) => EnvFilter::new("info"),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init()
    } else {
        log.json().flatten_event(true).init()
    }
    Ok(())
}
