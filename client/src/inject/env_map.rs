//! An environment, built for the orchestrator; this process does not change.
//!
//! An environment is readable by the same user and by root, and every descendant inherits it. If the Machine can
//! read files, [`TmpfsDir`](super::TmpfsDir) is the better target.
//!
//! A writer of secrets chooses their names, and programs obey some names. So a secret cannot replace a variable, nor
//! have a reserved name, unless the app's settings (for reserved names) or the reader consents. Nor can a value that no
//! environment carries stop the others. The others are delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use petsem_api::SecretName;
use zeroize::Zeroizing;

use super::{Injector, LeftOut, LeftOutReason};
use crate::bundle::Bundle;
use crate::error::{DeliveryError, Rejection};

/// Longest `NAME=value` that exec takes, in bytes (measured: 131,072 is E2BIG).
const LONGEST_VARIABLE: usize = 131_071;
/// Most bytes of environment and arguments together; exec fails between 2.0 and 2.1 million (measured).
const MOST_BYTES: usize = 2_000_000;
/// What exec needs for each string in addition to its bytes: the NUL and a pointer.
const FOR_EACH: usize = 1 + size_of::<usize>();

/// Who obeys names that [`EnvMap::reserve`] reserves.
const ORCHESTRATOR: &str = "the orchestrator";

/// Merges secrets into a base environment.
///
/// Left out are secrets with a [reserved](SecretName::reserved) name that neither the app's settings nor
/// [`Self::allow`] allow, and secrets whose name the base has, unless [`Self::allow`] names them. [`Self::map`] delivers a
/// secret as another variable. Whatever the reader allows, secrets are left out whose value has a NUL byte, or whose
/// `NAME=value` is over 131,071 bytes, the limit of `execve`.
///
/// `check` refuses over 2,000,000 bytes in total: what `execve` takes, as measured on Linux. What is left out does not
/// count.
#[derive(Debug)]
pub struct EnvMap {
    base: BTreeMap<OsString, OsString>,
    allowed: BTreeSet<SecretName>,
    /// The secrets of variables.
    mapped: BTreeMap<SecretName, SecretName>,
    reserved: Vec<String>,
}

/// A complete environment with secrets in it. Wiped on drop; `Debug` shows names only.
pub struct Environment {
    variables: BTreeMap<OsString, Zeroizing<Vec<u8>>>,
    left_out: Vec<LeftOut>,
}

impl EnvMap {
    /// Secrets beside these variables.
    pub fn merge(base: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let base = base.into_iter().collect();
        Self { base, allowed: BTreeSet::new(), mapped: BTreeMap::new(), reserved: Vec::new() }
    }

    /// The reader's consent: secrets with these names are delivered though programs obey them, and replace a variable
    /// of the base.
    #[must_use]
    pub fn allow(mut self, names: impl IntoIterator<Item = SecretName>) -> Self {
        self.allowed.extend(names);
        self
    }

    /// Delivers secrets as other variables: pairs of a variable and its secret. The reader chose the variable, so
    /// nothing is asked of its name. Each secret must exist.
    #[must_use]
    pub fn map(mut self, pairs: impl IntoIterator<Item = (SecretName, SecretName)>) -> Self {
        self.mapped.extend(pairs);
        self
    }

    /// Reserves names with this prefix for the orchestrator, whatever the app's settings allow.
    #[must_use]
    pub fn reserve(mut self, prefix: &str) -> Self {
        self.reserved.push(prefix.to_owned());
        self
    }

    /// Why a secret is left out, if it is.
    fn reason(&self, bundle: &Bundle, name: &SecretName, value: &[u8]) -> Option<LeftOutReason> {
        if self.is_mapped(name) {
            let mut variables = self.mapped.iter().filter(|(_, secret)| *secret == name);
            return variables.find_map(|(variable, _)| unfit(variable, value));
        }
        self.unwanted(bundle, name).or_else(|| unfit(name, value))
    }

    /// Why a secret is left out because of its name.
    fn unwanted(&self, bundle: &Bundle, name: &SecretName) -> Option<LeftOutReason> {
        if self.allowed.contains(name) {
            return None;
        }
        if self.reserved.iter().any(|prefix| name.as_str().starts_with(prefix.as_str())) {
            return Some(LeftOutReason::Reserved { obeyed_by: ORCHESTRATOR });
        }
        match name.reserved() {
            Some(family) if !bundle.allowed_reserved_names().contains(name) => {
                Some(LeftOutReason::Reserved { obeyed_by: family.obeyed_by })
            }
            _ => {
                let is_set =
                    self.base.contains_key(OsStr::new(name.as_str())) || self.mapped.contains_key(name);
                is_set.then_some(LeftOutReason::AlreadySet)
            }
        }
    }

    fn is_mapped(&self, name: &SecretName) -> bool {
        self.mapped.values().any(|secret| secret == name)
    }

    /// Variables and their values; those that the reader chose come last and replace others.
    fn delivered<'b>(&'b self, bundle: &'b Bundle) -> impl Iterator<Item = (&'b SecretName, &'b [u8])> {
        let own = bundle
            .expose_secrets()
            .filter(|(name, value)| !self.is_mapped(name) && self.reason(bundle, name, value).is_none());
        let mapped = self.mapped.iter().filter_map(|(variable, secret)| {
            bundle.expose_secrets().find(|(name, _)| *name == secret).map(|(_, value)| (variable, value))
        });
        own.chain(mapped.filter(|(variable, value)| unfit(variable, value).is_none()))
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
        if let Some(missing) = self.mapped.values().find(|secret| !bundle.names().any(|name| name == *secret))
        {
            return Err(Rejection::NoSecret(missing.clone()));
        }
        for (name, value) in self.delivered(bundle) {
            total += name.as_str().len() + 1 + value.len() + FOR_EACH;
        }
        if total > MOST_BYTES { Err(Rejection::TooMuch { bytes: total }) } else { Ok(()) }
    }

    pub(super) fn build(&self, bundle: &Bundle) -> Environment {
        let left_out = self.left_out(bundle);
        let base = self.base.iter();
        let mut variables: BTreeMap<_, _> =
            base.map(|(name, value)| (name.clone(), Zeroizing::new(value.as_bytes().to_vec()))).collect();
        for (name, value) in self.delivered(bundle) {
            variables.insert(OsString::from(name.as_str()), Zeroizing::new(value.to_vec()));
        }
        Environment { variables, left_out }
    }
}

/// Why no environment carries a variable, if none does.
fn unfit(variable: &SecretName, value: &[u8]) -> Option<LeftOutReason> {
    if value.contains(&0) {
        return Some(LeftOutReason::HoldsNul);
    }
    (variable.as_str().len() + 1 + value.len() > LONGEST_VARIABLE).then_some(LeftOutReason::TooLong)
}

impl Injector for EnvMap {
    type Receipt = Environment;

    fn check(&self, bundle: &Bundle) -> Result<(), Rejection> {
        self.check_beside(bundle, 0)
    }

    fn left_out(&self, bundle: &Bundle) -> Vec<LeftOut> {
        let left_out = |(name, value): (&SecretName, &[u8])| {
            self.reason(bundle, name, value).map(|reason| LeftOut { name: name.clone(), reason })
        };
        bundle.expose_secrets().filter_map(left_out).collect()
    }

    async fn deliver(self, bundle: Bundle) -> Result<Environment, DeliveryError> {
        self.check(&bundle)?;
        Ok(self.build(&bundle))
    }
}

impl Environment {
    /// Names and values, in order of the names: for `execve`, or a container's configuration.
    pub fn expose_variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), OsStr::from_bytes(value)))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.variables.keys().map(OsString::as_os_str)
    }

    /// The secrets that are not in it, in order of their names: for the log, and for
    /// [`BootFlow::report_environment`](crate::BootFlow::report_environment).
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.names().collect::<Vec<_>>()).finish()
    }
}
