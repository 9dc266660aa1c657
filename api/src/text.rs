//! Every text of this crate that a person reads: the rules that names, ids, values and bodies break.
//! A text states the rule. It never repeats the input, which may be a secret in the wrong place, but for the name of an
//! unknown field.

use std::fmt;

use crate::json::{MOST_VALUES, Place, Problem};
use crate::secret_key::SecretKeyType;

pub(crate) const SECRET_NAME: &str =
    "a secret's name is 1 to 255 letters, digits and underscores (A-Z a-z 0-9 _), not starting with a digit";
pub(crate) const SECRET_KEY_NAME: &str =
    "a secret key's name is 1 to 128 letters, digits, underscores and hyphens (A-Z a-z 0-9 _ -)";
pub(crate) const ORG_NAME: &str =
    "an org's name is 1 to 63 of a-z, 0-9 and -, starts with a letter, does not end with - and is not an id";
pub(crate) const APP_NAME: &str =
    "an app's name is 1 to 63 of a-z, 0-9 and -, starts with a letter, does not end with - and is not an id";
pub(crate) const MACHINE_ID: &str =
    "a machine id is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', starting with a letter or digit";
pub(crate) const HOST_ID: &str =
    "a host id is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', starting with a letter or digit";
pub(crate) const ID: &str =
    "not an id: give 36 characters like 0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00, in lower case";

pub(crate) const VALUE_GIVEN_TWICE: &str = "value and value_b64 were both given: give one of them";
pub(crate) const VALUE_MISSING: &str = "no value was given: give value (text) or value_b64 (base64)";
pub(crate) const VALUE_NOT_BASE64: &str =
    "value_b64 is not base64: use the standard alphabet (+ /) with padding";
pub(crate) const FIELD_NOT_BASE64: &str =
    "a byte field is not base64: use the standard alphabet (+ /) with padding";

pub(crate) const REPEATED_NAME: &str = "a name occurs twice in one object";
pub(crate) const REPEATED_ENTRY: &str = "a name occurs twice in one list";
pub(crate) const TOO_MANY_NAMES: &str = "more than 4096 names at once";
pub(crate) const MISPLACED_VERSION: &str = "expected_version belongs beside values";
pub(crate) const EMPTY_LIST: &str =
    "an empty list would narrow nothing: leave the field out, or name something";

/// The names of all types of secret keys.
pub(crate) fn secret_key_type() -> String {
    let names: Vec<&str> = SecretKeyType::ALL.iter().map(|kind| kind.as_str()).collect();
    format!("a secret key's type is one of {}", names.join(" "))
}

/// What is wrong with a body, and where.
pub(crate) fn parse_error(f: &mut fmt::Formatter<'_>, problem: &Problem, place: &Place) -> fmt::Result {
    match problem {
        Problem::Malformed { line, column } => {
            write!(f, "the body is not well-formed JSON, at line {line}, column {column}")
        }
        Problem::TooManyValues => {
            write!(f, "the body has more than {MOST_VALUES} values; send less in one request")
        }
        Problem::NotAnObject => f.write_str("the body is JSON, but not an object"),
        Problem::RepeatedName { line, column } => {
            write!(f, "{REPEATED_NAME}, at line {line}, column {column} of the body")
        }
        Problem::Refused(violation) => write!(f, "{violation} ({place})"),
        Problem::MissingField(name) => write!(f, "missing field `{name}` ({place})"),
        Problem::UnknownField { name, known } => {
            f.write_str("unknown field")?;
            name.iter().try_for_each(|name| write!(f, " {name}"))?;
            match known {
                [] => write!(f, "; this object has none ({place})"),
                known => write!(f, "; known are {} ({place})", known.join(", ")),
            }
        }
        Problem::UnknownVariant { known } => {
            write!(f, "unknown choice; give one of {} ({place})", known.join(", "))
        }
        Problem::ExplicitNull => {
            write!(f, "null is not a value here: give a value or leave the field out ({place})")
        }
        Problem::WrongType => write!(f, "a wrong type or a number out of range ({place})"),
    }
}
