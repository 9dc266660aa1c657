//! What a request wants, as caveats are asked about it.

use std::net::IpAddr;

use crate::action::Action;
use crate::caveat::Caveat;
use crate::caveats::PetsemCaveat;
use crate::clear::{Moment, Request};
use crate::denial::{Reason, Resource};

/// A request to petsem. A resource that the request is not about is `None`: caveats on it then answer
/// "resource unspecified", which refuses, except inside `IfPresent`.
///
/// Of the format's own caveats a petsem request clears `ValidityWindow` and `IfPresent`; the others refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access<'a> {
    /// Unix seconds, read once for the request.
    pub now_unix_seconds: i64,
    /// Nanoseconds into that second, below 10⁹.
    pub now_nanos: u32,
    /// What it does.
    pub action: Action,
    /// The id of the org that owns what it touches.
    pub org: Option<[u8; 16]>,
    /// The id of the app.
    pub app: Option<[u8; 16]>,
    /// The name of the one secret.
    pub secret: Option<&'a str>,
    /// The label of the one secret key.
    pub secret_key: Option<&'a str>,
    /// The Machine.
    pub machine: Option<&'a str>,
    /// The host that asks, as its listener knows it; never from body or header.
    pub host: Option<&'a str>,
    /// The address that asks, as the socket has it; never from a header. `None` of a Unix socket.
    pub peer: Option<IpAddr>,
}

impl Access<'_> {
    /// A request that names nothing.
    pub const fn new(action: Action, now_unix_seconds: i64, now_nanos: u32) -> Self {
        Self {
            now_unix_seconds,
            now_nanos,
            action,
            org: None,
            app: None,
            secret: None,
            secret_key: None,
            machine: None,
            host: None,
            peer: None,
        }
    }
}

/// A request for a discharge, as the conditions in a ticket are asked about it.
///
/// Beside what an [`Access`] clears, `MaxValidity` does; of petsem's caveats Organization, Apps, Actions,
/// Machines and Hosts do, and SecondPerson for the request that was approved. Whatever else stands in the
/// ticket refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DischargeRequest<'a> {
    /// What the discharge will be for.
    pub access: Access<'a>,
    /// When it will end, in unix seconds.
    pub expires_unix_seconds: i64,
    /// The request that a second person approved, where one did.
    pub approved: Option<[u8; 16]>,
}

/// Why one caveat refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The type of the caveat; inside `IfPresent`, of the inner one.
    pub(crate) kind: u64,
    pub(crate) reason: Reason,
}

impl Request for Access<'_> {
    type Refusal = Refusal;

    fn now(&self) -> Moment {
        Moment { seconds: self.now_unix_seconds, nanos: self.now_nanos }
    }

    fn refuse(&self, caveat: &Caveat, reason: Reason) -> Refusal {
        Refusal { kind: caveat.kind(), reason }
    }

    fn is_unspecified(refusal: &Refusal) -> bool {
        matches!(refusal.reason, Reason::Unspecified(_))
    }

    fn join(first: Refusal, _: Refusal) -> Refusal {
        first
    }

    fn action_within(&self, caveat: &Caveat, mask: u16) -> Result<(), Refusal> {
        if mask & self.action.bit() != 0 {
            Ok(())
        } else {
            Err(self.refuse(caveat, Reason::Action(self.action)))
        }
    }

    fn clears(&self, caveat: &Caveat) -> Result<(), Refusal> {
        let answer = match PetsemCaveat::of(caveat) {
            None => Err(Reason::NotForPetsem),
            Some(Err(_)) => Err(Reason::NotCanonical),
            Some(Ok(None)) => Err(Reason::UnknownCaveat),
            Some(Ok(Some(known))) => known.clears(self),
        };
        answer.map_err(|reason| self.refuse(caveat, reason))
    }
}

impl Request for DischargeRequest<'_> {
    type Refusal = Refusal;

    fn now(&self) -> Moment {
        self.access.now()
    }

    fn refuse(&self, caveat: &Caveat, reason: Reason) -> Refusal {
        self.access.refuse(caveat, reason)
    }

    fn is_unspecified(refusal: &Refusal) -> bool {
        Access::is_unspecified(refusal)
    }

    fn join(first: Refusal, second: Refusal) -> Refusal {
        Access::join(first, second)
    }

    fn action_within(&self, caveat: &Caveat, mask: u16) -> Result<(), Refusal> {
        self.access.action_within(caveat, mask)
    }

    fn clears(&self, caveat: &Caveat) -> Result<(), Refusal> {
        if let Caveat::MaxValidity(seconds) = caveat {
            let longest = i64::try_from(*seconds).unwrap_or(i64::MAX);
            let latest = self.access.now_unix_seconds.saturating_add(longest);
            return if self.expires_unix_seconds <= latest {
                Ok(())
            } else {
                Err(self.refuse(caveat, Reason::TooLong))
            };
        }
        match PetsemCaveat::of(caveat) {
            Some(Ok(Some(PetsemCaveat::SecondPerson(condition)))) => {
                if self.approved == Some(condition.request) {
                    Ok(())
                } else {
                    Err(self.refuse(caveat, Reason::NotApproved))
                }
            }
            Some(Ok(Some(
                PetsemCaveat::Organization(_)
                | PetsemCaveat::Apps(_)
                | PetsemCaveat::Actions(_)
                | PetsemCaveat::Machines(_)
                | PetsemCaveat::Hosts(_),
            )))
            // These refuse, and say why.
            | None
            | Some(Err(_) | Ok(None)) => self.access.clears(caveat),
            Some(Ok(Some(_))) => Err(self.refuse(caveat, Reason::UnknownCaveat)),
        }
    }
}

/// The answer of a caveat that names the only value allowed, or a list of them.
pub(crate) fn named<T: Copy>(
    resource: Resource,
    asked: Option<T>,
    allows: impl FnOnce(T) -> bool,
) -> Result<(), Reason> {
    match asked {
        None => Err(Reason::Unspecified(resource)),
        Some(asked) if allows(asked) => Ok(()),
        Some(_) => Err(Reason::Other(resource)),
    }
}
