//! The content of one line of the audit log. No field can hold a value, a token or a key.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use crate::error::AuditError;

/// Longest event, as JSON, in bytes.
pub(crate) const EVENT_MAXIMUM: usize = 64 * 1024;
/// Room for a common event.
const COMMON_LENGTH: usize = 1024;
/// Bytes of secret names that an event keeps; the count always includes all.
const NAMES_MAXIMUM: usize = 32 * 1024;
/// Bytes of `detail` that an event keeps.
const DETAIL_MAXIMUM: usize = 512;
/// Bytes of each other text that are kept in an event that would be too long.
const TEXT_MAXIMUM: usize = 192;
/// Ancestors that a long event keeps. The engine checks that no token minted here has more.
pub const ANCESTORS_MAXIMUM: usize = 32;
/// Bytes of each ancestor that are kept: more than a UUID has.
const ANCESTOR_MAXIMUM: usize = 64;

/// One action, with its outcome.
///
/// Ids are text (UUIDs in their usual form). Absent fields are omitted from the line.
#[derive(Clone, Debug, Serialize)]
pub struct AuditEvent {
    /// When, in Unix milliseconds; written as RFC 3339 with milliseconds, UTC.
    #[serde(rename = "t", serialize_with = "rfc3339")]
    pub time_ms: u64,
    /// Id of the request; the store keeps the same one with a change.
    pub request_id: String,
    /// The requested action, as `noun.verb`: `secret.set`, `boot`, `token.mint`.
    pub action: Cow<'static, str>,
    /// How it ended.
    pub outcome: Outcome,
    /// Machine-readable code of the reason: the `status` of the error response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// Address of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Id of the request's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Ids of the tokens that this token was minted from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<String>,
    /// The person or workload behind the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// `jti` of the JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Id of the org.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// Id of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Name of the app at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// The secrets that the request named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<SecretNames>,
    /// The label of the secret key that the request named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// The app version that was created or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Id of the Machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Id of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Age of the control feed at the time of the decision, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed_age_s: Option<u64>,
    /// How many requests the line represents, if more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// A few words for a human reader; cut after 512 bytes.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "cut_detail")]
    pub detail: Option<String>,
    /// The control changes that it made, whole, so that those of a lost store are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feed: Vec<ControlChange>,
}

/// A control change. It holds names and ids, never a value or a key.
#[derive(Clone, Debug, Serialize)]
pub struct ControlChange {
    /// Its number in the control feed.
    pub number: u64,
    /// What the feed's entry says.
    pub change: Box<RawValue>,
}

/// An event as its line holds it: a JSON object without its braces, at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent(Vec<u8>);

impl EncodedEvent {
    /// An event that was kept elsewhere until it can be written. The caller knows that its bytes were not changed.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AuditEvent {
    /// An event with the mandatory fields; the others are set by struct update or by field.
    pub fn new(
        time_ms: u64,
        request_id: impl Into<String>,
        action: impl Into<Cow<'static, str>>,
        outcome: Outcome,
    ) -> Self {
        Self {
            time_ms,
            request_id: request_id.into(),
            action: action.into(),
            outcome,
            reason: None,
            source: None,
            token: None,
            ancestors: Vec::new(),
            subject: None,
            jti: None,
            org: None,
            app: None,
            app_name: None,
            secrets: None,
            secret_key: None,
            version: None,
            machine: None,
            host: None,
            feed_age_s: None,
            count: None,
            detail: None,
            feed: Vec::new(),
        }
    }

    /// The event as its line holds it.
    ///
    /// # Errors
    /// [`AuditError::TooLong`] if it is too long even after its texts were cut.
    pub fn encode(&self) -> Result<EncodedEvent, AuditError> {
        let mut json = Vec::with_capacity(COMMON_LENGTH);
        serde_json::to_writer(&mut json, self).map_err(|_| AuditError::Encode)?;
        if json.len() > EVENT_MAXIMUM {
            let mut shorter = self.clone();
            shorter.cut();
            json = serde_json::to_vec(&shorter).map_err(|_| AuditError::Encode)?;
        }
        if json.len() > EVENT_MAXIMUM {
            return Err(AuditError::TooLong { length: json.len(), maximum: EVENT_MAXIMUM });
        }
        json.pop();
        json.remove(0);
        Ok(EncodedEvent(json))
    }

    /// Cuts every text whose length a caller can choose, so that every request gets its line.
    fn cut(&mut self) {
        let subject = self.subject.iter_mut().flat_map(|subject| [&mut subject.issuer, &mut subject.sub]);
        let texts = [
            &mut self.source,
            &mut self.token,
            &mut self.jti,
            &mut self.org,
            &mut self.app,
            &mut self.app_name,
            &mut self.secret_key,
            &mut self.machine,
            &mut self.host,
        ];
        for text in texts.into_iter().flatten().chain([&mut self.request_id]).chain(subject) {
            text.truncate(text.floor_char_boundary(TEXT_MAXIMUM));
        }
        let ancestors = self.ancestors.len();
        self.ancestors.truncate(ANCESTORS_MAXIMUM);
        for ancestor in &mut self.ancestors {
            ancestor.truncate(ancestor.floor_char_boundary(ANCESTOR_MAXIMUM));
        }
        let detail = self.detail.take().unwrap_or_default();
        self.detail = Some(format!("the line was too long and is cut; {ancestors} ancestors; {detail}"));
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was allowed and done.
    Allowed,
    /// It was refused.
    Denied,
    /// It was allowed, and failed.
    Failed,
    /// After a kill, a committed change had no line; this is its line.
    Recovered,
}

/// The person or workload behind a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The issuer that authenticated it.
    pub issuer: String,
    /// Its name at that issuer.
    pub sub: String,
}

/// Names of secrets. Never their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretNames {
    /// How many secrets there are.
    pub count: u64,
    /// Their names; at most the first 32 KiB of them.
    pub names: Vec<String>,
}

impl SecretNames {
    /// Counts all names and keeps the first 32 KiB of them.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let mut kept = Self { count: 0, names: Vec::new() };
        let mut room = NAMES_MAXIMUM;
        for name in names {
            let name = name.into();
            kept.count = kept.count.saturating_add(1);
            // Quotes and comma; names have no character that JSON escapes.
            room = room.saturating_sub(name.len().saturating_add(3));
            if room > 0 {
                kept.names.push(name);
            }
        }
        kept
    }
}

/// RFC 3339 with milliseconds, UTC; a time past the year 9999 is written as its last millisecond.
pub(crate) fn rfc3339_text(time_ms: u64) -> String {
    let last = 253_402_300_799_999;
    let milliseconds = time_ms.min(last);
    let seconds = i64::try_from(milliseconds / 1000).unwrap_or(0);
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
        milliseconds % 1000
    )
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn rfc3339<S: Serializer>(time_ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339_text(*time_ms))
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn cut_detail<S: Serializer>(detail: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let detail = detail.as_deref().unwrap_or_default();
    serializer.serialize_str(detail.get(..detail.floor_char_boundary(DETAIL_MAXIMUM)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_field_by_field_in_a_fixed_order() {
        let event = AuditEvent {
            app: Some("a".into()),
            secrets: Some(SecretNames::new(["ONE", "TWO"])),
            version: Some(7),
            subject: Some(Subject { issuer: "https://id".into(), sub: "kim".into() }),
            feed: vec![ControlChange {
                number: 3,
                change: RawValue::from_string(r#"{"host_revoked":{"host":"h"}}"#.into()).unwrap(),
            }],
            ..AuditEvent::new(1_700_000_000_123, "r-1", "secret.set", Outcome::Allowed)
        };
        assert_eq!(
            String::from_utf8(event.encode().unwrap().0).unwrap(),
            r#""t":"2023-11-14T22:13:20.123Z","request_id":"r-1","action":"secret.set","outcome":"allowed","subject":{"issuer":"https://id","sub":"kim"},"app":"a","secrets":{"count":2,"names":["ONE","TWO"]},"version":7,"feed":[{"number":3,"change":{"host_revoked":{"host":"h"}}}]"#
        );
    }

    #[test]
    fn ten_thousand_names_are_counted_and_the_first_are_kept() {
        let names = SecretNames::new((0..10_000).map(|number| format!("NAME_{number:04}")));
        assert_eq!(names.count, 10_000);
        assert_eq!(names.names.len(), (NAMES_MAXIMUM - 1) / 12);
        let event = AuditEvent { secrets: Some(names), ..AuditEvent::new(0, "r", "boot", Outcome::Allowed) };
        assert!(event.encode().unwrap().as_bytes().len() < EVENT_MAXIMUM);
    }

    #[test]
    fn a_long_detail_is_cut_at_a_character() {
        let event =
            AuditEvent { detail: Some("ä".repeat(400)), ..AuditEvent::new(0, "r", "boot", Outcome::Denied) };
        let json = String::from_utf8(event.encode().unwrap().0).unwrap();
        assert_eq!(json.matches('ä').count(), 256);
    }

    #[test]
    fn an_event_over_the_limit_is_cut_and_marked_as_cut() {
        // JSON escapes each of these with six bytes.
        let long = || Some("\u{1}".repeat(EVENT_MAXIMUM));
        let event = AuditEvent {
            reason: Some("policy_denied".into()),
            source: long(),
            token: long(),
            ancestors: vec![long().unwrap(); 2000],
            subject: Some(Subject { issuer: long().unwrap(), sub: long().unwrap() }),
            jti: long(),
            org: long(),
            app: long(),
            app_name: long(),
            secrets: Some(SecretNames::new(vec!["N".repeat(255); 500])),
            secret_key: long(),
            version: Some(u64::MAX),
            machine: long(),
            host: long(),
            feed_age_s: Some(u64::MAX),
            count: Some(u64::MAX),
            detail: long(),
            feed: Vec::new(),
            ..AuditEvent::new(0, long().unwrap(), "secret.update", Outcome::Recovered)
        };
        let json = String::from_utf8(event.encode().unwrap().0).unwrap();
        assert!(
            json.contains(r#""detail":"the line was too long and is cut; 2000 ancestors; \u0001"#),
            "{json}"
        );
        assert!(json.contains(r#""action":"secret.update","outcome":"recovered","reason":"policy_denied""#));
        assert!(json.contains(r#""count":500,"#));
    }

    #[test]
    fn the_first_and_last_times_are_formatted() {
        assert_eq!(rfc3339_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339_text(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
