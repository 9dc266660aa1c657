//! A denial is data: which caveat, of which token, and why.

use std::fmt;

use crate::action::Action;
use crate::nonce::TokenId;

/// Where a caveat of a verified token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the token itself.
    Token,
    /// It stands in a discharge.
    Discharge {
        /// Which third-party caveat of the token it answers; 0 is the first.
        third_party: usize,
        /// The discharge.
        discharge: TokenId,
        /// Whether the discharge is a proof, so that only its maker wrote its caveats.
        proof: bool,
        /// Who made it: `Some` when its ticket opened under that trusted discharger's key and held the very
        /// discharge key that the token was given.
        discharger: Option<[u8; 16]>,
    },
}

/// The caveat that refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeniedCaveat {
    /// Its place among the caveats of the token or discharge that it stands in, from 0.
    pub index: usize,
    /// Its type; of a caveat inside `IfPresent`, the inner one's, with the place of the outer one.
    pub kind: u64,
    /// Where it came from.
    pub origin: Origin,
}

/// Why a verified token does not allow a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// The permission token.
    pub token: TokenId,
    /// The caveat that refused; `None` when one was missing.
    pub caveat: Option<DeniedCaveat>,
    /// Why.
    pub reason: Reason,
}

/// Why, stable: clients may match on [`Self::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The token's time is over.
    Expired,
    /// The token's time has not come.
    NotYetValid,
    /// A bound of a validity window is beyond all calendars.
    TimeOutOfRange,
    /// The caveat is about a resource that the request does not name.
    Unspecified(Resource),
    /// The request names another one than the caveat.
    Other(Resource),
    /// The action is not in the mask.
    Action(Action),
    /// A type that petsem does not know, or not in this place.
    UnknownCaveat,
    /// One of Fly's types, which petsem does not clear.
    NotForPetsem,
    /// The body of a petsem caveat is not its canonical form.
    NotCanonical,
    /// The token is for the installation, and the request names one thing of an app.
    OperatorOnly(Resource),
    /// A caveat that means something only elsewhere: a grant outside a trusted discharge of the first
    /// third-party caveat; a label, attestation, binding or third-party caveat inside `IfPresent`.
    Misplaced,
    /// The token names two different subjects.
    SecondSubject,
    /// Reading values asks for a token made for one app, or for a trusted discharge.
    ReadNeedsOneApp,
    /// A boot asks for a boot grant, and there is none.
    GrantMissing,
    /// There is more than one boot grant.
    GrantRepeated,
    /// The boot grant is for another one.
    GrantOther(Resource),
    /// The boot grant has ended.
    GrantExpired,
    /// A break-glass read asks for a grant, and there is none.
    BreakGlassMissing,
    /// There is more than one break-glass grant.
    BreakGlassRepeated,
    /// The break-glass grant is for another one.
    BreakGlassOther(Resource),
    /// The break-glass grant has ended.
    BreakGlassExpired,
    /// The break-glass grant ends more than an hour from now.
    BreakGlassTooLong,
    /// A second person has not approved the request that the ticket names.
    NotApproved,
    /// The discharge would live longer than its ticket allows.
    TooLong,
    /// The token does not name exactly the one that is asked for.
    NotExactly(Resource),
    /// The token does not allow exactly the action that is asked for.
    NotExactlyAction(Action),
    /// The token does not end soon enough.
    EndsTooLate,
}

impl Reason {
    /// A machine-readable word for it, forever the same.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::Unspecified(_) => "resource_unspecified",
            Self::Other(_) => "other_resource",
            Self::Action(_) => "action_not_allowed",
            Self::UnknownCaveat => "unknown_caveat",
            Self::NotForPetsem => "foreign_caveat",
            Self::NotCanonical => "caveat_not_canonical",
            Self::Misplaced => "caveat_misplaced",
            Self::SecondSubject => "second_subject",
            Self::ReadNeedsOneApp => "read_needs_one_app",
            Self::GrantMissing => "boot_grant_missing",
            Self::GrantRepeated => "boot_grant_repeated",
            Self::GrantOther(_) => "boot_grant_for_another",
            Self::GrantExpired => "boot_grant_expired",
            Self::OperatorOnly(_) => "operator_only",
            Self::BreakGlassMissing => "break_glass_missing",
            Self::BreakGlassRepeated => "break_glass_repeated",
            Self::BreakGlassOther(_) => "break_glass_for_another",
            Self::BreakGlassExpired => "break_glass_expired",
            Self::BreakGlassTooLong => "break_glass_too_long",
            Self::NotApproved => "not_approved",
            Self::TooLong => "discharge_too_long",
            Self::NotExactly(_) => "not_narrow_enough",
            Self::NotExactlyAction(_) => "not_narrow_enough",
            Self::EndsTooLate => "ends_too_late",
        }
    }
}

/// What caveats talk about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// An org, by id.
    Organization,
    /// An app, by id.
    App,
    /// A secret, by name.
    Secret,
    /// A Machine.
    Machine,
    /// A host.
    Host,
    /// A secret key, by label.
    SecretKey,
    /// The address that asks.
    Peer,
}

impl fmt::Display for Denial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::text::denial(self, out)
    }
}

impl std::error::Error for Denial {}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::text::reason(*self, out)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Organization => "org",
            Self::App => "app",
            Self::Secret => "secret",
            Self::Machine => "Machine",
            Self::Host => "host",
            Self::SecretKey => "secret key",
            Self::Peer => "peer address",
        })
    }
}
