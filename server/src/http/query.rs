//! Why a query is refused. serde's errors are texts that may repeat values; these name parameters alone.

use petsem_engine::Failure;
use serde::de::value::Error as NoValue;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};

use crate::messages;

/// Longest name of an unknown parameter that an error repeats, in bytes.
const LONGEST: usize = 24;

/// The refusal of a query that does not read as `Q`.
pub(super) fn refusal<Q: DeserializeOwned>(query: &str) -> Failure {
    let known = known_names::<Q>();
    let mut given = Vec::new();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        match known.iter().find(|known| **known == name) {
            None => return messages::unknown_query_parameter(is_harmless(&name).then_some(&*name), known),
            Some(name) if given.contains(name) => return messages::repeated_query_parameter(name),
            Some(name) => given.push(*name),
        }
    }
    match given.is_empty() {
        true => messages::invalid_query(),
        false => messages::wrong_query_value(&given),
    }
}

/// Refuses a query of a route that takes none. An empty one is none.
pub(super) fn none(query: &str) -> Result<(), Failure> {
    match form_urlencoded::parse(query.as_bytes()).next() {
        None => Ok(()),
        Some((name, _)) => Err(messages::unknown_query_parameter(is_harmless(&name).then_some(&*name), &[])),
    }
}

/// Whether an answer and the audit log may repeat it: values, tokens and keys are longer, or have other characters.
fn is_harmless(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-')
}

/// The names of the fields of a query.
fn known_names<Q: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Always an error: there is nothing to read.
    let _nothing = Q::deserialize(Names(&mut names));
    names
}

/// Reads nothing, and notes which fields are wanted.
struct Names<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = NoValue;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoValue> {
        Err(NoValue::custom("nothing to read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoValue> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use petsem_api::ErrorCode;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its form counts")]
    struct Wanted {
        min_version: Option<u64>,
        #[serde(default)]
        show_secrets: bool,
    }

    #[test]
    fn a_refused_query_names_the_parameter_and_no_value() {
        let text = |query: &str| {
            let refused = refusal::<Wanted>(query);
            assert_eq!(refused.code(), ErrorCode::BadRequest);
            refused.external().to_owned()
        };
        for (query, begin) in [
            (
                "min_version=1&verison=2",
                "unknown query parameter `verison`; known are min_version, show_secrets",
            ),
            ("fm2_CANARY=1", "unknown query parameter; known are min_version, show_secrets"),
            (&format!("{}=1", "x".repeat(25)), "unknown query parameter; known are"),
            ("min_version=1&min_version=2", "query parameter `min_version` is given twice"),
            ("min_version=CANARY", "a wrong value of query parameter min_version"),
            (
                "min_version=1&show_secrets=CANARY",
                "a wrong value of query parameter min_version or show_secrets",
            ),
        ] {
            let text = text(query);
            assert!(text.starts_with(begin) && !text.contains("CANARY"), "{query}: {text}");
        }
    }

    #[test]
    fn a_route_without_a_query_refuses_every_parameter() {
        let text = |query: &str| none(query).err().map(|refused| refused.external().to_owned());
        for query in ["", "&"] {
            assert_eq!(text(query), None, "{query}");
        }
        let rest = "; this route takes none; nothing was changed; see /openapi.json";
        for (query, begin) in [
            ("dry-run=true", "unknown query parameter `dry-run`"),
            ("dry-run", "unknown query parameter `dry-run`"),
            ("&force=1&wait=true", "unknown query parameter `force`"),
            ("fm2_CANARY=1", "unknown query parameter"),
            ("=1", "unknown query parameter"),
        ] {
            assert_eq!(text(query), Some(format!("{begin}{rest}")), "{query}");
        }
    }
}
