//! The runtime of connections to listeners without a host.
//!
//! A thread that works for a stranger is free for a boot only when that work awaits: up to 20 ms with a token of 64 KiB.
//! A boot awaits several times. So listeners of hosts have the main runtime for themselves, and the threads of this one
//! have a lower priority: the kernel interrupts them for a boot.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Handle, Runtime};

/// How much nicer these threads are than those of boots: beside a busy one, a tenth of its core.
pub(crate) const NICENESS: i32 = 10;
/// The highest niceness (nice(2)).
const NICEST: i32 = 19;

/// The runtime, until it is dropped.
pub(crate) struct LowPriority(Option<Runtime>);

impl LowPriority {
    /// Starts it, if some listeners are of hosts and some are not.
    pub(crate) fn start(are_of_hosts: &[bool]) -> io::Result<Self> {
        if !is_mixed(are_of_hosts) {
            return Ok(Self(None));
        }
        // Not relative to the thread that starts another: that may be one of these.
        let niceness = niceness_above(NICENESS)?;
        Builder::new_multi_thread()
            .thread_name("low-priority")
            .on_thread_start(move || be_nice(niceness))
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

impl Drop for LowPriority {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Within a runtime, another may not be waited for.
            runtime.shutdown_background();
        }
    }
}

/// Whether some listeners are of hosts and some are not.
pub(crate) fn is_mixed(are_of_hosts: &[bool]) -> bool {
    are_of_hosts.contains(&true) && are_of_hosts.contains(&false)
}

/// A niceness so much above that of this thread.
pub(crate) fn niceness_above(more: i32) -> io::Result<i32> {
    Ok(getpriority_process(None)?.saturating_add(more).min(NICEST))
}

/// Gives this thread a niceness.
pub(crate) fn be_nice(niceness: i32) {
    if let Err(error) = setpriority_process(None, niceness) {
        tracing::warn!(%error, "a thread of listeners without a host has the priority of boots");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn niceness(runtime: &Handle) -> i32 {
        let (send, received) = std::sync::mpsc::channel();
        runtime.spawn_blocking(move || send.send(getpriority_process(None).unwrap()).unwrap());
        received.recv().unwrap()
    }

    #[tokio::test]
    async fn listeners_of_hosts_have_the_main_runtime_and_others_one_of_lower_priority() {
        let main = Handle::current();
        let low = LowPriority::start(&[false, true]).unwrap();
        assert_eq!(low.runtime_of(true).id(), main.id());
        assert_ne!(low.runtime_of(false).id(), main.id());
        let expected = (niceness(&main) + NICENESS).min(NICEST);
        assert_eq!(niceness(&low.runtime_of(false)), expected);
        // A thread that one of these starts is no nicer.
        let (send, received) = std::sync::mpsc::channel();
        low.runtime_of(false).spawn(async move { send.send(niceness(&Handle::current())).unwrap() });
        assert_eq!(received.recv().unwrap(), expected);
    }

    #[tokio::test]
    async fn listeners_that_are_all_of_hosts_or_all_not_share_the_main_runtime() {
        for is_of_host in [true, false] {
            let low = LowPriority::start(&[is_of_host; 2]).unwrap();
            assert_eq!(low.runtime_of(is_of_host).id(), Handle::current().id());
        }
    }
}
