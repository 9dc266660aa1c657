//! What a node holds of one issuer's keys, and when it may ask for them again. Data and time in, decisions out.

use std::collections::VecDeque;
use std::time::Duration;

use petsem_policy::evaluate::Jwks;

use crate::clock::ClockReading;

/// How long keys are good without a fetch that succeeds (design §7).
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// From this age on they are fetched anew: so long is a key believed that its issuer has withdrawn.
const RENEWED_FROM: Duration = Duration::from_secs(5 * 60);
/// From this age on an operator is told.
const WARNED_FROM: Duration = Duration::from_secs(60 * 60);
/// The least time between two fetches that JWTs cause.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// The pause after a fetch that failed; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How long a key id is remembered that a fetch has not brought.
const UNKNOWN_FOR: Duration = ASKED_EVERY;
/// Key ids that are remembered so. With more in use the time between fetches is what counts.
const MOST_UNKNOWN: usize = 64;
/// Longest key id that keys are fetched for, in bytes.
const LONGEST_ID: usize = 256;

/// The keys of one issuer, and the history of fetching them.
#[derive(Default)]
pub(super) struct Held {
    keys: Option<(Jwks, ClockReading)>,
    fetching: bool,
    /// The last fetch that began, for whatever reason.
    tried: Option<ClockReading>,
    /// The last that a JWT caused.
    asked: Option<ClockReading>,
    failed_in_a_row: u32,
    unknown: VecDeque<(String, ClockReading)>,
    problem: Option<String>,
    ended: u64,
    failed: u64,
}

/// What a JWT whose key is not at hand leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: the keys at hand are what there is.
    Done,
    /// A key with this id has come in the meantime, or is there for another algorithm.
    Known,
    /// A fetch began with this answer; the principal carries it out.
    Fetch,
    /// One is under way.
    Wait,
    /// One was made a moment ago.
    Later { seconds: u64 },
    /// There are no keys, and asking for them has just failed.
    Unavailable,
}

impl Held {
    /// The keys that are good now.
    pub(super) fn live(&self, now: ClockReading) -> Option<Jwks> {
        self.keys.as_ref().filter(|(_, fetched)| now.since(*fetched) < LONGEST).map(|(keys, _)| keys.clone())
    }

    /// How long ago they were fetched; none if they never were.
    pub(super) fn age(&self, now: ClockReading) -> Option<Duration> {
        self.keys.as_ref().map(|(_, fetched)| now.since(*fetched))
    }

    /// Why the latest fetch failed, if it did.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Fetches that ended, and those of them that failed.
    pub(super) fn counted(&self) -> (u64, u64) {
        (self.ended, self.failed)
    }

    /// What to do for a JWT whose key is none of those at hand.
    pub(super) fn next(&mut self, key_id: Option<&str>, now: ClockReading) -> Next {
        let Some(keys) = self.live(now) else {
            return match self.tried {
                _ if self.fetching => Next::Wait,
                Some(tried) if now.since(tried) < ASKED_EVERY => Next::Unavailable,
                _ => self.ask(now),
            };
        };
        // Without an id no key is meant that could be missing.
        let Some(id) = key_id.filter(|id| id.len() <= LONGEST_ID) else { return Next::Done };
        if keys.has_id(id) {
            return Next::Known;
        }
        if self.is_known_to_be_unknown(id, now) {
            return Next::Done;
        }
        if self.fetching {
            return Next::Wait;
        }
        match self.asked.map(|asked| ASKED_EVERY.saturating_sub(now.since(asked))) {
            Some(left) if !left.is_zero() => Next::Later { seconds: left.as_secs() + 1 },
            _ => self.ask(now),
        }
    }

    /// Whether the keys get old, or there are none, and it is time to try; then a fetch begins.
    pub(super) fn take_if_due(&mut self, now: ClockReading) -> bool {
        let fresh = self.age(now).is_some_and(|age| age < RENEWED_FROM);
        let pausing = self.tried.is_some_and(|tried| now.since(tried) < self.pause());
        if fresh || pausing || self.fetching {
            return false;
        }
        self.begin(now);
        true
    }

    /// A fetch ended.
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

    /// Remembers that a fetch begun for this key id has not brought it.
    pub(super) fn note_if_unknown(&mut self, id: &str, now: ClockReading) {
        let brought = self.problem.is_some() || self.live(now).is_none_or(|keys| keys.has_id(id));
        if brought || id.len() > LONGEST_ID {
            return;
        }
        self.unknown.retain(|(known, noted)| known != id && now.since(*noted) < UNKNOWN_FOR);
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.pop_front();
        }
        self.unknown.push_back((id.to_owned(), now));
    }

    /// What an operator must know. Anybody reads it: why a fetch fails, perhaps with addresses inside, is told
    /// elsewhere.
    pub(super) fn warning(&self, issuer: &str, now: ClockReading) -> Option<String> {
        const WHY: &str = "the log and the list of issuers (GET /v1/issuers) say why";
        let hours = |age: Duration| age.as_secs() / 3600;
        match self.age(now) {
            // Before the first attempt has ended there is nothing to say.
            None if self.failed == 0 => None,
            None => Some(format!(
                "the keys of issuer {issuer} were never fetched since the start, so its JWTs are refused; {WHY}"
            )),
            Some(age) if age >= LONGEST => Some(format!(
                "the keys of issuer {issuer} were last fetched {} hours ago, so its JWTs are refused; {WHY}",
                hours(age)
            )),
            Some(age) if age >= WARNED_FROM => Some(format!(
                "the keys of issuer {issuer} were last fetched {} hours ago, and from 24 hours on its JWTs are \
                 refused; {WHY}",
                hours(age)
            )),
            Some(_) => None,
        }
    }

    fn ask(&mut self, now: ClockReading) -> Next {
        self.asked = Some(now);
        self.begin(now);
        Next::Fetch
    }

    fn begin(&mut self, now: ClockReading) {
        self.fetching = true;
        self.tried = Some(now);
    }

    fn is_known_to_be_unknown(&self, id: &str, now: ClockReading) -> bool {
        self.unknown.iter().any(|(known, noted)| known == id && now.since(*noted) < UNKNOWN_FOR)
    }

    fn pause(&self) -> Duration {
        match self.failed_in_a_row {
            0 => Duration::ZERO,
            failed => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failed - 1)).min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn keys(id: &str) -> Jwks {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43), "kid": id});
        Jwks::parse(&json!({ "keys": [key] }).to_string()).unwrap()
    }

    /// With the key `a` fetched at the default tick.
    fn with_a() -> Held {
        let mut held = Held::default();
        assert!(held.take_if_due(ClockReading::default()));
        held.end(Ok(keys("a")), ClockReading::default());
        held
    }

    fn at(time: Duration) -> ClockReading {
        ClockReading::default().after(time)
    }

    #[test]
    fn keys_outlive_an_outage_of_less_than_24_hours_and_no_longer() {
        let mut held = with_a();
        for (hours, warned) in [(0, None), (1, Some("from 24 hours on")), (23, Some("23 hours ago"))] {
            let now = at(HOUR * hours);
            assert!(hours == 0 || held.take_if_due(now), "{hours}");
            held.end(Err("no answer".to_owned()), now);
            assert!(held.live(now).unwrap().has_id("a"));
            let warning = held.warning("https://issuer.example", now);
            assert_eq!(warning.is_some(), warned.is_some(), "{warning:?}");
            assert!(warning.unwrap_or_default().contains(warned.unwrap_or_default()));
        }
        assert!(held.live(at(HOUR * 24 - SECOND)).is_some());
        assert!(held.live(at(HOUR * 24)).is_none());
        assert!(held.warning("i", at(HOUR * 24)).unwrap().contains("so its JWTs are refused; the log"));
        // A clock that is set back makes nothing younger, one that is set forward makes it older.
        assert!(held.live(at(HOUR * 24).with_wall_moved(-90_000)).is_none());
        assert!(held.live(at(HOUR).with_wall_moved(23 * 3600)).is_none());
        // They are good again once they were fetched.
        held.end(Ok(keys("b")), at(HOUR * 30));
        assert!(held.live(at(HOUR * 30)).unwrap().has_id("b"));
        assert_eq!(held.warning("i", at(HOUR * 30)), None);
        assert_eq!(held.counted(), (5, 3));
    }

    #[test]
    fn an_issuer_that_withdraws_its_keys_is_believed() {
        let mut held = with_a();
        held.end(Ok(Jwks::parse_published(r#"{"keys":[]}"#).unwrap()), at(SECOND));
        assert_eq!(held.live(at(SECOND)).unwrap().len(), 0);
    }

    #[test]
    fn keys_are_renewed_before_they_are_old_and_failures_are_repeated_ever_more_slowly() {
        let mut held = with_a();
        assert!(!held.take_if_due(at(RENEWED_FROM - SECOND)));
        let mut now = at(RENEWED_FROM);
        assert!(held.take_if_due(now));
        assert!(!held.take_if_due(now.after(HOUR)), "one is under way");
        let mut pauses = Vec::new();
        for _ in 0..9 {
            held.end(Err(String::new()), now);
            let waits = (1..).map(|seconds| SECOND * seconds);
            let pause = waits.into_iter().find(|pause| held.take_if_due(now.after(*pause))).unwrap();
            now = now.after(pause);
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn unknown_key_ids_cause_one_fetch_in_five_seconds_however_many_they_are() {
        let mut held = with_a();
        let mut fetches = 0;
        for tenth in 0..600 {
            let now = at(SECOND * 10 + Duration::from_millis(100) * tenth);
            match held.next(Some(&format!("random-{tenth}")), now) {
                Next::Fetch => {
                    fetches += 1;
                    assert_eq!(held.next(Some("other"), now), Next::Wait);
                    held.end(Ok(keys("a")), now);
                    held.note_if_unknown(&format!("random-{tenth}"), now);
                }
                Next::Later { seconds } => assert!((1..=5).contains(&seconds), "{seconds}"),
                other => panic!("{other:?}"),
            }
            assert_eq!(held.next(Some("a"), now), Next::Known);
        }
        assert_eq!(fetches, 12, "in a minute");
        assert!(held.unknown.len() <= MOST_UNKNOWN);
    }

    #[test]
    fn a_key_id_that_a_fetch_has_not_brought_causes_none_for_a_while() {
        let mut held = with_a();
        assert_eq!(held.next(Some("x"), at(SECOND)), Next::Fetch);
        held.end(Ok(keys("a")), at(SECOND));
        held.note_if_unknown("x", at(SECOND));
        assert_eq!(held.next(Some("x"), at(SECOND * 5)), Next::Done);
        // Whoever named a key before its issuer published it has delayed it by no more than any stranger can.
        assert_eq!(held.next(Some("x"), at(SECOND * 6)), Next::Fetch);
        // It came: it is found before anybody remembers.
        held.end(Ok(keys("x")), at(SECOND * 6));
        held.note_if_unknown("x", at(SECOND * 6));
        assert_eq!((held.next(Some("x"), at(SECOND * 7)), held.unknown.len()), (Next::Known, 1));
        // A fetch that failed says nothing about any key.
        assert_eq!(held.next(Some("y"), at(SECOND * 60)), Next::Fetch);
        held.end(Err(String::new()), at(SECOND * 60));
        held.note_if_unknown("y", at(SECOND * 60));
        assert_eq!(held.next(Some("y"), at(SECOND * 65)), Next::Fetch);
    }

    #[test]
    fn what_is_remembered_of_unknown_key_ids_is_bounded() {
        let mut held = with_a();
        for number in 0..1000 {
            held.note_if_unknown(&number.to_string(), at(SECOND));
        }
        assert_eq!(held.unknown.len(), MOST_UNKNOWN);
        let long = "x".repeat(LONGEST_ID + 1);
        held.note_if_unknown(&long, at(SECOND));
        assert!(held.unknown.iter().all(|(id, _)| *id != long));
        assert_eq!(held.next(Some(&long), at(HOUR)), Next::Done, "nothing is fetched for it");
    }

    #[test]
    fn without_keys_a_jwt_asks_for_them_and_is_told_when_they_cannot_be_had() {
        let mut held = Held::default();
        assert_eq!(held.warning("i", at(SECOND)), None);
        assert_eq!(held.next(None, at(SECOND)), Next::Fetch);
        assert_eq!(held.next(Some("a"), at(SECOND)), Next::Wait);
        held.end(Err("refused".to_owned()), at(SECOND));
        assert_eq!(held.next(Some("a"), at(SECOND * 2)), Next::Unavailable);
        assert!(held.warning("i", at(SECOND * 2)).unwrap().contains("never fetched since the start"));
        assert_eq!(held.problem(), Some("refused"));
        assert_eq!(held.next(Some("a"), at(SECOND * 6)), Next::Fetch);
    }
}
