//! This process becomes the program, with the secrets in its environment. No parent process keeps a copy.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{EnvMap, Injector, OnClash};
use crate::bundle::Bundle;
use crate::error::{DeliveryError, Rejection};

/// Replaces this process by a program that gets the secrets and only the kept part of the environment.
///
/// The environment of this process is never changed (no `setenv`). The program gets no core file
/// (`RLIMIT_CORE` = 0, inherited: a core holds the environment). Every descriptor that this crate opens is
/// closed on exec; descriptors that the caller inherited are passed on to the program.
#[derive(Debug)]
pub struct Exec {
    argv: Vec<OsString>,
    keep: Vec<OsString>,
    clash: OnClash,
}

impl Exec {
    /// The variables that programs commonly need.
    pub const USUAL: [&'static str; 11] =
        ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

    /// Program and arguments; the program is searched in its own future `PATH`. No variable of the environment is
    /// kept unless [`Self::keep`] names it, and a clash is refused.
    pub fn new(argv: impl IntoIterator<Item = OsString>) -> Self {
        Self { argv: argv.into_iter().collect(), keep: Vec::new(), clash: OnClash::Refuse }
    }

    /// Passes these variables on, if they are set.
    #[must_use]
    pub fn keep(mut self, names: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.keep.extend(names.into_iter().map(|name| name.as_ref().to_owned()));
        self
    }

    /// Which one wins if a kept variable has the name of a secret.
    #[must_use]
    pub fn on_clash(mut self, clash: OnClash) -> Self {
        self.clash = clash;
        self
    }

    fn environment(&self) -> EnvMap {
        let kept = self.keep.iter().filter_map(|name| Some((name.clone(), std::env::var_os(name)?)));
        EnvMap::merge(kept, self.clash)
    }
}

impl Injector for Exec {
    type Receipt = Infallible;

    fn check(&self, bundle: &Bundle) -> Result<(), Rejection> {
        if self.argv.first().is_none_or(|program| program.is_empty()) {
            return Err(Rejection::NoProgram);
        }
        let arguments = self.argv.iter().map(|argument| argument.len() + 1 + size_of::<usize>()).sum();
        self.environment().check_beside(bundle, arguments)
    }

    async fn deliver(self, bundle: Bundle) -> Result<Infallible, DeliveryError> {
        self.check(&bundle)?;
        let (program, arguments) = self.argv.split_first().ok_or(Rejection::NoProgram)?;
        let failed = |source| DeliveryError::Exec { program: program.clone(), source };
        let environment = self.environment().build(&bundle);
        drop(bundle);
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
            .map_err(|error| failed(error.into()))?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(environment.expose_variables());
        Err(failed(command.exec()))
    }
}
