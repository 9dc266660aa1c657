//! Fly's own caveats, cleared as Fly's services do (macaroon-format §7).
//!
//! petsem's requests never get here: of these caveats they clear two and refuse the rest. It is for tools that
//! explain Fly tokens, and it is how the published vectors are checked whole.

mod commands;
mod confine;
mod errors;
mod resources;
mod roles;
mod source;

pub use confine::FlyIdentity;
pub use errors::FlyErrors;

use crate::caveat::Caveat;
use crate::clear::{Moment, Request, clear_caveat};
use crate::denial::Reason;
use crate::token::Token;

/// A request to one of Fly's services. A resource that is `None` is not named, which differs from 0 or "".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlyAccess<'a> {
    /// What the kind of request can be asked about.
    pub class: FlyClass,
    /// Unix seconds.
    pub now_unix_seconds: i64,
    /// Nanoseconds into that second.
    pub now_nanos: u32,
    /// Bits of Fly's action mask.
    pub action: Option<u16>,
    /// The resources, in words of macaroon-format §4.2.
    pub organization: Option<u64>,
    /// The app.
    pub app: Option<u64>,
    /// A feature of apps.
    pub app_feature: Option<&'a str>,
    /// A feature of organizations.
    pub feature: Option<&'a str>,
    /// The volume.
    pub volume: Option<&'a str>,
    /// The machine.
    pub machine: Option<&'a str>,
    /// A feature of machines.
    pub machine_feature: Option<&'a str>,
    /// The GraphQL mutation.
    pub mutation: Option<&'a str>,
    /// The command, which may be empty.
    pub command: Option<Vec<&'a str>>,
    /// The database cluster.
    pub cluster: Option<&'a str>,
    /// The path of the stored object.
    pub storage_object: Option<&'a str>,
    /// The machine that the request comes from.
    pub source_machine: Option<&'a str>,
    /// The app that it comes from.
    pub source_app: Option<&'a str>,
    /// The organization that it comes from.
    pub source_organization: Option<&'a str>,
    /// For [`FlyClass::Discharge`]: who asks.
    pub identity: FlyIdentity<'a>,
    /// For [`FlyClass::Discharge`]: when the discharge will end, in unix seconds.
    pub expires_unix_seconds: i64,
}

/// What a request can be asked about; for all else it is an invalid access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FlyClass {
    /// Everything but identities.
    #[default]
    Full,
    /// The action and the time.
    ActionOnly,
    /// The time.
    TimeOnly,
    /// Identities, and how long the discharge lives.
    Discharge,
}

impl FlyAccess<'_> {
    /// The rules that a full access must keep, so that it names one thing.
    ///
    /// # Errors
    /// [`FlyErrors`] with the first rule that is broken.
    pub fn validate(&self) -> Result<(), FlyErrors> {
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

    /// A full access can be asked about resources; no other can.
    fn full(&self) -> Result<(), FlyErrors> {
        if self.class == FlyClass::Full { Ok(()) } else { Err(FlyErrors::INVALID_ACCESS) }
    }
}

impl Token {
    /// Whether Fly's services would allow the request. All caveats are asked, so the errors are complete.
    ///
    /// # Errors
    /// The union of [`FlyErrors`] of all caveats that refuse.
    pub fn clear_fly(&self, access: &FlyAccess<'_>) -> Result<(), FlyErrors> {
        let mut errors = FlyErrors::NONE;
        for placed in self.caveats().filter(|placed| !placed.caveat.is_attestation()) {
            if let Err(refused) = clear_caveat(access, placed.caveat) {
                errors = errors | refused;
            }
        }
        if errors == FlyErrors::NONE { Ok(()) } else { Err(errors) }
    }
}

impl Request for FlyAccess<'_> {
    type Refusal = FlyErrors;

    fn now(&self) -> Moment {
        Moment { seconds: self.now_unix_seconds, nanos: self.now_nanos }
    }

    fn refuse(&self, _: &Caveat, reason: Reason) -> FlyErrors {
        match reason {
            Reason::Misplaced => FlyErrors::BAD_CAVEAT,
            _ => FlyErrors::UNAUTHORIZED,
        }
    }

    fn is_unspecified(errors: &FlyErrors) -> bool {
        errors.contains(FlyErrors::RESOURCE_UNSPECIFIED)
    }

    fn join(first: FlyErrors, second: FlyErrors) -> FlyErrors {
        first | second
    }

    fn action_within(&self, _: &Caveat, mask: u16) -> Result<(), FlyErrors> {
        match self.action {
            Some(action) if matches!(self.class, FlyClass::Full | FlyClass::ActionOnly) => {
                if action & !mask == 0 { Ok(()) } else { Err(FlyErrors::FOR_ACTION) }
            }
            _ => Err(FlyErrors::INVALID_ACCESS),
        }
    }

    fn clears(&self, caveat: &Caveat) -> Result<(), FlyErrors> {
        match caveat {
            Caveat::IsUser(_) => Ok(()),
            Caveat::Action(mask) => self.action_within(caveat, *mask),
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
}
