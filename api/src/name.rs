//! Names that people give. Each type has one alphabet. A text that does not fit is refused and never changed,
//! so that two spellings never reach one object: no case folding, no trimming, no Unicode normalization.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::id::{AppId, OrgId};
use crate::json::refused;
use crate::{schema, text};

/// Longest secret name, in bytes.
pub const MAX_SECRET_NAME: usize = 255;

/// Why a text is not a name. States the rule and never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct NameError {
    rule: &'static str,
}

/// A name: what it is, the function that accepts it, the text of its rule, and its schema (pattern, greatest
/// length, example).
macro_rules! name {
    (
        $(#[doc = $doc:literal])*
        $name:ident, $fits:expr, $rule:expr, $pattern:literal, $longest:expr, $example:literal
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $fits(text) { Ok(Self(text.into())) } else { Err(NameError { rule: $rule }) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(|error: NameError| refused(error))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                schema::text(concat!($($doc, "\n"),*))
                    .pattern(Some($pattern))
                    .min_length(Some(1))
                    .max_length(Some($longest))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}

name! {
    /// The name of a secret: 1 to 255 of `A-Z`, `a-z`, `0-9` and `_`, not starting with a digit. Every
    /// environment accepts this form.
    SecretName,
    is_secret_name,
    text::SECRET_NAME,
    "^[A-Za-z_][A-Za-z0-9_]*$",
    MAX_SECRET_NAME,
    "DATABASE_URL"
}
name! {
    /// The label of a secret key: 1 to 128 of `A-Z`, `a-z`, `0-9`, `_` and `-`, as `flyctl` has it. Versions
    /// of a key are labels that end in `v0`, `v1` and so on, each a key of its own.
    SecretKeyName,
    is_secret_key_name,
    text::SECRET_KEY_NAME,
    "^[A-Za-z0-9_-]+$",
    128,
    "signingv0"
}
impl SecretKeyName {
    /// A label that ends in `v` and a number: the part before, and the number.
    pub fn version(&self) -> Option<(&str, u64)> {
        let (base, digits) = self.0.rsplit_once('v')?;
        let written = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let version = digits.parse().ok().filter(|_| written && !base.is_empty())?;
        Some((base, version))
    }

    /// The label without its version: what all versions of a key have in common.
    pub fn unversioned(&self) -> &str {
        self.version().map_or(&self.0, |(base, _)| base)
    }
}

name! {
    /// The label of an org: 1 to 63 of `a-z`, `0-9` and `-`. It starts with a letter, does not end with `-`
    /// and is not an id.
    OrgName,
    is_label,
    text::ORG_NAME,
    "^[a-z]([a-z0-9-]*[a-z0-9])?$",
    63,
    "demo"
}
name! {
    /// The label of an app: 1 to 63 of `a-z`, `0-9` and `-`. It starts with a letter, does not end with `-`,
    /// is not an id, and is unique in the whole store.
    AppName,
    is_label,
    text::APP_NAME,
    "^[a-z]([a-z0-9-]*[a-z0-9])?$",
    63,
    "shop"
}
name! {
    /// The id of a Machine, given by the orchestrator: 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`,
    /// starting with a letter or digit.
    MachineId,
    is_machine,
    text::MACHINE_ID,
    "^[A-Za-z0-9][A-Za-z0-9._-]*$",
    64,
    "d891234f"
}
name! {
    /// The id of a host: 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, starting with a letter or digit.
    HostId,
    is_machine,
    text::HOST_ID,
    "^[A-Za-z0-9][A-Za-z0-9._-]*$",
    64,
    "host-1"
}

macro_rules! reference {
    ($(#[doc = $doc:literal])* $name:ident, $id:ident, $label:ident) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            /// The immutable id.
            Id($id),
            /// The label.
            Name($label),
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match text.parse() {
                    Ok(id) => Ok(Self::Id(id)),
                    Err(_) => text.parse().map(Self::Name),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Id(id) => id.fmt(f),
                    Self::Name(name) => name.fmt(f),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(|error: NameError| refused(error))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                AnyOfBuilder::new()
                    .description(Some(schema::prose(concat!($($doc, "\n"),*))))
                    .item(Ref::from_schema_name($id::name()))
                    .item(Ref::from_schema_name($label::name()))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                schemas.push(($id::name().into_owned(), $id::schema()));
                schemas.push(($label::name().into_owned(), $label::schema()));
            }
        }
    };
}

reference! {
    /// An org, by id or by name. No name is an id, so there is one reading.
    OrgRef, OrgId, OrgName
}
reference! {
    /// An app, by id or by name. No name is an id, so there is one reading.
    AppRef, AppId, AppName
}

fn is_secret_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_SECRET_NAME
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_secret_key_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_label(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 63
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.ends_with('-')
        && text.parse::<AppId>().is_err()
}

fn is_machine(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 64
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names_are_what_every_environment_accepts() {
        for good in ["A", "_", "DATABASE_URL", "a1", &"x".repeat(255)] {
            assert_eq!(good.parse::<SecretName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "1A", "A-B", "A.B", "A B", " A", "A\n", "É", "A\0", &"x".repeat(256), "ﬁ"] {
            assert_eq!(bad.parse::<SecretName>(), Err(NameError { rule: text::SECRET_NAME }), "{bad:?}");
        }
    }

    #[test]
    fn secret_key_names_are_the_labels_of_flyctl() {
        for good in ["a", "-", "signing-keyv0", "A_1", "0", &"x".repeat(128)] {
            assert_eq!(good.parse::<SecretKeyName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a.b", "a/b", "a b", "é", "a\n", &"x".repeat(129)] {
            assert_eq!(
                bad.parse::<SecretKeyName>(),
                Err(NameError { rule: text::SECRET_KEY_NAME }),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_version_of_a_key_is_a_v_and_a_number_at_the_end_of_its_label() {
        let version = |label: &str| {
            let name: SecretKeyName = label.parse().unwrap();
            (name.version().map(|(_, version)| version), name.unversioned().to_owned())
        };
        assert_eq!(version("signv0"), (Some(0), "sign".to_owned()));
        assert_eq!(version("sign-v12"), (Some(12), "sign-".to_owned()));
        for label in ["sign", "v", "v0", "signv", "signv1a", "signv-1", "signv99999999999999999999"] {
            assert_eq!(version(label), (None, label.to_owned()));
        }
    }

    #[test]
    fn a_label_is_never_an_id() {
        let id = "a199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00";
        assert!(matches!(id.parse::<AppRef>(), Ok(AppRef::Id(_))));
        assert_eq!(id.parse::<AppName>(), Err(NameError { rule: text::APP_NAME }));
        assert!(matches!("shop".parse::<AppRef>(), Ok(AppRef::Name(_))));
        for bad in ["Shop", "shop ", "1shop", "shop-", "sh_op", "sh/op", "", "..", &"a".repeat(64)] {
            assert!(bad.parse::<AppRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn machine_ids_have_no_separator() {
        for bad in ["", "/", "a/b", "-a", ".a", "a b", &"a".repeat(65), "a\0"] {
            assert_eq!(bad.parse::<MachineId>(), Err(NameError { rule: text::MACHINE_ID }), "{bad:?}");
        }
        assert_eq!(
            "d891234f.x_Y-1".parse::<MachineId>().map(|id| id.to_string()),
            Ok("d891234f.x_Y-1".to_owned())
        );
    }

    /// Whether the schema of a name accepts what its type accepts.
    fn schema_agrees<T: FromStr<Err = NameError> + PartialSchema>(text: &str) -> bool {
        let RefOr::T(Schema::Object(schema)) = T::schema() else { panic!("a name is a text") };
        let pattern = regex::Regex::new(schema.pattern.as_deref().unwrap()).unwrap();
        let length = text.chars().count();
        let fits = (schema.min_length.unwrap()..=schema.max_length.unwrap()).contains(&length);
        (fits && pattern.is_match(text)) == text.parse::<T>().is_ok()
    }

    proptest::proptest! {
        #[test]
        fn the_schema_of_a_name_is_its_validation(text in "[ -~é\\n]{0,3}|[a-z0-9-]{0,66}|[A-Za-z0-9_]{250,260}|[A-Za-z0-9._-]{60,70}|[A-Za-z0-9_-]{120,132}") {
            proptest::prop_assert!(schema_agrees::<SecretName>(&text));
            proptest::prop_assert!(schema_agrees::<SecretKeyName>(&text));
            proptest::prop_assert!(schema_agrees::<OrgName>(&text));
            proptest::prop_assert!(schema_agrees::<AppName>(&text));
            proptest::prop_assert!(schema_agrees::<MachineId>(&text));
            proptest::prop_assert!(schema_agrees::<HostId>(&text));
        }
    }
}
