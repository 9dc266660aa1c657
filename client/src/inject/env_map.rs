//! An environment, built for the orchestrator; this process does not change.
//!
//! An environment is readable by the same user and by root, and every descendant inherits it. If the Machine can
//! read files, [`TmpfsDir`](super::TmpfsDir) is the better target.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use petsem_api::SecretName;
use zeroize::Zeroizing;

use super::Injector;
use crate::bundle::Bundle;
use crate::error::{DeliveryError, Rejection};

/// Longest `NAME=value` that exec takes, in bytes (measured: 131,072 is E2BIG).
const LONGEST_VARIABLE: usize = 131_071;
/// Most bytes of environment and arguments together; exec fails between 2.0 and 2.1 million (measured).
const MOST_BYTES: usize = 2_000_000;
/// What exec needs for each string in addition to its bytes: the NUL and a pointer.
const FOR_EACH: usize = 1 + size_of::<usize>();
/// Names that change how the loader, libc or petsem's own programs behave.
const RESERVED: [&str; 3] = ["LD_", "GLIBC_", "PETSEM_"];

/// Merges secrets into a base environment.
///
/// `check` refuses a `NAME=value` over 131,071 bytes, and over 2,000,000 bytes in total: the limits of `execve`,
/// as measured on Linux.
#[derive(Debug)]
pub struct EnvMap {
    base: BTreeMap<OsString, OsString>,
    clash: OnClash,
    reserved: Vec<String>,
}

/// Which one wins if a secret has the name of a variable of the base environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnClash {
    /// Neither: the bundle is rejected.
    Refuse,
    /// The secret.
    SecretWins,
    /// The base environment.
    BaseWins,
}

/// A complete environment with secrets in it. Wiped on drop; `Debug` shows names only.
pub struct Environment(BTreeMap<OsString, Zeroizing<Vec<u8>>>);

impl EnvMap {
    /// Secrets over these variables. `LD_…`, `GLIBC_…` and `PETSEM_…` are reserved: no secret may have such a name.
    pub fn merge(base: impl IntoIterator<Item = (OsString, OsString)>, clash: OnClash) -> Self {
        Self {
            base: base.into_iter().collect(),
            clash,
            reserved: RESERVED.iter().map(|&prefix| prefix.to_owned()).collect(),
        }
    }

    /// Reserves one more prefix of names.
    #[must_use]
    pub fn reserve(mut self, prefix: &str) -> Self {
        self.reserved.push(prefix.to_owned());
        self
    }

    /// [`Injector::check`] for an exec whose arguments have this many bytes.
    pub(super) fn check_beside(&self, bundle: &Bundle, arguments: usize) -> Result<(), Rejection> {
        let mut total = arguments;
        for (name, value) in &self.base {
            let bad_name = name.is_empty() || name.as_bytes().iter().any(|byte| matches!(byte, b'=' | 0));
            let length = name.len() + 1 + value.len();
            if bad_name || value.as_bytes().contains(&0) || length > LONGEST_VARIABLE {
                return Err(Rejection::BaseVariable(name.clone()));
            }
            total += length + FOR_EACH;
        }
        for (name, value) in bundle.expose_secrets() {
            self.check_secret(name, value)?;
            total += name.as_str().len() + 1 + value.len() + FOR_EACH;
        }
        if total > MOST_BYTES { Err(Rejection::TooMuch { bytes: total }) } else { Ok(()) }
    }

    fn check_secret(&self, name: &SecretName, value: &[u8]) -> Result<(), Rejection> {
        if self.reserved.iter().any(|prefix| name.as_str().starts_with(prefix.as_str())) {
            return Err(Rejection::ReservedName(name.clone()));
        }
        if self.clash == OnClash::Refuse && self.base.contains_key(OsStr::new(name.as_str())) {
            return Err(Rejection::Clash(name.clone()));
        }
        if value.contains(&0) {
            return Err(Rejection::HoldsNul(name.clone()));
        }
        if name.as_str().len() + 1 + value.len() > LONGEST_VARIABLE {
            return Err(Rejection::TooLong(name.clone()));
        }
        Ok(())
    }

    pub(super) fn build(self, bundle: &Bundle) -> Environment {
        let base = self.base.into_iter();
        let mut whole: BTreeMap<_, _> =
            base.map(|(name, value)| (name, Zeroizing::new(value.as_bytes().to_vec()))).collect();
        for (name, value) in bundle.expose_secrets() {
            let name = OsString::from(name.as_str());
            if self.clash == OnClash::BaseWins && whole.contains_key(&name) {
                continue;
            }
            whole.insert(name, Zeroizing::new(value.to_vec()));
        }
        Environment(whole)
    }
}

impl Injector for EnvMap {
    type Receipt = Environment;

    fn check(&self, bundle: &Bundle) -> Result<(), Rejection> {
        self.check_beside(bundle, 0)
    }

    async fn deliver(self, bundle: Bundle) -> Result<Environment, DeliveryError> {
        self.check(&bundle)?;
        Ok(self.build(&bundle))
    }
}

impl Environment {
    /// Names and values, in order of the names: for `execve`, or a container's configuration.
    pub fn expose_variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), OsStr::from_bytes(value)))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.keys().map(OsString::as_os_str)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.names().collect::<Vec<_>>()).finish()
    }
}
