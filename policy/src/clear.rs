//! Asking caveats about a request: what all kinds of request have in common (macaroon-format §7).

use crate::caveat::{Caveat, IfPresent};
use crate::denial::Reason;

/// Bounds above this wrap in the format's first implementation; here they refuse (macaroon-format 12.7).
const LARGEST_TIME: i64 = i64::MAX - 62_135_596_800;

/// A point in time. Ordered as time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Unix seconds.
    pub(crate) seconds: i64,
    /// Nanoseconds into the second.
    pub(crate) nanos: u32,
}

/// A kind of request: what it knows, and which caveats it can answer.
pub(crate) trait Request {
    /// Why a caveat refused, in the terms of this kind of request.
    type Refusal;

    fn now(&self) -> Moment;

    fn refuse(&self, caveat: &Caveat, reason: Reason) -> Self::Refusal;

    /// Whether the caveat talks about a resource that the request does not name.
    fn is_unspecified(refusal: &Self::Refusal) -> bool;

    fn join(first: Self::Refusal, second: Self::Refusal) -> Self::Refusal;

    fn action_within(&self, caveat: &Caveat, mask: u16) -> Result<(), Self::Refusal>;

    /// Answers every caveat that [`clear_caveat`] does not.
    fn clears(&self, caveat: &Caveat) -> Result<(), Self::Refusal>;
}

/// Asks one caveat. Nested sets are at most 16 deep: the reader has seen to that.
pub(crate) fn clear_caveat<R: Request>(request: &R, caveat: &Caveat) -> Result<(), R::Refusal> {
    match caveat {
        Caveat::ValidityWindow { not_before, not_after } => {
            within(request.now(), *not_before, *not_after).map_err(|reason| request.refuse(caveat, reason))
        }
        Caveat::IfPresent(inner) => if_present(request, caveat, inner),
        // At top level verification has dealt with these; nested ones mean nothing and refuse.
        Caveat::ThirdParty(_) | Caveat::BindToParent(_) => Err(request.refuse(caveat, Reason::Misplaced)),
        attestation if attestation.is_attestation() => Err(request.refuse(caveat, Reason::Misplaced)),
        other => request.clears(other),
    }
}

/// Both ends are inclusive, to the nanosecond.
fn within(now: Moment, not_before: i64, not_after: i64) -> Result<(), Reason> {
    if not_before > LARGEST_TIME || not_after > LARGEST_TIME {
        Err(Reason::TimeOutOfRange)
    } else if now > (Moment { seconds: not_after, nanos: 0 }) {
        Err(Reason::Expired)
    } else if now < (Moment { seconds: not_before, nanos: 0 }) {
        Err(Reason::NotYetValid)
    } else {
        Ok(())
    }
}

/// Conditions about what the request does not name are set aside; if all are, the mask decides.
fn if_present<R: Request>(request: &R, caveat: &Caveat, inner: &IfPresent) -> Result<(), R::Refusal> {
    let mut relevant = false;
    let mut refused = None;
    for condition in inner.ifs.as_slice() {
        match clear_caveat(request, condition) {
            Ok(()) => relevant = true,
            Err(refusal) if R::is_unspecified(&refusal) => {}
            Err(refusal) => {
                relevant = true;
                refused = Some(match refused {
                    None => refusal,
                    Some(first) => R::join(first, refusal),
                });
            }
        }
    }
    match refused {
        Some(refusal) => Err(refusal),
        None if relevant => Ok(()),
        None => request.action_within(caveat, inner.otherwise),
    }
}
