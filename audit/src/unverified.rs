//! Refused requests that get no line of their own: counted and summarized, so that no client can fill the log. These
//! are the requests without a verified credential, by source, and the refusals of one verified credential beyond a few.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::{AuditEvent, Outcome, Subject};

/// Sources, and holders, that are counted separately between two summaries.
const SEPARATE_MAXIMUM: usize = 1024;
/// The source under which all further ones are counted.
const OTHERS: &str = "others";
/// Bytes of a source that are kept.
const SOURCE_MAXIMUM: usize = 64;
/// Bytes of each other text that are kept.
const TEXT_MAXIMUM: usize = 192;
/// Refusals of one holder between two summaries that get their own lines. There is a summary each second.
pub(crate) const OWN_LINES: u32 = 5;

/// How often each reason occurred.
type Reasons = BTreeMap<Cow<'static, str>, u64>;

/// The holder of a credential: a token, or the subject of a JWT. `None` for all that are not counted separately.
type Holder = Option<(Option<String>, Option<(String, String)>)>;

#[derive(Default)]
struct Counts {
    sources: HashMap<String, Reasons>,
    holders: HashMap<(Holder, Outcome), Refusals>,
    total: u64,
}

/// The refusals of one holder.
#[derive(Default)]
pub(crate) struct Refusals {
    own_lines: u32,
    reasons: Reasons,
    /// The last reason, and the last source.
    last: (Cow<'static, str>, Option<String>),
}

/// Counts since the last summary.
#[derive(Default)]
pub(crate) struct Unverified(Mutex<Counts>);

impl Unverified {
    /// Counts one request without a verified credential.
    pub(crate) fn count(&self, source: &str, reason: &'static str) {
        let mut counts = self.lock();
        counts.total = counts.total.saturating_add(1);
        counts.add(source, reason.into(), 1);
    }

    /// Counts the refusal of a verified credential; returns whether it is for the summary, and gets no line of its own.
    /// All refusals of what has no holder get one.
    pub(crate) fn counts_refusal(&self, event: &AuditEvent) -> bool {
        let subject = |subject: &Subject| (cut(&subject.issuer), cut(&subject.sub));
        let token = event.token.as_deref().map(cut);
        let subject = event.subject.as_ref().map(subject);
        if token.is_none() && subject.is_none() {
            return false;
        }
        let mut counts = self.lock();
        let refusals = counts.of_holder(Some((token, subject)), event.outcome);
        if refusals.own_lines < OWN_LINES {
            refusals.own_lines += 1;
            return false;
        }
        let reason = event.reason.clone().unwrap_or(Cow::Borrowed("refused"));
        let counted = refusals.reasons.entry(reason.clone()).or_default();
        *counted = counted.saturating_add(1);
        refusals.last = (reason, event.source.as_deref().map(cut));
        true
    }

    /// Requests without a verified credential since the log was opened.
    pub(crate) fn total(&self) -> u64 {
        self.lock().total
    }

    /// Takes the counts: one summary for each source and each holder, in a fixed order. Holders then have own lines
    /// again.
    pub(crate) fn take(&self) -> Vec<Summary> {
        let mut counts = self.lock();
        let (sources, holders) = (std::mem::take(&mut counts.sources), std::mem::take(&mut counts.holders));
        drop(counts);
        let mut sources: Vec<_> = sources.into_iter().collect();
        sources.sort_by(|one, other| one.0.cmp(&other.0));
        let mut holders: Vec<_> =
            holders.into_iter().filter(|(_, refusals)| !refusals.reasons.is_empty()).collect();
        holders.sort_by(|one, other| one.0.cmp(&other.0));
        let sources = sources.into_iter().map(|(source, reasons)| Summary::OfSource(source, reasons));
        let holders = holders.into_iter().map(|((holder, outcome), refusals)| Summary::OfHolder {
            holder,
            outcome,
            refusals,
        });
        sources.chain(holders).collect()
    }

    /// Adds back the counts that could not be written.
    pub(crate) fn put_back(&self, summaries: Vec<Summary>) {
        let mut counts = self.lock();
        for summary in summaries {
            match summary {
                Summary::OfSource(source, reasons) => {
                    for (reason, count) in reasons {
                        counts.add(&source, reason, count);
                    }
                }
                Summary::OfHolder { holder, outcome, refusals } => {
                    let kept = counts.of_holder(holder, outcome);
                    if kept.reasons.is_empty() {
                        kept.last = refusals.last;
                    }
                    for (reason, count) in refusals.reasons {
                        let counted = kept.reasons.entry(reason).or_default();
                        *counted = counted.saturating_add(count);
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add(&mut self, source: &str, reason: Cow<'static, str>, count: u64) {
        let source = source.get(..source.floor_char_boundary(SOURCE_MAXIMUM)).unwrap_or(OTHERS);
        let room = self.sources.len() < SEPARATE_MAXIMUM;
        let source = if room || self.sources.contains_key(source) { source } else { OTHERS };
        let counted = self.sources.entry(source.to_owned()).or_default().entry(reason).or_default();
        *counted = counted.saturating_add(count);
    }

    fn of_holder(&mut self, holder: Holder, outcome: Outcome) -> &mut Refusals {
        let room = self.holders.len() < SEPARATE_MAXIMUM;
        let key = (holder, outcome);
        let key = if room || self.holders.contains_key(&key) { key } else { (None, outcome) };
        self.holders.entry(key).or_default()
    }
}

/// The requests of one source, or the refusals of one holder.
pub(crate) enum Summary {
    OfSource(String, Reasons),
    OfHolder { holder: Holder, outcome: Outcome, refusals: Refusals },
}

impl Summary {
    /// The event of its line.
    pub(crate) fn event(&self, time_ms: u64) -> AuditEvent {
        match self {
            Self::OfSource(source, reasons) => AuditEvent {
                source: Some(source.clone()),
                reason: Some("unverified".into()),
                ..of_counts(reasons, time_ms, "request.unverified", Outcome::Denied)
            },
            Self::OfHolder { holder, outcome, refusals: Refusals { reasons, last, .. } } => {
                let (token, subject) = holder.clone().unwrap_or_default();
                let source = if holder.is_some() { last.1.clone() } else { Some(OTHERS.to_owned()) };
                AuditEvent {
                    token,
                    subject: subject.map(|(issuer, sub)| Subject { issuer, sub }),
                    source,
                    reason: Some(last.0.clone()),
                    ..of_counts(reasons, time_ms, "request.refused", *outcome)
                }
            }
        }
    }
}

fn of_counts(reasons: &Reasons, time_ms: u64, action: &'static str, outcome: Outcome) -> AuditEvent {
    let mut detail = String::new();
    for (reason, count) in reasons {
        let comma = if detail.is_empty() { "" } else { ", " };
        // Writing to a String does not fail.
        let _written = write!(detail, "{comma}{reason} {count}");
    }
    AuditEvent {
        count: Some(reasons.values().sum()),
        detail: Some(detail),
        ..AuditEvent::new(time_ms, "-", action, outcome)
    }
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_MAXIMUM)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(token: &str, source: &str, reason: &'static str) -> AuditEvent {
        AuditEvent {
            token: Some(token.to_owned()),
            source: Some(source.to_owned()),
            reason: Some(reason.into()),
            ..AuditEvent::new(0, "r-1", "secret.set", Outcome::Denied)
        }
    }

    #[test]
    fn sources_over_the_limit_are_counted_as_others() {
        let unverified = Unverified::default();
        for number in 0..SEPARATE_MAXIMUM + 10 {
            unverified.count(&format!("10.0.{}.{}", number / 256, number % 256), "malformed");
        }
        let summaries = unverified.take();
        assert_eq!(summaries.len(), SEPARATE_MAXIMUM + 1);
        let events: Vec<_> = summaries.iter().map(|summary| summary.event(0)).collect();
        let others = events.iter().find(|event| event.source.as_deref() == Some(OTHERS)).unwrap();
        assert_eq!(others.count, Some(10));
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

    #[test]
    fn refusals_of_a_token_beyond_a_few_are_summarized_with_the_last_reason() {
        let unverified = Unverified::default();
        for _ in 0..OWN_LINES {
            assert!(!unverified.counts_refusal(&refused("t-1", "10.0.0.1", "forbidden")));
        }
        assert!(unverified.counts_refusal(&refused("t-1", "10.0.0.1", "token_expired")));
        assert!(unverified.counts_refusal(&refused("t-1", "10.0.0.2", "forbidden")));
        // Another token, and a failure, have their own lines.
        assert!(!unverified.counts_refusal(&refused("t-2", "10.0.0.1", "forbidden")));
        let failed = AuditEvent { outcome: Outcome::Failed, ..refused("t-1", "10.0.0.1", "busy") };
        assert!(!unverified.counts_refusal(&failed));
        let summaries = unverified.take();
        unverified.put_back(summaries);
        let [summary] = unverified.take().try_into().ok().unwrap();
        let event = summary.event(0);
        assert_eq!((event.action.as_ref(), event.outcome), ("request.refused", Outcome::Denied));
        assert_eq!((event.token.as_deref(), event.source.as_deref()), (Some("t-1"), Some("10.0.0.2")));
        assert_eq!((event.count, event.reason.as_deref()), (Some(2), Some("forbidden")));
        assert_eq!(event.detail.as_deref(), Some("forbidden 1, token_expired 1"));
        assert!(!unverified.counts_refusal(&refused("t-1", "10.0.0.1", "forbidden")));
    }

    #[test]
    fn refusals_of_a_jwts_subject_beyond_a_few_are_summarized_too() {
        let unverified = Unverified::default();
        let refused = |sub: &str| {
            let subject = Subject { issuer: "https://issuer.example".to_owned(), sub: sub.to_owned() };
            AuditEvent { token: None, subject: Some(subject), ..refused("", "10.0.0.1", "policy_denied") }
        };
        for _ in 0..OWN_LINES {
            assert!(!unverified.counts_refusal(&refused("ann")));
        }
        assert!(unverified.counts_refusal(&refused("ann")));
        assert!(unverified.counts_refusal(&refused("ann")));
        assert!(!unverified.counts_refusal(&refused("bob")));
        let [summary] = unverified.take().try_into().ok().unwrap();
        let event = summary.event(0);
        assert_eq!((event.token, event.subject), (None, refused("ann").subject));
        assert_eq!((event.count, event.detail.as_deref()), (Some(2), Some("policy_denied 2")));
    }

    #[test]
    fn holders_over_the_limit_share_a_few_lines() {
        let unverified = Unverified::default();
        let counted = (0..SEPARATE_MAXIMUM + 10)
            .filter(|number| unverified.counts_refusal(&refused(&format!("t-{number}"), "x", "forbidden")))
            .count();
        assert_eq!(counted, 10 - OWN_LINES as usize);
        let [others] = unverified.take().try_into().ok().unwrap();
        let event = others.event(0);
        assert_eq!((event.token, event.source.as_deref(), event.count), (None, Some(OTHERS), Some(5)));
    }

    #[test]
    fn what_has_no_holder_always_has_its_own_line() {
        let unverified = Unverified::default();
        let event = AuditEvent { token: None, ..refused("", "node", "forbidden") };
        assert!((0..20).all(|_| !unverified.counts_refusal(&event)));
    }
}
