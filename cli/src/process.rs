//! What this process does to itself before it reads its first secret.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// The umask that the caller gave us, for the program that takes our place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InheritedUmask(Mode);

impl InheritedUmask {
    /// Back to the caller's umask: right before an exec, and nowhere else.
    pub(crate) fn restore(self) {
        umask(self.0);
    }
}

/// Not dumpable (so neither core files nor ptrace nor `/proc/self/environ` show memory to others of this
/// uid), no core files (a piped `core_pattern` ignores that, hence both), and files for the owner alone.
///
/// # Errors
/// The system call that failed; nothing secret has been read by then.
pub(crate) fn harden() -> rustix::io::Result<InheritedUmask> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(InheritedUmask(umask(Mode::RWXG | Mode::RWXO)))
}
