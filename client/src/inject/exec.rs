//! This process becomes the program, with the secrets in its environment. No parent process keeps a copy.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use petsem_api::SecretName;
use rustix::fs::{Access, access};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{EnvMap, Injector, LeftOut};
use crate::bundle::Bundle;
use crate::error::{DeliveryError, Rejection};

/// Where programs are if there is no `PATH`, as in glibc.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Replaces this process by a program that gets the secrets and only the kept part of the environment.
///
/// Secrets are merged as by [`EnvMap`]. The program is looked up before that, in the `PATH` of this process: no secret
/// chooses which program gets the secrets.
///
/// The environment of this process is never changed (no `setenv`). The program gets no core file
/// (`RLIMIT_CORE` = 0, inherited: a core holds the environment). Every descriptor that this crate opens is
/// closed on exec; descriptors that the caller inherited are passed on to the program.
#[derive(Debug)]
pub struct Exec {
    argv: Vec<OsString>,
    keep: Vec<OsString>,
    allowed: Vec<SecretName>,
    mapped: Vec<(SecretName, SecretName)>,
}

impl Exec {
    /// The variables that programs commonly need.
    pub const USUAL: [&'static str; 11] =
        ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

    /// Program and arguments. No variable of the environment is kept unless [`Self::keep`] names it.
    pub fn new(argv: impl IntoIterator<Item = OsString>) -> Self {
        Self { argv: argv.into_iter().collect(), keep: Vec::new(), allowed: Vec::new(), mapped: Vec::new() }
    }

    /// Passes these variables on, if they are set.
    #[must_use]
    pub fn keep(mut self, names: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.keep.extend(names.into_iter().map(|name| name.as_ref().to_owned()));
        self
    }

    /// The reader's consent to these names, as for [`EnvMap::allow`].
    #[must_use]
    pub fn allow(mut self, names: impl IntoIterator<Item = SecretName>) -> Self {
        self.allowed.extend(names);
        self
    }

    /// Variables and their secrets, as for [`EnvMap::map`].
    #[must_use]
    pub fn map(mut self, pairs: impl IntoIterator<Item = (SecretName, SecretName)>) -> Self {
        self.mapped.extend(pairs);
        self
    }

    fn environment(&self) -> EnvMap {
        let kept = self.keep.iter().filter_map(|name| Some((name.clone(), std::env::var_os(name)?)));
        EnvMap::merge(kept).allow(self.allowed.iter().cloned()).map(self.mapped.iter().cloned())
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

    fn left_out(&self, bundle: &Bundle) -> Vec<LeftOut> {
        self.environment().left_out(bundle)
    }

    async fn deliver(self, bundle: Bundle) -> Result<Infallible, DeliveryError> {
        self.check(&bundle)?;
        let (program, arguments) = self.argv.split_first().ok_or(Rejection::NoProgram)?;
        let failed = |source| DeliveryError::Exec { program: program.clone(), source };
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let found = find_program(program, &path).map_err(failed)?;
        let environment = self.environment().build(&bundle);
        drop(bundle);
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
            .map_err(|error| failed(error.into()))?;
        let mut command = Command::new(found);
        command.arg0(program).args(arguments).env_clear().envs(environment.expose_variables());
        Err(failed(command.exec()))
    }
}

/// The file of a program in a search path, as `execvp` finds it. A name with a slash is the file. The result has a
/// slash, so that nothing searches it again.
fn find_program(program: &OsStr, path: &OsStr) -> io::Result<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Ok(program.into());
    }
    let mut denied = None;
    for directory in std::env::split_paths(path) {
        // An empty entry is the working directory.
        let file = Path::new(".").join(directory).join(program);
        if !file.is_file() {
            continue;
        }
        match access(&file, Access::EXEC_OK) {
            Ok(()) => return Ok(file),
            Err(error) => denied = Some(error.into()),
        }
    }
    Err(denied.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(path: &Path, mode: u32) {
        std::fs::write(path, "").unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_is_the_first_file_in_the_path_that_may_be_executed() {
        let scene = tempfile::tempdir().unwrap();
        let at = |name: &str| scene.path().join(name);
        for directory in ["a", "b", "c", "b/tool-dir", "a/tool"] {
            std::fs::create_dir(at(directory)).unwrap();
        }
        file(&at("b/tool"), 0o600);
        file(&at("c/tool"), 0o700);
        let path = std::env::join_paths(["a", "b", "c"].map(at)).unwrap();
        assert_eq!(find_program("tool".as_ref(), &path).unwrap(), at("c/tool"));
        let kind = |name: &str, path: &OsStr| find_program(name.as_ref(), path).unwrap_err().kind();
        assert_eq!(kind("tool", at("b").as_os_str()), io::ErrorKind::PermissionDenied);
        assert_eq!(kind("other", &path), io::ErrorKind::NotFound);
        assert_eq!(find_program("./tool".as_ref(), &path).unwrap(), Path::new("./tool"));
    }
}
