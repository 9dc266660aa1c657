//! The keys of one issuer on this node, and when to fetch them again. A pure state machine: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use petsem_policy::evaluate::Jwks;

use crate::clock::ClockReading;
use crate::messages;

/// How long keys remain valid without a successful fetch (design §7).
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Age at which keys are fetched again. A key that its issuer withdrew is accepted for about this long.
const RENEWED_FROM: Duration = Duration::from_secs(5 * 60);
/// Age at which operators are warned.
const WARNED_FROM: Duration = Duration::from_secs(60 * 60);
/// The longest pause after failed fetches.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// The longest time without a fetch while a JWT needs keys and there are none.
const LONGEST_WITHOUT_KEYS: Duration = Duration::from_secs(10);
/// Most key ids remembered as unknown. Beyond that only the time between fetches limits them.
const MOST_UNKNOWN: usize = 64;
/// Longest key id that causes a fetch, in bytes.
const LONGEST_ID: usize = 256;

/// The keys of one issuer and the history of their fetches.
///
/// The configured interval, an argument like the time, is the shortest time between two fetches that JWTs cause, how
/// long a key id is remembered as unknown, and the pause after a failed fetch, which doubles with each further failure.
#[derive(Default)]
pub(super) struct Held {
    keys: Option<(Jwks, ClockReading)>,
    fetching: bool,
    /// Start of the last fetch.
    tried: Option<ClockReading>,
    /// Start of the last fetch that a JWT caused.
    jwt_fetch: Option<ClockReading>,
    failed_in_a_row: u32,
    unknown: VecDeque<(String, ClockReading)>,
    problem: Option<String>,
    ended: u64,
    failed: u64,
}

/// What to do about a JWT whose key is not available.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: the available keys are all keys.
    Done,
    /// A key with this id has arrived in the meantime, or exists for another algorithm.
    Known,
    /// A fetch is now marked as started; the caller performs it.
    Fetch,
    /// Wait for the running fetch.
    Wait,
    /// The last fetch was a moment ago: try again after this time.
    Later { seconds: u64 },
    /// There are no keys, and a fetch has just failed: try again after this time.
    Unavailable { seconds: u64 },
}

impl Held {
    /// The keys that are valid now.
    pub(super) fn live(&self, now: ClockReading) -> Option<Jwks> {
        self.keys.as_ref().filter(|(_, fetched)| now.since(*fetched) < LONGEST).map(|(keys, _)| keys.clone())
    }

    /// The time since the last successful fetch; `None` if there was none.
    pub(super) fn age(&self, now: ClockReading) -> Option<Duration> {
        self.keys.as_ref().map(|(_, fetched)| now.since(*fetched))
    }

    /// Why the last fetch failed, if it did.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The number of completed fetches, and how many of them failed.
    pub(super) fn counted(&self) -> (u64, u64) {
        (self.ended, self.failed)
    }

    /// Decides what to do about a JWT whose key is not available.
    pub(super) fn next(&mut self, key_id: Option<&str>, interval: Duration, now: ClockReading) -> Next {
        let Some(keys) = self.live(now) else {
            return match self.tried {
                _ if self.fetching => Next::Wait,
                Some(tried) => match interval.min(LONGEST_WITHOUT_KEYS).saturating_sub(now.since(tried)) {
                    Duration::ZERO => self.begin_for_jwt(now),
                    left => Next::Unavailable { seconds: left.as_secs() + 1 },
                },
                None => self.begin_for_jwt(now),
            };
        };
        // Without a key id no particular key can be missing.
        let Some(id) = key_id.filter(|id| id.len() <= LONGEST_ID) else { return Next::Done };
        if keys.has_id(id) {
            return Next::Known;
        }
        if self.is_known_to_be_unknown(id, interval, now) {
            return Next::Done;
        }
        if self.fetching {
            return Next::Wait;
        }
        match self.jwt_fetch.map(|begun| interval.saturating_sub(now.since(begun))) {
            Some(left) if !left.is_zero() => Next::Later { seconds: left.as_secs() + 1 },
            _ => self.begin_for_jwt(now),
        }
    }

    /// Whether a fetch is due; if so, marks it as started.
    pub(super) fn take_if_due(&mut self, interval: Duration, now: ClockReading) -> bool {
        let fresh = self.age(now).is_some_and(|age| age < RENEWED_FROM);
        let pausing = self.tried.is_some_and(|tried| now.since(tried) < self.pause(interval));
        if fresh || pausing || self.fetching {
            return false;
        }
        self.begin(now);
        true
    }

    /// Stores the result of a fetch.
    pub(super) fn end(&mut self, result: Result<Jwks, String>, now: ClockReading) {
        self.fetching = false;
        self.ended += 1;
        match result {
            Ok(keys) => {
                self.keys = Some((keys, now));
                self.failed_in_a_row = 0;
                self.problem = None;
            }
            Err(problem) => {
                self.failed += 1;
                self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
                self.problem = Some(problem);
            }
        }
    }

    /// Remembers a key id as unknown if the fetch for it did not return it.
    pub(super) fn note_if_unknown(&mut self, id: &str, interval: Duration, now: ClockReading) {
        let is_not_unknown = self.problem.is_some() || self.live(now).is_none_or(|keys| keys.has_id(id));
        if is_not_unknown || id.len() > LONGEST_ID {
            return;
        }
        self.unknown.retain(|(known, noted)| known != id && now.since(*noted) < interval);
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.pop_front();
        }
        self.unknown.push_back((id.to_owned(), now));
    }

    /// A warning for operators. It is public, so it omits why a fetch fails: that may contain internal addresses.
    pub(super) fn warning(&self, issuer: &str, now: ClockReading) -> Option<String> {
        let hours = |age: Duration| age.as_secs() / 3600;
        match self.age(now) {
            // The first fetch has not ended yet.
            None if self.failed == 0 => None,
            None => Some(messages::issuer_keys_never_fetched(issuer)),
            Some(age) if age >= LONGEST => Some(messages::issuer_keys_too_old(issuer, hours(age))),
            Some(age) if age >= WARNED_FROM => Some(messages::issuer_keys_old(issuer, hours(age))),
            Some(_) => self.keys.as_ref().and_then(|(keys, _)| problem_of_keys(issuer, keys)),
        }
    }

    fn begin_for_jwt(&mut self, now: ClockReading) -> Next {
        self.jwt_fetch = Some(now);
        self.begin(now);
        Next::Fetch
    }

    fn begin(&mut self, now: ClockReading) {
        self.fetching = true;
        self.tried = Some(now);
    }

    fn is_known_to_be_unknown(&self, id: &str, interval: Duration, now: ClockReading) -> bool {
        self.unknown.iter().any(|(known, noted)| known == id && now.since(*noted) < interval)
    }

    fn pause(&self, interval: Duration) -> Duration {
        match self.failed_in_a_row {
            0 => Duration::ZERO,
            failed => interval.saturating_mul(2_u32.saturating_pow(failed - 1)).min(LONGEST_PAUSE),
        }
    }
}

fn problem_of_keys(issuer: &str, keys: &Jwks) -> Option<String> {
    if keys.has_private_parts() {
        Some(messages::issuer_keys_left_out(issuer))
    } else if keys.is_empty() && keys.left_out_count() > 0 {
        Some(messages::issuer_keys_unusable(issuer))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use petsem_policy::evaluate::Algorithm;
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const INTERVAL: Duration = Duration::from_secs(5);
    const HOUR: Duration = Duration::from_secs(3600);

    /// The base point of Ed25519 (RFC 8032 §5.1), as a key.
    fn point() -> String {
        format!("WGZm{}ZmY", "ZmZm".repeat(9))
    }

    fn keys(id: &str) -> Jwks {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": point(), "kid": id});
        Jwks::parse(&json!({ "keys": [key] }).to_string(), &Algorithm::ALL).unwrap()
    }

    /// Keys with the key `a`, fetched at the default time.
    fn held_with_key_a() -> Held {
        let mut held = Held::default();
        assert!(held.take_if_due(INTERVAL, ClockReading::default()));
        held.end(Ok(keys("a")), ClockReading::default());
        held
    }

    fn at(time: Duration) -> ClockReading {
        ClockReading::default().after(time)
    }

    #[test]
    fn keys_remain_valid_for_24_hours_without_a_successful_fetch() {
        let mut held = held_with_key_a();
        for (hours, warned) in [(0, None), (1, Some("after 24 hours")), (23, Some("23 hours ago"))] {
            let now = at(HOUR * hours);
            assert!(hours == 0 || held.take_if_due(INTERVAL, now), "{hours}");
            held.end(Err("no answer".to_owned()), now);
            assert!(held.live(now).unwrap().has_id("a"));
            let warning = held.warning("https://issuer.example", now);
            assert_eq!(warning.is_some(), warned.is_some(), "{warning:?}");
            assert!(warning.unwrap_or_default().contains(warned.unwrap_or_default()));
        }
        assert!(held.live(at(HOUR * 24 - SECOND)).is_some());
        assert!(held.live(at(HOUR * 24)).is_none());
        assert!(held.warning("i", at(HOUR * 24)).unwrap().contains("so its JWTs are refused; the log"));
        // Setting the clock back does not make keys younger; setting it forward makes them older.
        assert!(held.live(at(HOUR * 24).with_wall_moved(-90_000)).is_none());
        assert!(held.live(at(HOUR).with_wall_moved(23 * 3600)).is_none());
        // A successful fetch makes them valid again.
        held.end(Ok(keys("b")), at(HOUR * 30));
        assert!(held.live(at(HOUR * 30)).unwrap().has_id("b"));
        assert_eq!(held.warning("i", at(HOUR * 30)), None);
        assert_eq!(held.counted(), (5, 3));
    }

    #[test]
    fn withdrawn_keys_are_removed_at_the_next_fetch() {
        let mut held = held_with_key_a();
        held.end(Ok(Jwks::parse_published(r#"{"keys":[]}"#, &Algorithm::ALL).unwrap()), at(SECOND));
        assert_eq!(held.live(at(SECOND)).unwrap().len(), 0);
    }

    #[test]
    fn operators_are_warned_of_private_keys_and_of_sets_that_verify_nothing() {
        let private = json!({"kty": "OKP", "crv": "Ed25519", "x": point(), "d": "AAAA"});
        let foreign = json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"});
        let good = json!({"kty": "EC", "crv": "P-256", "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
            "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"});
        let cases = [
            (vec![private, good.clone()], Some(messages::issuer_keys_left_out("i"))),
            (vec![foreign.clone()], Some(messages::issuer_keys_unusable("i"))),
            (vec![foreign, good], None),
            (vec![], None),
        ];
        for (keys, warning) in cases {
            let mut held = Held::default();
            let set = json!({ "keys": keys }).to_string();
            held.end(Ok(Jwks::parse_published(&set, &Algorithm::ALL).unwrap()), at(SECOND));
            assert_eq!(held.warning("i", at(SECOND)), warning, "{set}");
        }
    }

    #[test]
    fn keys_are_renewed_early_and_failed_fetches_back_off() {
        let mut held = held_with_key_a();
        // Five minutes, as SECURITY.md says.
        assert_eq!(RENEWED_FROM, SECOND * 300);
        assert!(!held.take_if_due(INTERVAL, at(RENEWED_FROM - SECOND)));
        let mut now = at(RENEWED_FROM);
        assert!(held.take_if_due(INTERVAL, now));
        assert!(!held.take_if_due(INTERVAL, now.after(HOUR)), "a fetch is running");
        let mut pauses = Vec::new();
        for _ in 0..9 {
            held.end(Err(String::new()), now);
            let waits = (1..).map(|seconds| SECOND * seconds);
            let pause =
                waits.into_iter().find(|pause| held.take_if_due(INTERVAL, now.after(*pause))).unwrap();
            now = now.after(pause);
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn any_number_of_unknown_key_ids_causes_one_fetch_in_five_seconds() {
        let mut held = held_with_key_a();
        let mut fetches = 0;
        for tenth in 0..600 {
            let now = at(SECOND * 10 + Duration::from_millis(100) * tenth);
            match held.next(Some(&format!("random-{tenth}")), INTERVAL, now) {
                Next::Fetch => {
                    fetches += 1;
                    assert_eq!(held.next(Some("other"), INTERVAL, now), Next::Wait);
                    held.end(Ok(keys("a")), now);
                    held.note_if_unknown(&format!("random-{tenth}"), INTERVAL, now);
                }
                Next::Later { seconds } => assert!((1..=5).contains(&seconds), "{seconds}"),
                other => panic!("{other:?}"),
            }
            assert_eq!(held.next(Some("a"), INTERVAL, now), Next::Known);
        }
        assert_eq!(fetches, 12, "in a minute");
        assert!(held.unknown.len() <= MOST_UNKNOWN);
    }

    #[test]
    fn a_key_id_that_a_fetch_did_not_return_causes_no_fetch_for_a_while() {
        let mut held = held_with_key_a();
        assert_eq!(held.next(Some("x"), INTERVAL, at(SECOND)), Next::Fetch);
        held.end(Ok(keys("a")), at(SECOND));
        held.note_if_unknown("x", INTERVAL, at(SECOND));
        assert_eq!(held.next(Some("x"), INTERVAL, at(SECOND * 5)), Next::Done);
        // Naming a key before its issuer publishes it delays the key by at most that time.
        assert_eq!(held.next(Some("x"), INTERVAL, at(SECOND * 6)), Next::Fetch);
        // The key arrived: it is found before the list of unknown ids is read.
        held.end(Ok(keys("x")), at(SECOND * 6));
        held.note_if_unknown("x", INTERVAL, at(SECOND * 6));
        assert_eq!((held.next(Some("x"), INTERVAL, at(SECOND * 7)), held.unknown.len()), (Next::Known, 1));
        // A failed fetch does not make a key id unknown.
        assert_eq!(held.next(Some("y"), INTERVAL, at(SECOND * 60)), Next::Fetch);
        held.end(Err(String::new()), at(SECOND * 60));
        held.note_if_unknown("y", INTERVAL, at(SECOND * 60));
        assert_eq!(held.next(Some("y"), INTERVAL, at(SECOND * 65)), Next::Fetch);
    }

    #[test]
    fn the_list_of_unknown_key_ids_is_bounded() {
        let mut held = held_with_key_a();
        for number in 0..1000 {
            held.note_if_unknown(&number.to_string(), INTERVAL, at(SECOND));
        }
        assert_eq!(held.unknown.len(), MOST_UNKNOWN);
        let long = "x".repeat(LONGEST_ID + 1);
        held.note_if_unknown(&long, INTERVAL, at(SECOND));
        assert!(held.unknown.iter().all(|(id, _)| *id != long));
        assert_eq!(held.next(Some(&long), INTERVAL, at(HOUR)), Next::Done, "it causes no fetch");
    }

    #[test]
    fn without_keys_a_jwt_causes_a_fetch_and_is_refused_after_a_failed_one() {
        let mut held = Held::default();
        assert_eq!(held.warning("i", at(SECOND)), None);
        assert_eq!(held.next(None, INTERVAL, at(SECOND)), Next::Fetch);
        assert_eq!(held.next(Some("a"), INTERVAL, at(SECOND)), Next::Wait);
        held.end(Err("refused".to_owned()), at(SECOND));
        assert_eq!(held.next(Some("a"), INTERVAL, at(SECOND * 2)), Next::Unavailable { seconds: 5 });
        // A long interval must not keep keys away for as long.
        let long = Duration::from_secs(300);
        assert_eq!(held.next(Some("a"), long, at(SECOND * 2)), Next::Unavailable { seconds: 10 });
        assert!(held.warning("i", at(SECOND * 2)).unwrap().contains("not fetched since the server started"));
        assert_eq!(held.problem(), Some("refused"));
        assert_eq!(held.next(Some("a"), INTERVAL, at(SECOND * 6)), Next::Fetch);
    }
}
