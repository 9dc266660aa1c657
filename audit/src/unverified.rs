//! Requests whose token did not verify: counted and summarized, so that unauthenticated clients cannot fill
//! the log.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::{AuditEvent, Outcome};

/// Sources that are counted separately in one second.
const SOURCES_MAXIMUM: usize = 1024;
/// The source under which all further ones are counted.
const OTHERS: &str = "others";
/// Bytes of a source that are kept.
const SOURCE_MAXIMUM: usize = 64;

/// How often each reason occurred.
type Reasons = BTreeMap<&'static str, u64>;

#[derive(Default)]
struct Counts {
    sources: HashMap<String, Reasons>,
    total: u64,
}

/// Counts by source since the last summary.
#[derive(Default)]
pub(crate) struct Unverified(Mutex<Counts>);

impl Unverified {
    /// Counts one request.
    pub(crate) fn count(&self, source: &str, reason: &'static str) {
        let mut counts = self.lock();
        counts.total = counts.total.saturating_add(1);
        counts.add(source, reason, 1);
    }

    /// Requests counted since the log was opened.
    pub(crate) fn total(&self) -> u64 {
        self.lock().total
    }

    /// Takes the counts: one summary for each source, in a fixed order.
    pub(crate) fn take(&self) -> Vec<Summary> {
        let sources = std::mem::take(&mut self.lock().sources);
        let mut summaries: Vec<Summary> =
            sources.into_iter().map(|(source, reasons)| Summary { source, reasons }).collect();
        summaries.sort_by(|one, other| one.source.cmp(&other.source));
        summaries
    }

    /// Adds back the counts that could not be written.
    pub(crate) fn put_back(&self, summaries: Vec<Summary>) {
        let mut counts = self.lock();
        for Summary { source, reasons } in summaries {
            for (reason, count) in reasons {
                counts.add(&source, reason, count);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add(&mut self, source: &str, reason: &'static str, count: u64) {
        let source = source.get(..source.floor_char_boundary(SOURCE_MAXIMUM)).unwrap_or(OTHERS);
        let room = self.sources.len() < SOURCES_MAXIMUM;
        let source = if room || self.sources.contains_key(source) { source } else { OTHERS };
        let counted = self.sources.entry(source.to_owned()).or_default().entry(reason).or_default();
        *counted = counted.saturating_add(count);
    }
}

/// The requests of one source.
pub(crate) struct Summary {
    source: String,
    reasons: Reasons,
}

impl Summary {
    /// The event of its line.
    pub(crate) fn event(&self, time_ms: u64) -> AuditEvent {
        let mut detail = String::new();
        for (reason, count) in &self.reasons {
            let comma = if detail.is_empty() { "" } else { ", " };
            // Writing to a String does not fail.
            let _written = write!(detail, "{comma}{reason} {count}");
        }
        AuditEvent {
            source: Some(self.source.clone()),
            count: Some(self.reasons.values().sum()),
            reason: Some("unverified".into()),
            detail: Some(detail),
            ..AuditEvent::new(time_ms, "-", "request.unverified", Outcome::Denied)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_over_the_limit_are_counted_as_others() {
        let unverified = Unverified::default();
        for number in 0..SOURCES_MAXIMUM + 10 {
            unverified.count(&format!("10.0.{}.{}", number / 256, number % 256), "malformed");
        }
        let summaries = unverified.take();
        assert_eq!(summaries.len(), SOURCES_MAXIMUM + 1);
        let others = summaries.iter().find(|summary| summary.source == OTHERS).unwrap();
        assert_eq!(others.event(0).count, Some(10));
        assert_eq!(unverified.total(), 1034);
        assert_eq!(unverified.take().len(), 0);
    }

    #[test]
    fn a_summary_names_each_reason_with_its_count() {
        let unverified = Unverified::default();
        unverified.count("10.0.0.1", "signature");
        unverified.count("10.0.0.1", "malformed");
        unverified.count("10.0.0.1", "signature");
        let summaries = unverified.take();
        unverified.put_back(summaries);
        let event = unverified.take().first().unwrap().event(0);
        assert_eq!((event.count, event.detail.as_deref()), (Some(3), Some("malformed 1, signature 2")));
    }
}
