//! One app's secrets for one Machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use petsem_api::{AppId, AppName, AppRef, BootResponse, MachineId, SecretList, SecretName};
use zeroize::Zeroizing;

use crate::canonical;

/// An ordered map of names to values, and the identity that they were given to. Values are wiped on drop;
/// `Debug` shows none.
pub struct Bundle {
    identity: Identity,
    version: u64,
    secrets: BTreeMap<SecretName, Zeroizing<Vec<u8>>>,
    allowed_reserved_names: BTreeSet<SecretName>,
}

/// The identity that a bundle was given to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// A booting Machine.
    Machine {
        /// The app's id.
        app: AppId,
        /// The app's name.
        app_name: AppName,
        /// The Machine.
        machine: MachineId,
    },
    /// A process that read with its own JWT, without a Machine.
    Workload {
        /// The app, as it was requested.
        app: AppRef,
    },
}

impl Bundle {
    /// The bundle in the answer to a boot.
    pub fn from_boot(response: &BootResponse) -> Self {
        let identity = Identity::Machine {
            app: response.app,
            app_name: response.app_name.clone(),
            machine: response.machine.clone(),
        };
        let secrets = response.secrets.iter().filter_map(|secret| {
            let value = secret.value.as_ref()?;
            Some((secret.name.clone(), value.expose_bytes().to_vec()))
        });
        Self::new(identity, response.version, secrets)
            .allowing(response.allowed_reserved_names.iter().cloned())
    }

    /// The bundle in the answer to a workload's read. Secrets whose value the workload may not read are left out.
    pub fn from_workload(app: &AppRef, list: &SecretList) -> Self {
        let secrets = list.secrets.iter().filter_map(|secret| {
            let value = secret.value.as_ref()?;
            Some((secret.name.clone(), value.expose_bytes().to_vec()))
        });
        Self::new(Identity::Workload { app: app.clone() }, list.version, secrets)
            .allowing(list.allowed_reserved_names.iter().cloned())
    }

    /// A bundle of these parts. A name that occurs twice keeps its last value.
    pub fn new(
        identity: Identity,
        version: u64,
        secrets: impl IntoIterator<Item = (SecretName, Vec<u8>)>,
    ) -> Self {
        let secrets = secrets.into_iter().map(|(name, value)| (name, Zeroizing::new(value)));
        Self { identity, version, secrets: secrets.collect(), allowed_reserved_names: BTreeSet::new() }
    }

    /// Adds reserved names that the app's settings allow in environments.
    #[must_use]
    pub fn allowing(mut self, names: impl IntoIterator<Item = SecretName>) -> Self {
        self.allowed_reserved_names.extend(names);
        self
    }

    /// The identity that it was given to.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The app version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &SecretName> {
        self.secrets.keys()
    }

    /// The reserved names that the app's settings allow in environments.
    pub fn allowed_reserved_names(&self) -> &BTreeSet<SecretName> {
        &self.allowed_reserved_names
    }

    /// How many secrets it has.
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// Whether the app has no secrets, which is not an error.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Names and values, in order of the names: only for injection.
    pub fn expose_secrets(&self) -> impl Iterator<Item = (&SecretName, &[u8])> {
        self.secrets.iter().map(|(name, value)| (name, value.as_slice()))
    }

    /// The canonical bytes ([`CanonicalBundle`](crate::CanonicalBundle)) that a Machine channel carries and that a proof
    /// covers. `None` for a workload's bundle, which belongs to no Machine.
    pub fn expose_canonical(&self) -> Option<Zeroizing<Vec<u8>>> {
        let Identity::Machine { app, machine, .. } = &self.identity else { return None };
        let secrets = self.secrets.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        canonical::encode(app.as_bytes(), machine.as_str(), self.version, secrets)
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("identity", &self.identity)
            .field("version", &self.version)
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}
