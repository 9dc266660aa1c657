//! What a token says of itself. Nothing is verified: only the server can tell whether it is genuine and in force.

use petsem_api::{AppId, OrgId};
use petsem_policy::{Access, Action, Caveat, Header, PetsemCaveat, Reason, UnverifiedToken};
use serde::Serialize;

use crate::messages;

/// A token, in words and ids; never the token.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HeldToken {
    /// Its id: what `petsem token revoke` takes.
    pub(crate) id: String,
    pub(crate) kind: HeldKind,
    /// The person or service that it was minted for.
    pub(crate) holder: Option<String>,
    pub(crate) org: Option<OrgId>,
    /// The apps that it is limited to; `None` if it is not.
    pub(crate) apps: Option<Vec<AppId>>,
    /// The hosts that it is limited to; `None` if it is not.
    pub(crate) hosts: Option<Vec<String>>,
    /// RFC 3339; `None` if it does not expire.
    pub(crate) expires_at: Option<String>,
    pub(crate) expired: bool,
    /// The actions that it allows, some only on the resources that its caveats name.
    pub(crate) may: Vec<&'static str>,
    pub(crate) caveats: Vec<String>,
    /// The dischargers that it needs a discharge from, and has none.
    pub(crate) undischarged: Vec<String>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HeldKind {
    /// For the whole installation.
    Operator,
    /// For an org, or some of its apps.
    Org,
    /// A host's: it boots Machines with discharges.
    Host,
    /// For reading one app's values, which another person approves.
    BreakGlass,
    /// Exchanged for a workload's JWT.
    Exchanged,
}

/// The tokens of a header value that are not discharges of others; `None` if there is anything else in it.
pub(crate) fn held(text: &str, now: i64) -> Option<Vec<HeldToken>> {
    // The location of the first token tells which tokens are permissions; the others are their discharges.
    let unsorted = Header::parse(text, "").ok()?;
    let first = unsorted.elements().iter().find_map(|element| element.token())?;
    let header = Header::parse(text, first.location()).ok()?;
    let discharges = header.discharges();
    Some(header.permissions().map(|token| describe(token, &discharges, now)).collect())
}

fn describe(token: &UnverifiedToken, discharges: &[&UnverifiedToken], now: i64) -> HeldToken {
    let petsems = || token.caveats().iter().filter_map(|caveat| PetsemCaveat::of(caveat)?.ok()?);
    let (mut holder, mut org, mut apps, mut hosts) = (None, None, None, None);
    let mut exchanged = false;
    for caveat in petsems() {
        match caveat {
            PetsemCaveat::Subject(subject) => holder = Some(format!("{} ({})", subject.sub, subject.issuer)),
            PetsemCaveat::Organization(only) => org = Some(OrgId::from_bytes(only.org)),
            // Caveats of one type restrict each other: the last one is the narrowest that a holder added.
            PetsemCaveat::Apps(only) => {
                apps = Some(only.ids().iter().copied().map(AppId::from_bytes).collect());
            }
            PetsemCaveat::Hosts(only) => hosts = Some(only.ids().to_vec()),
            PetsemCaveat::Exchanged(workload) => {
                exchanged = true;
                holder = Some(format!("{} ({})", workload.sub, workload.issuer));
            }
            _ => {}
        }
    }
    let needs_discharge = !token.undischarged(&[]).is_empty();
    let may: Vec<Action> =
        Action::ALL.into_iter().filter(|action| allows(token, discharges, *action, now)).collect();
    let kind = match (exchanged, needs_discharge) {
        (true, _) => HeldKind::Exchanged,
        (false, true) if hosts.is_some() => HeldKind::Host,
        (false, true) => HeldKind::BreakGlass,
        (false, false) if org.is_some() || apps.is_some() => HeldKind::Org,
        (false, false) => HeldKind::Operator,
    };
    let end = token.expires_at();
    HeldToken {
        id: token.id().to_string(),
        kind,
        holder,
        org,
        apps,
        hosts,
        expires_at: end.map(messages::time_text),
        expired: end.is_some_and(|end| end < now),
        // The server lets no operator use secret keys, whatever the token says.
        may: may
            .into_iter()
            .filter(|action| kind != HeldKind::Operator || *action != Action::UseKey)
            .map(Action::name)
            .collect(),
        caveats: token.caveats().iter().map(Caveat::describe).collect(),
        undischarged: token.undischarged(discharges).iter().map(|(at, _)| (*at).to_owned()).collect(),
    }
}

/// Whether it allows this action on what it is for: what it lacks, at most, is the name of a resource, or a discharge.
fn allows(token: &UnverifiedToken, discharges: &[&UnverifiedToken], action: Action, now: i64) -> bool {
    let mut access = Access::new(action, now, 0);
    for caveat in token.caveats() {
        match PetsemCaveat::of(caveat) {
            Some(Ok(Some(PetsemCaveat::Organization(only)))) => access.org = Some(only.org),
            Some(Ok(Some(PetsemCaveat::Apps(only)))) => access.app = only.ids().first().copied(),
            _ => {}
        }
    }
    token.danger_denials(discharges, &access).iter().all(|denial| {
        matches!(denial.reason, Reason::Unspecified(_) | Reason::GrantMissing | Reason::BreakGlassMissing)
    })
}

#[cfg(test)]
mod tests {
    use petsem_policy::{ActionSet, Actions, Apps, Macaroon, MacaroonKey, Operator, Organization, Subject};

    use super::*;

    fn token(caveats: impl IntoIterator<Item = Caveat>) -> String {
        let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
        let key = MacaroonKey::new(&[7; 32]);
        let mut macaroon = Macaroon::mint(&key, b"kid", "https://petsem.example", false, rng);
        macaroon.add(caveats).unwrap();
        macaroon.to_text().to_string()
    }

    fn subject() -> Caveat {
        Subject { issuer: "petsem".to_owned(), sub: "kim".to_owned() }.into()
    }

    #[test]
    fn an_operators_token_is_for_the_installation_and_uses_no_keys() {
        let all = held(&token([subject(), Operator.into()]), 0).unwrap();
        let [held] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((held.kind, held.holder.as_deref()), (HeldKind::Operator, Some("kim (petsem)")));
        assert_eq!(held.may, ["list", "enroll", "mint", "operate"]);
        assert_eq!((held.org, &held.apps, &held.expires_at), (None, &None, &None));
    }

    #[test]
    fn a_token_of_an_app_allows_what_its_caveats_leave() {
        let only = Actions([Action::List, Action::Write, Action::Boot].into_iter().collect::<ActionSet>());
        let window = Caveat::ValidityWindow { not_before: 0, not_after: 1000 };
        let caveats =
            [Organization { org: [1; 16] }.into(), Apps::new([[2; 16]]).into(), only.into(), window];
        let text = token(caveats);
        let held_at = |now| held(&text, now).unwrap().remove(0);
        let held = held_at(1000);
        assert_eq!((held.kind, held.org), (HeldKind::Org, Some(OrgId::from_bytes([1; 16]))));
        assert_eq!(held.apps, Some(vec![AppId::from_bytes([2; 16])]));
        assert_eq!(held.may, ["write", "list", "boot"]);
        assert_eq!((held.expires_at.as_deref(), held.expired), (Some("1970-01-01T00:16:40Z"), false));
        let late = held_at(1001);
        assert_eq!((late.may, late.expired), (Vec::new(), true));
    }

    #[test]
    fn a_header_without_a_token_is_none() {
        assert_eq!(held("eyJhbGciOiJFUzI1NiJ9.e30.AA", 0), None);
        assert_eq!(held("", 0), None);
    }
}
