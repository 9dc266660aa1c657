//! Conditions on the requester and the lifetime of a discharge.

use super::{FlyAccess, FlyClass, FlyErrors};
use petsem_policy::Caveat;

/// The requester of a discharge: the identities of its logins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FlyIdentity<'a> {
    /// Fly users, each with their organizations.
    pub(crate) users: Vec<(u64, Vec<u64>)>,
    /// Google hosted domains.
    pub(crate) google_domains: Vec<&'a str>,
    /// GitHub organizations.
    pub(crate) github_organizations: Vec<u64>,
}

pub(super) fn clears(access: &FlyAccess<'_>, caveat: &Caveat) -> Result<(), FlyErrors> {
    if access.class != FlyClass::Discharge {
        return Err(FlyErrors::INVALID_ACCESS);
    }
    let identity = &access.identity;
    let met = match caveat {
        Caveat::ConfineUser(id) => identity.users.iter().any(|(user, _)| user == id),
        Caveat::ConfineOrganization(id) => {
            identity.users.iter().any(|(_, organizations)| organizations.contains(id))
        }
        Caveat::ConfineGoogleHd(domain) => identity.google_domains.iter().any(|known| known == domain),
        Caveat::ConfineGitHubOrg(id) => identity.github_organizations.contains(id),
        Caveat::MaxValidity(seconds) => {
            let life = i128::from(access.expires_unix_seconds) - i128::from(access.now_unix_seconds);
            return if life <= i128::from(*seconds) { Ok(()) } else { Err(FlyErrors::UNAUTHORIZED) };
        }
        _ => return Err(FlyErrors::BAD_CAVEAT),
    };
    if met { Ok(()) } else { Err(FlyErrors::IDENTITY_REQUIRED) }
}
