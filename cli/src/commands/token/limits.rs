//! What the caveats of a new token come to together: nothing at all, or an earlier end than asked for. Neither is an
//! error, since a caveat only narrows, but whoever made the token must hear of it.

use petsem_policy::{Action, ActionSet, Caveat, PetsemCaveat, SecretNames, UnverifiedToken};

use crate::messages;

/// How much earlier than asked for a token may end without a note, in seconds: the clocks of two machines differ.
const TOLERANCE: i64 = 60;

/// What to say about a token that was asked to end at `wanted_end`, in Unix seconds.
pub(super) fn notes(token: &UnverifiedToken, wanted_end: Option<i64>, now: i64) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(what) = conflict(token.caveats()) {
        notes.push(messages::token_allows_nothing(what));
    }
    if reads_nothing(token.caveats()) {
        notes.push(messages::TOKEN_READS_NOTHING.to_owned());
    }
    match (token.expires_at(), wanted_end) {
        (Some(end), _) if end < now => notes.push(messages::token_already_expired(end)),
        (Some(end), Some(wanted)) if end < wanted.saturating_sub(TOLERANCE) => {
            notes.push(messages::token_ends_earlier(end));
        }
        _ => {}
    }
    notes
}

/// Whether `read_value` was asked for, and is not in what the token allows: tokens that are minted do not have it.
fn reads_nothing(caveats: &[Caveat]) -> bool {
    let reads = caveats.iter().filter_map(|caveat| match PetsemCaveat::of(caveat)?.ok()?? {
        PetsemCaveat::Actions(actions) => Some(actions.0.contains(Action::ReadValue)),
        _ => None,
    });
    let reads: Vec<bool> = reads.collect();
    // The last one is what was asked for.
    reads.last() == Some(&true) && reads.contains(&false)
}

/// Whether two caveats leave nothing of one kind.
type Disjoint = fn(&PetsemCaveat, &PetsemCaveat) -> bool;

/// What two caveats of a token restrict to sets without a common member.
fn conflict(caveats: &[Caveat]) -> Option<&'static str> {
    let caveats: Vec<&PetsemCaveat> =
        caveats.iter().filter_map(|caveat| PetsemCaveat::of(caveat)?.ok()?).collect();
    let actions = caveats.iter().fold(ActionSet::EVERYTHING, |all, caveat| match caveat {
        PetsemCaveat::Actions(actions) => all & actions.0,
        _ => all,
    });
    if !Action::ALL.into_iter().any(|action| actions.contains(action)) {
        return Some("actions");
    }
    let disjoint = |are: Disjoint| {
        caveats.iter().enumerate().any(|(at, one)| caveats.iter().skip(at + 1).any(|other| are(one, other)))
    };
    let kinds: [(&'static str, Disjoint); 4] = [
        ("apps", |one, other| match (one, other) {
            (PetsemCaveat::Apps(one), PetsemCaveat::Apps(other)) => {
                have_none_in_common(one.ids(), other.ids())
            }
            _ => false,
        }),
        ("secrets", |one, other| match (one, other) {
            (PetsemCaveat::SecretNames(one), PetsemCaveat::SecretNames(other)) => !overlap(one, other),
            _ => false,
        }),
        ("Machines", |one, other| match (one, other) {
            (PetsemCaveat::Machines(one), PetsemCaveat::Machines(other)) => {
                have_none_in_common(one.ids(), other.ids())
            }
            _ => false,
        }),
        ("hosts", |one, other| match (one, other) {
            (PetsemCaveat::Hosts(one), PetsemCaveat::Hosts(other)) => {
                have_none_in_common(one.ids(), other.ids())
            }
            _ => false,
        }),
    ];
    kinds.into_iter().find(|(_, are)| disjoint(*are)).map(|(what, _)| what)
}

fn have_none_in_common<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    !one.iter().any(|member| other.contains(member))
}

/// Whether some name is in both.
fn overlap(one: &SecretNames, other: &SecretNames) -> bool {
    let has = |names: &SecretNames, name: &String| {
        names.exact().contains(name) || names.prefixes().iter().any(|prefix| name.starts_with(prefix))
    };
    let share_a_prefix = |first: &String| {
        other.prefixes().iter().any(|second| first.starts_with(second) || second.starts_with(first))
    };
    one.exact().iter().any(|name| has(other, name))
        || other.exact().iter().any(|name| has(one, name))
        || one.prefixes().iter().any(share_a_prefix)
}

#[cfg(test)]
mod tests {
    use petsem_policy::{Actions, Apps, Hosts, Machines};

    use super::*;

    fn actions(actions: &[Action]) -> Caveat {
        Actions(actions.iter().copied().collect()).into()
    }

    fn names(exact: &[&str], prefixes: &[&str]) -> Caveat {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        SecretNames::new(owned(exact), owned(prefixes)).into()
    }

    #[test]
    fn read_value_that_comes_to_nothing_is_noted() {
        let (read, list) = (&[Action::ReadValue, Action::List][..], &[Action::List][..]);
        let noted =
            |all: &[&[Action]]| reads_nothing(&all.iter().map(|one| actions(one)).collect::<Vec<_>>());
        assert_eq!(
            [noted(&[list, read]), noted(&[read]), noted(&[read, list]), noted(&[list]), noted(&[])],
            [true, false, false, false, false]
        );
    }

    #[test]
    fn caveats_that_have_nothing_in_common_are_found() {
        let machines = |id: &str| Machines::new([id.to_owned()]).into();
        let hosts = |id: &str| Hosts::new([id.to_owned()]).into();
        for (one, other, found) in [
            (actions(&[Action::List, Action::Write]), actions(&[Action::Write]), None),
            (actions(&[Action::List]), actions(&[Action::Write]), Some("actions")),
            (Apps::new([[1; 16], [2; 16]]).into(), Apps::new([[2; 16]]).into(), None),
            (Apps::new([[1; 16]]).into(), Apps::new([[2; 16]]).into(), Some("apps")),
            (names(&["A"], &["SMTP_"]), names(&["SMTP_USER"], &[]), None),
            (names(&[], &["SMTP_"]), names(&[], &["SMTP_P", "X"]), None),
            (names(&["A"], &["SMTP_"]), names(&["B"], &["DB_"]), Some("secrets")),
            (machines("m-1"), machines("m-1"), None),
            (machines("m-1"), machines("m-2"), Some("Machines")),
            (hosts("h-1"), hosts("h-2"), Some("hosts")),
            (machines("m-1"), hosts("m-2"), None),
        ] {
            assert_eq!(conflict(&[one.clone(), other.clone()]), found, "{one:?} {other:?}");
        }
        assert_eq!(conflict(&[]), None);
        let pairs = [&[Action::List, Action::Write][..], &[Action::Write, Action::Boot], &[Action::Boot]];
        assert_eq!(conflict(&pairs.map(actions)), Some("actions"));
    }
}
