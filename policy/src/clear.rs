//! Evaluating caveats against a request (macaroon-format §7).

use crate::access::{Access, DischargeRequest};
use crate::action::ActionSet;
use crate::caveat::{Caveat, IfPresent};
use crate::caveats::PetsemCaveat;
use crate::text::Reason;

/// Later bounds overflow in the format's first implementation; here they refuse (macaroon-format 12.7).
const LARGEST_TIME: i64 = i64::MAX - 62_135_596_800;

/// The caveat that refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The type of the caveat; inside `IfPresent`, of the inner one.
    pub(crate) kind: u64,
    pub(crate) reason: Reason,
}

/// A kind of request. Kinds differ in the caveats that they understand.
pub(crate) trait Request {
    fn access(&self) -> &Access<'_>;

    /// Evaluates every caveat that [`clear_caveat`] does not.
    fn clear_other(&self, caveat: &Caveat) -> Result<(), Reason>;
}

/// Evaluates one caveat. The reader has limited the nesting to 16.
pub(crate) fn clear_caveat(request: &impl Request, caveat: &Caveat) -> Result<(), Refusal> {
    let answer = match caveat {
        Caveat::ValidityWindow { not_before, not_after } => {
            clear_window(request.access(), *not_before, *not_after)
        }
        Caveat::IfPresent(inner) => {
            let allowed = if_present_allows(request, inner)?;
            if allowed { Ok(()) } else { Err(Reason::Action(request.access().action)) }
        }
        // Verification has handled those at the top level; nested ones have no meaning.
        Caveat::ThirdParty(_) | Caveat::BindToParent(_) => Err(Reason::Misplaced),
        attestation if attestation.is_attestation() => Err(Reason::Misplaced),
        other => request.clear_other(other),
    };
    answer.map_err(|reason| Refusal { kind: caveat.kind(), reason })
}

/// Both ends are inclusive, to the nanosecond.
fn clear_window(access: &Access<'_>, not_before: i64, not_after: i64) -> Result<(), Reason> {
    if not_before > LARGEST_TIME || not_after > LARGEST_TIME {
        Err(Reason::TimeOutOfRange)
    } else if access.is_after(not_after) {
        Err(Reason::Expired)
    } else if access.now_unix_seconds < not_before {
        Err(Reason::NotYetValid)
    } else {
        Ok(())
    }
}

/// Conditions on resources that the request does not name are skipped; if all are, the mask decides.
fn if_present_allows(request: &impl Request, inner: &IfPresent) -> Result<bool, Refusal> {
    let mut is_relevant = false;
    for condition in inner.ifs.as_slice() {
        match clear_caveat(request, condition) {
            Err(Refusal { reason: Reason::Unspecified(_), .. }) => {}
            answer => {
                answer?;
                is_relevant = true;
            }
        }
    }
    Ok(is_relevant || ActionSet::from_bits(inner.otherwise).contains(request.access().action))
}

impl Request for Access<'_> {
    fn access(&self) -> &Access<'_> {
        self
    }

    fn clear_other(&self, caveat: &Caveat) -> Result<(), Reason> {
        match PetsemCaveat::of(caveat) {
            None => Err(Reason::NotForPetsem),
            Some(Err(_)) => Err(Reason::NotCanonical),
            Some(Ok(None)) => Err(Reason::UnknownCaveat),
            Some(Ok(Some(known))) => known.clears(self),
        }
    }
}

impl Request for DischargeRequest<'_> {
    fn access(&self) -> &Access<'_> {
        &self.access
    }

    fn clear_other(&self, caveat: &Caveat) -> Result<(), Reason> {
        if let Caveat::MaxValidity(seconds) = caveat {
            let longest = i64::try_from(*seconds).unwrap_or(i64::MAX);
            let latest = self.access.now_unix_seconds.saturating_add(longest);
            return if self.expires_unix_seconds <= latest { Ok(()) } else { Err(Reason::TooLong) };
        }
        match PetsemCaveat::of(caveat) {
            Some(Ok(Some(PetsemCaveat::SecondPerson(condition)))) => {
                if self.approved == Some(condition.request) { Ok(()) } else { Err(Reason::NotApproved) }
            }
            Some(Ok(Some(
                PetsemCaveat::Organization(_)
                | PetsemCaveat::Apps(_)
                | PetsemCaveat::Actions(_)
                | PetsemCaveat::Machines(_)
                | PetsemCaveat::Hosts(_),
            )))
            // These refuse, with their own reason.
            | None
            | Some(Err(_) | Ok(None)) => self.access.clear_other(caveat),
            Some(Ok(Some(_))) => Err(Reason::UnknownCaveat),
        }
    }
}
