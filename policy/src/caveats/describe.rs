//! What every caveat means, as text for people.

use super::{PetsemCaveat, rfc3339};
use crate::caveat::Caveat;

impl Caveat {
    /// What the caveat means, as text for people. It contains no tickets and no keys.
    pub fn describe(&self) -> String {
        match PetsemCaveat::of(self) {
            Some(Ok(Some(known))) => return known.describe(),
            Some(Ok(None)) => {
                return format!("petsem type {}, not assigned: refuses everything", self.kind());
            }
            Some(Err(_)) => {
                return format!("petsem type {}, malformed: refuses everything", self.kind());
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
                    "if the request names what they restrict: {}; otherwise action bits {:#x}",
                    inside.join("; "),
                    inner.otherwise
                )
            }
            Self::MaxValidity(seconds) => format!("discharges live at most {seconds} s"),
            Self::Unregistered(_) => format!("type {}, unknown: refuses everything", self.kind()),
            fly => format!("Fly type {} (petsem does not clear it): {fly:?}", fly.kind()),
        }
    }
}

fn validity(not_before: i64, not_after: i64) -> String {
    match not_before {
        ..=0 => format!("only until {}", rfc3339(not_after)),
        _ => format!("only from {} until {}", rfc3339(not_before), rfc3339(not_after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caveats::{BootGrant, BreakGlass, Exchanged};

    #[test]
    fn times_are_described_in_rfc_3339() {
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
            BootGrant { org, app, machine: text(), host: text(), expires, provenance: text() }.into(),
            BreakGlass { org, app, expires, request, requester: text(), approver: "y".to_owned() }.into(),
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
