//! A denial is data: which caveat, of which token, and why.

use std::fmt;

use crate::action::Action;
use crate::nonce::TokenId;

/// Where a caveat of a verified token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The token itself.
    Token,
    /// A discharge.
    Discharge {
        /// Which third-party caveat of the token it answers; 0 is the first.
        third_party: usize,
        /// The discharge.
        discharge: TokenId,
        /// Whether the discharge is a proof: then only its discharger wrote its caveats.
        proof: bool,
        /// The discharger. `Some` if the ticket opened under that trusted discharger's key and contained the
        /// discharge key that is sealed in the token.
        discharger: Option<[u8; 16]>,
    },
}

/// The caveat that refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeniedCaveat {
    /// Its index among the caveats of its token or discharge, from 0.
    pub index: usize,
    /// Its type. For a caveat inside `IfPresent`: the inner type, with the index of the outer caveat.
    pub kind: u64,
    /// Where it came from.
    pub origin: Origin,
}

impl fmt::Display for DeniedCaveat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "caveat {} (type {})", self.index, self.kind)?;
        match self.origin {
            Origin::Token => Ok(()),
            Origin::Discharge { third_party, discharge, .. } => {
                write!(out, " of discharge {discharge} for third-party caveat {third_party}")
            }
        }
    }
}

/// Why a verified token does not allow a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token {token}{}: {reason}", .caveat.map(|caveat| format!(", {caveat}")).unwrap_or_default())]
pub struct Denial {
    /// The permission token.
    pub token: TokenId,
    /// The caveat that refused; `None` if a required caveat is missing.
    pub caveat: Option<DeniedCaveat>,
    /// Why.
    pub reason: Reason,
}

/// The condition of a ticket that refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ticket, condition {index} (type {kind}): {reason}")]
pub struct TicketDenial {
    /// Its index in the ticket, from 0.
    pub index: usize,
    /// Its type.
    pub kind: u64,
    /// Why.
    pub reason: Reason,
}

/// Why a caveat or token refuses. Clients may match on [`Self::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The token has expired.
    #[error("it has expired; get a new one")]
    Expired,
    /// The token is not valid yet.
    #[error("it is not valid yet; check the clocks, or wait")]
    NotYetValid,
    /// A bound of a validity window is out of range.
    #[error("its validity window is out of range; use a time that a calendar can represent")]
    TimeOutOfRange,
    /// The caveat restricts a resource that the request does not name.
    #[error("it is limited to one {0}, and the request names none; name one")]
    Unspecified(Resource),
    /// The request names a resource that the caveat does not allow.
    #[error("it does not allow this {0}; use a token that does")]
    Other(Resource),
    /// The mask does not contain the action.
    #[error("it does not allow {0}; use a token that does")]
    Action(Action),
    /// A caveat type that petsem does not know, or does not accept in this place.
    #[error("petsem does not know this caveat in this place; use a token without it")]
    UnknownCaveat,
    /// One of Fly's types, which petsem does not clear.
    #[error("petsem cannot check this caveat; use a token without it")]
    NotForPetsem,
    /// The body of a petsem caveat is not in canonical form.
    #[error("the caveat is not in canonical form; write caveats with `petsem token attenuate`")]
    NotCanonical,
    /// The token is limited to the installation, and the request names a resource of an app.
    #[error("it is for operating the installation, and the request names one {0}; use a token for the app")]
    OperatorOnly(Resource),
    /// A caveat that has a meaning only elsewhere: a grant outside a trusted discharge of the first
    /// third-party caveat; a label, attestation, binding or third-party caveat inside `IfPresent`.
    #[error("the caveat has no meaning in this place; use a token without it")]
    Misplaced,
    /// The token names two different subjects.
    #[error("it names two different subjects; use a token with one subject")]
    SecondSubject,
    /// Reading values requires a token minted for one app, or a trusted discharge.
    #[error(
        "reading values requires a token minted for one app (Apps first), a boot or a workload's JWT; use one of these"
    )]
    ReadNeedsOneApp,
    /// A boot requires a boot grant.
    #[error("the boot grant is missing; get a discharge for this boot")]
    GrantMissing,
    /// There is more than one boot grant.
    #[error("there is more than one boot grant; get one discharge for this boot")]
    GrantRepeated,
    /// The boot grant names another resource than the request.
    #[error("the boot grant is for another {0}; get a discharge for this one")]
    GrantOther(Resource),
    /// The boot grant has expired.
    #[error("the boot grant has expired; get a new discharge")]
    GrantExpired,
    /// A break-glass read requires a grant.
    #[error("the break-glass grant is missing; let a second person approve the request")]
    BreakGlassMissing,
    /// There is more than one break-glass grant.
    #[error("there is more than one break-glass grant; get one discharge for this request")]
    BreakGlassRepeated,
    /// The break-glass grant names another resource than the request.
    #[error("the break-glass grant is for another {0}; request one for this {0}")]
    BreakGlassOther(Resource),
    /// The break-glass grant has expired.
    #[error("the break-glass grant has expired; request a new one")]
    BreakGlassExpired,
    /// The break-glass grant expires more than an hour from now.
    #[error("the break-glass grant lasts more than an hour; request a shorter one")]
    BreakGlassTooLong,
    /// A second person has not approved the request that the ticket names.
    #[error("no second person has approved the request; ask one to run `petsem approve`")]
    NotApproved,
    /// The discharge would live longer than its ticket allows.
    #[error("the ticket allows only a shorter lifetime; request that")]
    TooLong,
    /// The token is not limited to exactly the requested resource.
    #[error("it is not limited to exactly this {0}; narrow it with `petsem token attenuate`")]
    NotExactly(Resource),
    /// The token is not limited to exactly the requested action.
    #[error("it allows more than {0}; narrow it with `petsem token attenuate`")]
    NotExactlyAction(Action),
    /// The token does not expire soon enough.
    #[error("it expires later than five minutes from now; narrow it with `petsem token attenuate`")]
    EndsTooLate,
}

impl Reason {
    /// The machine-readable code. It never changes.
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

/// What caveats restrict.
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
    /// The client's address.
    Peer,
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
