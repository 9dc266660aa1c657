//! What people read: fact, then hint. All such text of this crate stands here.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::caveat::Caveat;
use crate::caveats::{NetworkError, PetsemCaveat};
use crate::denial::{Denial, Origin, Reason};
use crate::header::HeaderError;
use crate::inherit::InheritError;
use crate::macaroon::AddError;
use crate::msgpack::DecodeError;
use crate::ticket::{TicketDenial, TicketError};
use crate::unverified::TextError;
use crate::verify::{DischargeRejection, VerifyError};

pub(crate) const OPEN_ERROR: &str =
    "the sealed text does not open; use the key that is shared with whoever sealed it";

pub(crate) fn decode_error(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Truncated => "the token ends in the middle; copy it whole",
        DecodeError::TrailingBytes => "there are bytes behind the end of the token; copy it alone",
        DecodeError::WrongType => "a field has the wrong msgpack type; get the token from its maker again",
        DecodeError::NotCanonical => {
            "a value is not in its canonical form; write tokens with petsem or flyctl"
        }
        DecodeError::OutOfRange => {
            "a number or text is larger than its field; get the token from its maker again"
        }
        DecodeError::FieldCount => {
            "a struct has the wrong number of fields; get the token from its maker again"
        }
        DecodeError::OddCaveatSet => {
            "a caveat set has a type without a body; get the token from its maker again"
        }
        DecodeError::NotUtf8 => "a text is not UTF-8; get the token from its maker again",
        DecodeError::NilBody => "an unknown caveat has no body; give it one",
        DecodeError::MapKey => "a map has a container as key; use text or numbers as keys",
        DecodeError::ForbiddenValue => "a value of a kind that tokens may not hold; leave it out",
        DecodeError::TooDeep => "values nest too deep; nest IfPresent at most 16 deep, other bodies 32",
        DecodeError::TooLong => "the token is longer than 64 KiB; mint a new token instead of narrowing on",
        DecodeError::TooManyCaveats => "more than 512 caveats; mint a new token instead of narrowing on",
    }
}

pub(crate) fn text_error(error: TextError) -> &'static str {
    match error {
        TextError::NotAToken => "this is no token; tokens begin with fm2_",
        TextError::Base64 => "the token is not standard base64 with padding; copy it whole",
        TextError::Content(_) => "the token does not decode; copy it whole, or get it from its maker again",
    }
}

pub(crate) fn header_error(error: HeaderError) -> &'static str {
    match error {
        HeaderError::TooLong => "the tokens are longer than 64 KiB; send only those that the request needs",
        HeaderError::TooManyTokens => "more than 128 tokens; send only those that the request needs",
    }
}

pub(crate) fn ticket_error(error: TicketError) -> &'static str {
    match error {
        TicketError::Open(_) => "the ticket does not open; it was made for another discharger, or changed",
        TicketError::Content(_) => "the ticket opened, and holds no ticket; make a new token",
        TicketError::KeyLength => "the discharge key in the ticket has not 32 bytes; make a new token",
    }
}

pub(crate) fn add_error(error: AddError) -> &'static str {
    match error {
        AddError::Finalized => "nothing can be added to a proof; ask its maker for a narrower one",
        AddError::AttestationOutsideProof => "only a proof can say who someone is; leave the attestation out",
        AddError::ThirdParty => "a third-party caveat needs a new ticket; add it by location and key",
        AddError::LocationTwice => "the token has a third-party caveat for that location; one is enough",
        AddError::TooManyCaveats => "a token holds at most 512 caveats; mint a new one",
        AddError::Tail => "the token is broken; get it from its maker again",
    }
}

pub(crate) fn inherit_error(error: InheritError) -> &'static str {
    match error {
        InheritError::ThirdParty => {
            "a token with a third-party caveat cannot mint; mint with the token that it was narrowed from"
        }
        InheritError::Attestation => "a proof about a person cannot mint; mint with a petsem token",
        InheritError::TooManyAncestors => "a token has at most 32 ancestors; mint with one of this token's",
    }
}

pub(crate) fn network_error(error: NetworkError) -> &'static str {
    match error {
        NetworkError::Text => "this is no network; write it like 10.0.0.0/8 or 2001:db8::/32",
        NetworkError::Length => "the length is more than the address has bits; IPv4 has 32, IPv6 has 128",
        NetworkError::HostBits => {
            "the address has bits set behind the length; set them to zero, or raise the length"
        }
        NetworkError::TooMany => "a caveat names at most 256 networks; join neighbours to shorter prefixes",
    }
}

pub(crate) fn verify_error(error: VerifyError, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        VerifyError::Signature => {
            out.write_str("the token was not signed here, or was changed; ask for a new one")
        }
        VerifyError::Binding => out
            .write_str("the token is bound to another one; send it together with that one, as its discharge"),
        VerifyError::AttestationOutsideProof => {
            out.write_str("the token claims an identity that it cannot prove; remove that caveat")
        }
        VerifyError::NoDischarge { third_party } => write!(
            out,
            "the discharge for third-party caveat {third_party} is missing; get one from its location and send both"
        ),
        VerifyError::VerifierKey { third_party } => {
            write!(out, "third-party caveat {third_party} is broken; use the token without it")
        }
        VerifyError::DischargeRejected { third_party, reason } => {
            write!(out, "no discharge for third-party caveat {third_party} is good: {reason}; get a new one")
        }
    }
}

pub(crate) fn discharge_rejection(reason: DischargeRejection) -> &'static str {
    match reason {
        DischargeRejection::Signature => "it was made with another key, or changed",
        DischargeRejection::TicketContent => "its ticket holds no ticket",
        DischargeRejection::OtherKey => "its ticket was made for another token",
        DischargeRejection::ThirdParty => "it asks for a discharge itself",
        DischargeRejection::Binding => "it is bound to another token",
        DischargeRejection::AttestationOutsideProof => "it claims an identity that it cannot prove",
        DischargeRejection::TooMuchWork => "there are too many to try",
    }
}

pub(crate) fn denial(denial: &Denial, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "token {}", denial.token)?;
    if let Some(caveat) = denial.caveat {
        write!(out, ", caveat {} (type {})", caveat.index, caveat.kind)?;
        if let Origin::Discharge { third_party, discharge, .. } = caveat.origin {
            write!(out, " of discharge {discharge} for third-party caveat {third_party}")?;
        }
    }
    out.write_str(": ")?;
    reason(denial.reason, out)
}

pub(crate) fn ticket_denial(denial: &TicketDenial, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "ticket, condition {} (type {}): ", denial.index, denial.kind)?;
    reason(denial.reason, out)
}

pub(crate) fn reason(reason: Reason, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        Reason::Expired => out.write_str("its time is over; get a new one"),
        Reason::NotYetValid => out.write_str("its time has not come; check the clocks, or wait"),
        Reason::TimeOutOfRange => out.write_str("its time is out of range; give a time that a calendar has"),
        Reason::Unspecified(resource) => {
            write!(out, "it is limited to one {resource}, and the request names none; ask for one")
        }
        Reason::Other(resource) => write!(out, "it does not allow this {resource}; use a token that does"),
        Reason::Action(action) => write!(out, "it does not allow {action}; use a token that does"),
        Reason::UnknownCaveat => out.write_str("petsem does not know this condition here; use a token without it"),
        Reason::NotForPetsem => out.write_str("petsem cannot check this condition; use a token without it"),
        Reason::NotCanonical => out.write_str("the condition is malformed; narrow the token with `petsem token attenuate`"),
        Reason::Misplaced => out.write_str("the condition means nothing in this place; use a token without it"),
        Reason::SecondSubject => out.write_str("it names two holders; use a token of one"),
        Reason::ReadNeedsOneApp => out.write_str(
            "no token for more than one app reads values; use one made for this app (Apps first), a boot or a workload's JWT",
        ),
        Reason::GrantMissing => out.write_str("there is no boot grant; get a discharge for this boot"),
        Reason::GrantRepeated => out.write_str("there is more than one boot grant; get one discharge for this boot"),
        Reason::GrantOther(resource) => {
            write!(out, "the boot grant is for another {resource}; get a discharge for this one")
        }
        Reason::GrantExpired => out.write_str("the boot grant is over; get a new discharge"),
        Reason::OperatorOnly(resource) => write!(
            out,
            "it is for operating the installation, and the request names one {resource}; use a token for the app"
        ),
        Reason::BreakGlassMissing => {
            out.write_str("there is no break-glass grant; let a second person approve the request")
        }
        Reason::BreakGlassRepeated => {
            out.write_str("there is more than one break-glass grant; get one discharge for this request")
        }
        Reason::BreakGlassOther(resource) => {
            write!(out, "the break-glass grant is for another {resource}; ask for one for this")
        }
        Reason::BreakGlassExpired => out.write_str("the break-glass grant is over; ask for a new one"),
        Reason::BreakGlassTooLong => {
            out.write_str("the break-glass grant would last more than an hour; ask for a shorter one")
        }
        Reason::NotApproved => {
            out.write_str("no second person has approved the request; ask one to, with `petsem approve`")
        }
        Reason::TooLong => out.write_str("the ticket allows a shorter life only; ask for that"),
        Reason::NotExactly(resource) => {
            write!(out, "it does not name exactly this {resource}; narrow it with `petsem token attenuate`")
        }
        Reason::NotExactlyAction(action) => {
            write!(out, "it allows more than {action}; narrow it with `petsem token attenuate`")
        }
        Reason::EndsTooLate => {
            out.write_str("it ends later than five minutes from now; narrow it with `petsem token attenuate`")
        }
    }
}

fn validity(not_before: i64, not_after: i64) -> String {
    match not_before {
        ..=0 => format!("only until {}", rfc3339(not_after)),
        _ => format!("only from {} until {}", rfc3339(not_before), rfc3339(not_after)),
    }
}

/// UTC as RFC 3339; the number itself where it is beyond the calendar.
pub(crate) fn rfc3339(unix_seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("unix second {unix_seconds}"))
}

impl Caveat {
    /// What the caveat means, for a person. No secrets: of tickets and keys only that they are there.
    pub fn describe(&self) -> String {
        match PetsemCaveat::of(self) {
            Some(Ok(Some(known))) => return known.describe(),
            Some(Ok(None)) => {
                return format!("type {} of petsem's, not assigned: refuses everything", self.kind());
            }
            Some(Err(_)) => {
                return format!("type {} of petsem's, malformed: refuses everything", self.kind());
            }
            None => {}
        }
        match self {
            Self::ValidityWindow { not_before, not_after } => validity(*not_before, *not_after),
            Self::ThirdParty(third_party) => format!("only with a discharge from {}", third_party.location),
            Self::BindToParent(_) => "only together with the token that it is bound to".to_owned(),
            Self::IfPresent(inner) => {
                let inside: Vec<_> = inner.ifs.as_slice().iter().map(Self::describe).collect();
                format!(
                    "if the request names what they are about: {}; else action bits {:#x}",
                    inside.join("; "),
                    inner.otherwise
                )
            }
            Self::MaxValidity(seconds) => format!("discharges live at most {seconds} s"),
            Self::Unregistered(_) => format!("type {}, unknown: refuses everything", self.kind()),
            fly => format!("Fly's type {} (petsem does not clear it): {fly:?}", fly.kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caveats::{BootGrant, BreakGlass, Exchanged};

    #[test]
    fn times_are_described_in_utc_as_people_write_them() {
        let window = |not_before, not_after| Caveat::ValidityWindow { not_before, not_after }.describe();
        assert_eq!(
            window(1_795_647_122, 1_827_269_552),
            "only from 2026-11-25T22:52:02Z until 2027-11-26T22:52:32Z"
        );
        assert_eq!(window(0, 1_827_269_552), "only until 2027-11-26T22:52:32Z");
        assert_eq!(window(0, i64::MAX), "only until unix second 9223372036854775807");

        let expires = 1_827_269_552;
        let (org, app, request) = ([1; 16], [2; 16], [3; 16]);
        let text = || "x".to_owned();
        let grants: [Caveat; 3] = [
            BootGrant { org, app, machine: text(), host: text(), expires, asker: text() }.into(),
            BreakGlass { org, app, expires, request, asker: text(), approver: "y".to_owned() }.into(),
            Exchanged {
                issuer: text(),
                sub: text(),
                jti: text(),
                rule: text(),
                claims: text(),
                issued: 0,
                expires,
            }
            .into(),
        ];
        for grant in grants {
            let described = grant.describe();
            assert!(described.contains("until 2027-11-26T22:52:32Z"), "{described}");
        }
    }
}
