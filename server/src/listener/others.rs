//! The threads of the connections that are not a host's.
//!
//! A thread that works for a stranger is not free for a boot until it awaits, and a boot awaits several times. Requests
//! with large tokens (64 KiB, 20 ms) made boots wait ten times as long. So listeners of hosts keep the main runtime for
//! themselves, and the others have this one. Its threads are nice, so that the kernel interrupts them for a boot.

use std::io;

use rustix::process::nice;
use tokio::runtime::{Builder, Handle, Runtime};

/// How much these threads give way to those of boots.
const NICENESS: i32 = 10;

/// The runtime of these connections, until it is dropped.
pub(crate) struct Others(Option<Runtime>);

impl Others {
    /// Starts it, if some listeners are of hosts and some are not.
    pub(crate) fn start(are_of_hosts: impl Iterator<Item = bool> + Clone) -> io::Result<Self> {
        let is_needed = are_of_hosts.clone().any(|is| is) && are_of_hosts.clone().any(|is| !is);
        if !is_needed {
            return Ok(Self(None));
        }
        Builder::new_multi_thread()
            .thread_name("others")
            .on_thread_start(|| {
                if let Err(error) = nice(NICENESS) {
                    tracing::warn!(%error, "a thread of requests does not give way to boots");
                }
            })
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    /// The runtime of a listener's connections.
    pub(crate) fn runtime_of(&self, is_of_host: bool) -> Handle {
        match &self.0 {
            Some(runtime) if !is_of_host => runtime.handle().clone(),
            _ => Handle::current(),
        }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A runtime that waits for its threads may not be dropped within another.
            runtime.shutdown_background();
        }
    }
}
