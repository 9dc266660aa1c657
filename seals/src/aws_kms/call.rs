//! Common to all calls of this seal: a thread with its own runtime, and the errors of calls without an
//! answer.

use std::io;
use std::thread;

use petsem_outbound::OutboundError;
use thiserror::Error;

/// Largest body that is read, in bytes: KMS and the metadata services answer a few KiB.
pub(super) const BODY_MAXIMUM: usize = 64 * 1024;

/// Runs `work` on its own thread, and waits for it: a runtime cannot be entered within another.
pub(super) fn block_on<T, E>(work: impl Future<Output = Result<T, E>> + Send) -> Result<T, E>
where
    T: Send,
    E: From<AwsCallError> + Send,
{
    let no_thread = |source| E::from(AwsCallError::Thread { source });
    thread::scope(|scope| {
        let running = thread::Builder::new().name("aws-kms".to_owned()).spawn_scoped(scope, || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
            let result = runtime.block_on(work);
            // Does not wait for a lookup that still runs.
            runtime.shutdown_background();
            result
        });
        match running.map_err(no_thread)?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Why a call has no answer. The text has the origin, never a path, a header or a body.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AwsCallError {
    /// The thread or the runtime of the call could not be created.
    #[error("no thread for the call; check the limits on the process's threads and files")]
    Thread {
        /// The cause.
        source: io::Error,
    },
    /// There was no usable answer.
    #[error("{0}; {hint}", hint = hint(.0))]
    Outbound(#[from] OutboundError),
}

/// What an operator of the seal can do.
fn hint(error: &OutboundError) -> &'static str {
    match error {
        OutboundError::NoSystemCas => "install them (Debian: ca-certificates)",
        OutboundError::Setup(_) => "report this as a defect of petsem",
        OutboundError::Unresolved { .. } => "check the region or endpoint, and DNS",
        OutboundError::Unreachable { .. } | OutboundError::TimedOut { .. } => {
            "check the network and what filters it"
        }
        OutboundError::Tls { .. } => "check the endpoint and the system's CAs",
        OutboundError::Unsendable { .. } => "check the settings and credentials",
        OutboundError::Broken { .. } => "check the endpoint, then try again",
        OutboundError::Redirect { .. } => "give the final endpoint",
        _ => "check the endpoint",
    }
}
