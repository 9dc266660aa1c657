//! What a rule requires of a claim: a condition, or a list of them, all of which must hold.
//!
//! Types never mix: `"1"` is not 1, `"true"` is not true, a list of one text is not that text, and 1.0 is not an integer.
//! A claim of another type than its condition's does not match.

use std::fmt;

use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pattern::Pattern;
use super::unique::UniqueValue;

/// Most conditions of one claim.
pub const MAX_CONDITIONS: usize = 16;
/// Most items of a list that is searched. With [`super::rules::MAX_ITEM_COMPARISONS`] it bounds what a decision costs.
pub(super) const MAX_ITEMS: usize = 512;

/// The conditions of one claim, at least one. In JSON one condition stands alone, several are a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions(Vec<Condition>);

/// A condition: text is a pattern, an integer and a boolean are themselves, `{"contains": …}` is for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Condition {
    /// The claim is a list, and one of its items is this.
    #[serde(rename = "contains")]
    Contains(Scalar),
    /// The claim is this.
    #[serde(untagged)]
    Is(Scalar),
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    /// Text that matches the pattern.
    Text(Pattern),
    /// Exactly this integer.
    Integer(i128),
    /// This boolean.
    Boolean(bool),
}

/// The type of claim that a condition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimType {
    /// Text.
    Text,
    /// An integer.
    Integer,
    /// A boolean.
    Boolean,
    /// A list.
    List,
}

impl Conditions {
    /// The one condition that the claim is text that matches.
    pub fn text(pattern: &str) -> Self {
        Self(vec![Condition::Is(Scalar::Text(Pattern::new(pattern)))])
    }

    /// The conditions.
    pub fn iter(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter()
    }

    /// How often an item of a list is compared at most: once for each text between two stars.
    pub(super) fn comparisons_of_an_item(&self) -> usize {
        let comparisons = |condition: &Condition| match condition {
            Condition::Contains(Scalar::Text(pattern)) => 1 + pattern.stars(),
            Condition::Contains(_) => 1,
            Condition::Is(_) => 0,
        };
        self.iter().map(comparisons).sum()
    }

    /// Whether all are patterns for text.
    pub(super) fn are_texts(&self) -> bool {
        self.iter().all(|condition| matches!(condition, Condition::Is(Scalar::Text(_))))
    }

    /// Whether the claim is text that matches all conditions.
    pub(super) fn match_text(&self, text: &str) -> bool {
        let claim = Value::from(text);
        self.iter().all(|condition| condition.matches(&claim))
    }

    /// Whether their number is accepted, and no pattern is empty.
    pub(super) fn are_valid(&self) -> bool {
        let is_empty =
            |scalar: &Scalar| matches!(scalar, Scalar::Text(pattern) if pattern.as_str().is_empty());
        (1..=MAX_CONDITIONS).contains(&self.0.len())
            && self.iter().all(|condition| !is_empty(condition.scalar()))
    }

    /// Whether one of them is more than a boolean or a pattern that matches everything.
    pub(super) fn restrict(&self) -> bool {
        self.iter().any(|condition| match condition.scalar() {
            Scalar::Text(pattern) => !pattern.matches_everything(),
            Scalar::Integer(_) => true,
            Scalar::Boolean(_) => false,
        })
    }

    /// What of the claim these conditions need, to be evaluated again: of a list the items that they match.
    pub(super) fn needed(all: &[&Self], claim: &Value) -> Value {
        let Value::Array(items) = claim else { return claim.clone() };
        let is_needed = |item: &&Value| {
            let mut conditions = all.iter().flat_map(|conditions| conditions.iter());
            conditions
                .any(|condition| matches!(condition, Condition::Contains(scalar) if scalar.matches(item)))
        };
        Value::Array(items.iter().filter(is_needed).cloned().collect())
    }
}

impl Condition {
    /// That the claim is text.
    pub(super) fn any_text() -> Self {
        Self::Is(Scalar::Text(Pattern::new("*")))
    }

    /// Whether the claim has the type and satisfies the condition.
    pub fn matches(&self, claim: &Value) -> bool {
        match (self, claim) {
            (Self::Is(scalar), claim) => scalar.matches(claim),
            (Self::Contains(scalar), Value::Array(items)) => {
                items.len() <= MAX_ITEMS && items.iter().any(|item| scalar.matches(item))
            }
            (Self::Contains(_), _) => false,
        }
    }

    /// The type that the claim must have.
    pub fn claim_type(&self) -> ClaimType {
        match self {
            Self::Is(Scalar::Text(_)) => ClaimType::Text,
            Self::Is(Scalar::Integer(_)) => ClaimType::Integer,
            Self::Is(Scalar::Boolean(_)) => ClaimType::Boolean,
            Self::Contains(_) => ClaimType::List,
        }
    }

    fn scalar(&self) -> &Scalar {
        match self {
            Self::Is(scalar) | Self::Contains(scalar) => scalar,
        }
    }
}

impl Scalar {
    fn matches(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(pattern), Value::String(text)) => pattern.matches(text),
            (Self::Integer(wanted), value) => integer(value) == Some(*wanted),
            (Self::Boolean(wanted), Value::Bool(given)) => wanted == given,
            _ => false,
        }
    }

    fn of<E: de::Error>(value: Value) -> Result<Self, E> {
        match value {
            Value::String(text) => Ok(Self::Text(Pattern::new(&text))),
            Value::Bool(value) => Ok(Self::Boolean(value)),
            Value::Number(_) => integer(&value)
                .map(Self::Integer)
                .ok_or_else(|| E::custom("a number in a condition is an integer of at most 64 bits")),
            _ => {
                Err(E::custom("a condition is text, an integer, true, false or {\"contains\": one of these}"))
            }
        }
    }
}

impl ClaimType {
    /// Whether the claim has this type. A number that is not an integer of 64 bits has none.
    pub(super) fn is_of(self, claim: &Value) -> bool {
        match self {
            Self::Text => claim.is_string(),
            Self::Integer => integer(claim).is_some(),
            Self::Boolean => claim.is_boolean(),
            Self::List => claim.as_array().is_some_and(|items| items.len() <= MAX_ITEMS),
        }
    }
}

/// An integer as the JSON has it: 1.0 and integers beyond 64 bits are none, since their value may have been rounded.
fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let UniqueValue(value) = UniqueValue::deserialize(deserializer)?;
        match value {
            Value::Array(list) => list.into_iter().map(condition).collect::<Result<_, _>>().map(Self),
            one => condition(one).map(|one| Self(vec![one])),
        }
    }
}

fn condition<E: de::Error>(value: Value) -> Result<Condition, E> {
    let Value::Object(members) = value else { return Scalar::of(value).map(Condition::Is) };
    let mut members = members.into_iter();
    match (members.next(), members.next()) {
        (Some((name, item)), None) if name == "contains" => Scalar::of(item).map(Condition::Contains),
        _ => Err(E::custom("the object of a condition has the one member \"contains\"")),
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(scalar) => scalar.fmt(out),
            Self::Contains(scalar) => write!(out, "a list that contains {scalar}"),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(pattern) => write!(out, "text that matches {:?}", pattern.as_str()),
            Self::Integer(integer) => write!(out, "the integer {integer}"),
            Self::Boolean(value) => write!(out, "the boolean {value}"),
        }
    }
}

impl fmt::Display for ClaimType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text => "text",
            Self::Integer => "an integer",
            Self::Boolean => "a boolean",
            Self::List => "a list of at most 512 items",
        })
    }
}
