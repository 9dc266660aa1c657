//! Fly's own caveats, cleared as Fly's services do (macaroon-format §7).
//!
//! petsem clears two of these caveats and refuses the rest. This reference is here so that the published
//! vectors are checked whole.

mod commands;
mod confine;
mod errors;
mod resources;
mod roles;
mod source;

pub(crate) use confine::FlyIdentity;
pub(crate) use errors::FlyErrors;

use petsem_policy::{Caveat, IfPresent, Token};

/// A request to one of Fly's services. A resource that is `None` is not named, which differs from 0 or "".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FlyAccess<'a> {
    /// The kind of the request.
    pub(crate) class: FlyClass,
    /// Unix seconds.
    pub(crate) now_unix_seconds: i64,
    /// Nanoseconds into that second.
    pub(crate) now_nanos: u32,
    /// The bits of Fly's action mask.
    pub(crate) action: Option<u16>,
    /// The organization; resources have the names of macaroon-format §4.2.
    pub(crate) organization: Option<u64>,
    /// The app.
    pub(crate) app: Option<u64>,
    /// A feature of apps.
    pub(crate) app_feature: Option<&'a str>,
    /// A feature of organizations.
    pub(crate) feature: Option<&'a str>,
    /// The volume.
    pub(crate) volume: Option<&'a str>,
    /// The machine.
    pub(crate) machine: Option<&'a str>,
    /// A feature of machines.
    pub(crate) machine_feature: Option<&'a str>,
    /// The GraphQL mutation.
    pub(crate) mutation: Option<&'a str>,
    /// The command, which may be empty.
    pub(crate) command: Option<Vec<&'a str>>,
    /// The database cluster.
    pub(crate) cluster: Option<&'a str>,
    /// The path of the stored object.
    pub(crate) storage_object: Option<&'a str>,
    /// The machine that the request comes from.
    pub(crate) source_machine: Option<&'a str>,
    /// The app that it comes from.
    pub(crate) source_app: Option<&'a str>,
    /// The organization that it comes from.
    pub(crate) source_organization: Option<&'a str>,
    /// For [`FlyClass::Discharge`]: the identity of the requester.
    pub(crate) identity: FlyIdentity<'a>,
    /// For [`FlyClass::Discharge`]: when the discharge will expire, in unix seconds.
    pub(crate) expires_unix_seconds: i64,
}

/// Which caveats apply to a request; others are an invalid access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum FlyClass {
    /// All except identities.
    #[default]
    Full,
    /// The action and the time.
    ActionOnly,
    /// The time.
    TimeOnly,
    /// Identities, and the lifetime of the discharge.
    Discharge,
}

impl FlyAccess<'_> {
    /// Checks that a full access names one resource.
    ///
    /// # Errors
    /// [`FlyErrors`] with the first violated rule.
    pub(crate) fn validate(&self) -> Result<(), FlyErrors> {
        let present = |flags: &[bool]| flags.iter().filter(|flag| **flag).count();
        let of_org = present(&[self.app.is_some(), self.feature.is_some(), self.storage_object.is_some()]);
        let of_app = present(&[self.machine.is_some(), self.volume.is_some(), self.app_feature.is_some()]);
        let of_machine = present(&[self.machine_feature.is_some(), self.command.is_some()]);
        let orphan = self.organization.is_none()
            || (of_app > 0 && self.app.is_none())
            || (of_machine > 0 && self.machine.is_none())
            || (self.cluster.is_some() && self.feature.is_none());
        if of_org > 1 || of_app > 1 || of_machine > 1 {
            Err(FlyErrors::MUTUALLY_EXCLUSIVE)
        } else if orphan {
            Err(FlyErrors::RESOURCE_UNSPECIFIED)
        } else if self.cluster.is_some() && self.feature != Some(resources::CLUSTER_FEATURE) {
            Err(FlyErrors::INVALID_ACCESS)
        } else {
            Ok(())
        }
    }

    /// Only a full access has resources.
    fn full(&self) -> Result<(), FlyErrors> {
        if self.class == FlyClass::Full { Ok(()) } else { Err(FlyErrors::INVALID_ACCESS) }
    }
}

/// Whether Fly's services would allow the request. Every caveat is evaluated, so the errors are complete.
///
/// # Errors
/// The union of the [`FlyErrors`] of all caveats that refuse.
pub(crate) fn clear(token: &Token, access: &FlyAccess<'_>) -> Result<(), FlyErrors> {
    let caveats = token.caveats().map(|placed| placed.caveat).filter(|caveat| !caveat.is_attestation());
    let errors = caveats.filter_map(|caveat| access.clears(caveat).err());
    errors.reduce(|all, errors| all | errors).map_or(Ok(()), Err)
}

/// Upper limit of times in Fly's implementation: larger ones overflow (macaroon-format 12.7).
const LARGEST_TIME: i64 = i64::MAX - 62_135_596_800;

impl FlyAccess<'_> {
    fn clears(&self, caveat: &Caveat) -> Result<(), FlyErrors> {
        match caveat {
            Caveat::ValidityWindow { not_before, not_after } => self.is_within(*not_before, *not_after),
            Caveat::IfPresent(inner) => self.if_present(inner),
            Caveat::IsUser(_) => Ok(()),
            Caveat::Action(mask) => self.action_within(*mask),
            Caveat::Organization { .. }
            | Caveat::Volumes(_)
            | Caveat::Apps(_)
            | Caveat::FeatureSet(_)
            | Caveat::Mutations(_)
            | Caveat::Machines(_)
            | Caveat::MachineFeatureSet(_)
            | Caveat::Clusters(_)
            | Caveat::AppFeatureSet(_)
            | Caveat::StorageObjects(_) => self.full().and_then(|()| resources::clears(self, caveat)),
            Caveat::Commands(allowed) => {
                self.full().and_then(|()| commands::clears(self, allowed.as_deref().unwrap_or_default()))
            }
            Caveat::AllowedRoles(mask) => self.full().and_then(|()| roles::clears(self, *mask)),
            Caveat::IsMember => self.full().and_then(|()| roles::clears(self, roles::MEMBER)),
            Caveat::FromMachineSource(_) | Caveat::FlySrc { .. } => source::clears(self, caveat),
            Caveat::ConfineUser(_)
            | Caveat::ConfineOrganization(_)
            | Caveat::ConfineGoogleHd(_)
            | Caveat::ConfineGitHubOrg(_)
            | Caveat::MaxValidity(_) => confine::clears(self, caveat),
            _ => Err(FlyErrors::BAD_CAVEAT),
        }
    }

    /// Both ends are inclusive, to the nanosecond.
    fn is_within(&self, not_before: i64, not_after: i64) -> Result<(), FlyErrors> {
        let now = (self.now_unix_seconds, self.now_nanos);
        let valid =
            not_before.max(not_after) <= LARGEST_TIME && (not_before, 0) <= now && now <= (not_after, 0);
        if valid { Ok(()) } else { Err(FlyErrors::UNAUTHORIZED) }
    }

    /// Whether requests of this class have an action.
    fn has_action(&self) -> bool {
        matches!(self.class, FlyClass::Full | FlyClass::ActionOnly)
    }

    /// Conditions on resources that the request does not name are skipped; if all are, the mask decides. A request of a
    /// class without actions is refused before any condition is evaluated.
    fn if_present(&self, inner: &IfPresent) -> Result<(), FlyErrors> {
        if !self.has_action() {
            return Err(FlyErrors::INVALID_ACCESS);
        }
        let answers = inner.ifs.as_slice().iter().map(|condition| self.clears(condition));
        let unspecified = |errors: &FlyErrors| errors.contains(FlyErrors::RESOURCE_UNSPECIFIED);
        let relevant = answers.filter(|answer| !answer.as_ref().is_err_and(unspecified));
        let joined = relevant.reduce(|all, answer| match (all, answer) {
            (Err(all), Err(errors)) => Err(all | errors),
            (all, answer) => all.and(answer),
        });
        joined.unwrap_or_else(|| self.action_within(inner.otherwise))
    }

    fn action_within(&self, mask: u16) -> Result<(), FlyErrors> {
        match self.action {
            Some(action) if self.has_action() => {
                if action & !mask == 0 {
                    Ok(())
                } else {
                    Err(FlyErrors::FOR_ACTION)
                }
            }
            _ => Err(FlyErrors::INVALID_ACCESS),
        }
    }
}
