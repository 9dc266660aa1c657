//! Names that people give. Each type is one alphabet; what does not fit is refused, never changed, so that
//! two spellings never reach one object (no case folding, no trimming, no Unicode forms).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{AppId, OrgId};

/// Longest secret name, in bytes.
pub const MAX_SECRET_NAME: usize = 255;

/// Why a text is no name. Says the rule, never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError {
    rule: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)
    }
}

impl std::error::Error for NameError {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $fits:expr, $rule:expr) => {
        $(#[$doc])*
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
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A secret's name: 1–255 of `[A-Za-z_][A-Za-z0-9_]*`, the form that every environment takes.
    SecretName,
    is_secret_name,
    "a secret's name is 1 to 255 letters, digits and underscores (A-Z a-z 0-9 _), not starting with a digit"
}
name! {
    /// A secret key's label: 1–128 of `[A-Za-z0-9_-]`, as flyctl has it. Versions of a key are labels that
    /// end in `v0`, `v1` …, each a key of its own.
    SecretKeyName,
    is_secret_key_name,
    "a secret key's name is 1 to 128 letters, digits, underscores and hyphens (A-Z a-z 0-9 _ -)"
}
name! {
    /// An org's label: 1–63 of `[a-z0-9-]`, starting with a letter, and not an id.
    OrgName,
    is_label,
    "an org's name is 1 to 63 of a-z, 0-9 and -, starts with a letter, does not end with - and is no id"
}
name! {
    /// An app's label: 1–63 of `[a-z0-9-]`, starting with a letter, and not an id.
    AppName,
    is_label,
    "an app's name is 1 to 63 of a-z, 0-9 and -, starts with a letter, does not end with - and is no id"
}
name! {
    /// A Machine's id, given by the orchestrator: 1–64 of `[A-Za-z0-9._-]`, starting with a letter or digit.
    MachineId,
    is_machine,
    "a machine id is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', starting with a letter or digit"
}
name! {
    /// A host's id: 1–64 of `[A-Za-z0-9._-]`, starting with a letter or digit.
    HostId,
    is_machine,
    "a host id is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', starting with a letter or digit"
}

macro_rules! reference {
    ($(#[$doc:meta])* $name:ident, $id:ident, $label:ident) => {
        $(#[$doc])*
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
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

reference! {
    /// How a path or body names an org: by id or by label. No label is an id, so there is one reading.
    OrgRef, OrgId, OrgName
}
reference! {
    /// How a path or body names an app: by id or by label. No label is an id, so there is one reading.
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
    fn secret_names_are_what_every_environment_takes() {
        for good in ["A", "_", "DATABASE_URL", "a1", &"x".repeat(255)] {
            assert_eq!(good.parse::<SecretName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "1A", "A-B", "A.B", "A B", " A", "A\n", "É", "A\0", &"x".repeat(256), "ﬁ"] {
            assert_eq!(
                bad.parse::<SecretName>().err().map(|error| error.rule.len() > 10),
                Some(true),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn secret_key_names_are_flyctls_labels() {
        for good in ["a", "-", "signing-keyv0", "A_1", "0", &"x".repeat(128)] {
            assert_eq!(good.parse::<SecretKeyName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a.b", "a/b", "a b", "é", "a\n", &"x".repeat(129)] {
            assert!(bad.parse::<SecretKeyName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_label_is_never_an_id() {
        let id = "a199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00";
        assert!(matches!(id.parse::<AppRef>(), Ok(AppRef::Id(_))));
        assert!(id.parse::<AppName>().is_err());
        assert!(matches!("shop".parse::<AppRef>(), Ok(AppRef::Name(_))));
        for bad in ["Shop", "shop ", "1shop", "shop-", "sh_op", "sh/op", "", "..", &"a".repeat(64)] {
            assert!(bad.parse::<AppRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn machine_ids_hold_no_separator() {
        for bad in ["", "/", "a/b", "-a", ".a", "a b", &"a".repeat(65), "a\0"] {
            assert!(bad.parse::<MachineId>().is_err(), "{bad:?}");
        }
        assert_eq!(
            "d891234f.x_Y-1".parse::<MachineId>().map(|id| id.to_string()),
            Ok("d891234f.x_Y-1".to_owned())
        );
    }
}
