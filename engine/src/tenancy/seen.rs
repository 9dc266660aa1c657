//! The newest head of each app that this node has read or written lately. An older one was put back.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use petsem_api::AppId;

use crate::clock::Timestamp;

/// How long a head is remembered after it was last read, at least, in seconds.
const REMEMBERED: i64 = 24 * 60 * 60;
/// Other apps read since, after which a head may be forgotten earlier.
const APPS: usize = 500_000;

/// The newest heads, in two generations. When the younger one is old or full, the older one is forgotten.
#[derive(Default)]
pub(crate) struct SeenHeads(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<AppId, u64>,
    old: HashMap<AppId, u64>,
    /// When the younger one began, in Unix seconds.
    began: i64,
}

impl SeenHeads {
    /// Whether no newer head of the app is remembered. Remembers this one.
    pub(crate) fn is_newest(&self, app: AppId, version: u64, now: Timestamp) -> bool {
        self.note(app, version, now) <= version
    }

    /// Remembers a head, and returns the newest.
    pub(crate) fn note(&self, app: AppId, version: u64, now: Timestamp) -> u64 {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.turn_over(now.seconds());
        let before = seen.young.get(&app).or_else(|| seen.old.get(&app)).copied().unwrap_or_default();
        let newest = version.max(before);
        seen.young.insert(app, newest);
        newest
    }
}

impl Generations {
    fn turn_over(&mut self, now: i64) {
        // A clock that was set back must not keep both for longer.
        let is_young = (0..REMEMBERED).contains(&now.saturating_sub(self.began));
        if is_young && self.young.len() < APPS {
            return;
        }
        self.old = mem::take(&mut self.young);
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(number: u32) -> AppId {
        AppId::from_bytes(u128::from(number).to_be_bytes())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn an_older_head_is_noticed_for_a_day_after_the_last_read() {
        let seen = SeenHeads::default();
        assert!(seen.is_newest(app(1), 5, at(0)));
        assert!(!seen.is_newest(app(1), 4, at(REMEMBERED - 1)));
        assert!(!seen.is_newest(app(1), 4, at(2 * REMEMBERED - 2)), "the read before counts");
        assert!(seen.is_newest(app(2), 1, at(4 * REMEMBERED)));
        assert!(seen.is_newest(app(2), 1, at(5 * REMEMBERED)));
        assert!(
            seen.is_newest(app(1), 4, at(5 * REMEMBERED)),
            "both generations are younger than its last read"
        );
    }

    #[test]
    fn many_apps_make_it_forget_only_those_that_were_read_first() {
        let seen = SeenHeads::default();
        let most = u32::try_from(APPS).unwrap();
        (0..2 * most).for_each(|number| assert!(seen.is_newest(app(number), 2, at(0))));
        assert!(!seen.is_newest(app(most), 1, at(0)), "the read of {APPS} apps ago counts");
        let generations = seen.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * APPS);
        assert!(!generations.old.contains_key(&app(0)));
    }
}
