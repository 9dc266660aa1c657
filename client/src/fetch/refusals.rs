//! Refusals, remembered for a moment, so that a boot loop does not overload petsem.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::clock::{self, Instant};
use crate::error::CallError;

/// Refusals that are remembered at a time; further requests are sent again.
const MOST: usize = 1024;
/// Longest time that a refusal is remembered.
const LONGEST: Duration = Duration::from_secs(5);

/// Definite refusals (401, 403, 404, 410, `integrity`) by what makes requests equal.
pub(crate) struct Refusals<K> {
    kept: Mutex<HashMap<K, (Instant, CallError)>>,
    life: Duration,
}

impl<K: Eq + Hash> Refusals<K> {
    pub(crate) fn new(life: Duration) -> Self {
        Self { kept: Mutex::default(), life: life.min(LONGEST) }
    }

    /// The remembered refusal of an equal request.
    pub(crate) fn recall(&self, key: &K) -> Option<CallError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, error) = kept.get(key)?;
        (clock::now() < *end).then(|| error.clone())
    }

    /// Remembers `error`, if it is definite.
    pub(crate) fn remember(&self, key: K, error: &CallError) {
        if !error.is_definite() || self.life.is_zero() {
            return;
        }
        let now = clock::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, (end, _)| now < *end);
        }
        if kept.len() < MOST {
            kept.insert(key, (now + self.life, error.clone()));
        }
    }
}
