//! JSON in which no object has a name twice, so that what a person reads in it is what counts.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::json::{Violation, refused};
use crate::name::SecretName;

/// A JSON value of which no object, at any depth, has a name twice. serde_json's own takes the last value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueJson(pub Value);

impl<'de> Deserialize<'de> for UniqueJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique).map(Self)
    }
}

/// For a field: `#[serde(deserialize_with = "unique_json")]`.
pub(crate) fn unique_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    UniqueJson::deserialize(deserializer).map(|json| json.0)
}

/// For a list of names: `#[serde(deserialize_with = "unique_names")]`.
pub(crate) fn unique_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeSet<SecretName>, D::Error> {
    let list = Vec::<SecretName>::deserialize(deserializer)?;
    let count = list.len();
    let names = BTreeSet::from_iter(list);
    if names.len() == count { Ok(names) } else { Err(refused(Violation::RepeatedEntry)) }
}

struct Unique;

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(UniqueJson(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, UniqueJson(value))) = items.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(refused(Violation::RepeatedName));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_as_with_serde_json() {
        let text = r#"{"a":[1,-2,3.5,"x",true,null,{"b":{}}],"c":18446744073709551615}"#;
        let read: UniqueJson = serde_json::from_str(text).unwrap();
        assert_eq!(read.0, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_repeated_name_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"a":2}}]"#, r#"{"a":1,"\u0061":2}"#] {
            let error = serde_json::from_str::<UniqueJson>(text).unwrap_err().to_string();
            assert!(error.starts_with("a name occurs twice in one object"), "{error}");
        }
    }
}
