//! The target of a request, which tokens are checked against.

use std::net::IpAddr;

use petsem_api::{HostId, MachineId, OrgId, SecretKeyName, SecretName};
use petsem_policy::{Access, Action};

use crate::clock::Timestamp;
use crate::tenancy::found::FoundApp;

/// The target of a request, which tokens are checked against.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccessTarget<'a> {
    pub(crate) org: Option<OrgId>,
    pub(crate) app: Option<&'a FoundApp>,
    pub(crate) secret: Option<&'a SecretName>,
    pub(crate) secret_key: Option<&'a SecretKeyName>,
    pub(crate) machine: Option<&'a MachineId>,
    pub(crate) host: Option<&'a HostId>,
    /// The address of the client. A `Principal` fills in its own.
    pub(crate) peer: Option<IpAddr>,
}

impl<'a> AccessTarget<'a> {
    /// The access that a token is checked against.
    pub(crate) fn access(&self, action: Action, now: Timestamp) -> Access<'a> {
        let org = self.app.map(|app| app.head.org).or(self.org);
        Access {
            org: org.map(|org| *org.as_bytes()),
            app: self.app.map(|app| *app.id.as_bytes()),
            secret: self.secret.map(SecretName::as_str),
            secret_key: self.secret_key.map(SecretKeyName::as_str),
            machine: self.machine.map(MachineId::as_str),
            host: self.host.map(HostId::as_str),
            peer: self.peer,
            ..Access::new(action, now.seconds(), now.nanos())
        }
    }
}
