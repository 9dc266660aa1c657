//! Hardens this process before it reads its first secret.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// The umask that this process was started with, for the program that replaces it, and for man pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InheritedUmask(Mode);

impl InheritedUmask {
    /// Restores that umask: right before an exec, or for files that are for everyone, and nowhere else.
    pub(crate) fn restore(self) {
        umask(self.0);
    }
}

/// Makes the process not dumpable (so that core files, ptrace and `/proc/self/environ` show its memory to no other
/// process of this user), forbids core files (both are needed: a piped `core_pattern` ignores that limit), and
/// creates files for the owner only.
///
/// # Errors
/// The system call that failed; no secret has been read by then.
pub(crate) fn harden() -> rustix::io::Result<InheritedUmask> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(InheritedUmask(umask(Mode::RWXG | Mode::RWXO)))
}
