//! From the bytes of a body to a request, with a typed error.
//!
//! serde's errors are texts, and they repeat the input. A [`ParseError`] is made of an [`ErrorCode`], static
//! names of fields and positions, so it cannot repeat what a client sent. One reader also gives all requests
//! the same rules:
//!
//! - No object has a name twice.
//! - An object is written as an object; serde alone would take a list of its fields as well.
//! - `null` is refused where a field may be absent. Absence often means more: `{"org": null}` would rotate
//!   the key of the platform.
//!
//! The body is read into a tree first. The strings of the tree are wiped when they are dropped.

use std::cell::Cell;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected,
    IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::Number;
use zeroize::Zeroizing;

use crate::error::ErrorCode;
use crate::id::IdError;
use crate::name::NameError;
use crate::secret_key::SecretKeyTypeError;
use crate::text;
use crate::value::ValueError;

/// Reads the body of a request.
///
/// # Errors
/// [`ParseError`], which never repeats a part of the body.
///
/// ```
/// use petsem_api::{CreateOrg, ErrorCode, from_json};
///
/// let error = from_json::<CreateOrg>(br#"{"name": "Not A Label"}"#).unwrap_err();
/// assert_eq!(error.code(), ErrorCode::BadName);
/// assert!(error.to_string().ends_with("(field name)"));
/// ```
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ParseError> {
    if values_at_most(body) > MOST_VALUES {
        return Err(ParseError::new(Problem::TooManyValues));
    }
    let tree: Node = serde_json::from_slice(body).map_err(|error| ParseError::of_syntax(&error))?;
    match tree {
        Node::Object(_) => T::deserialize(tree),
        _ => Err(ParseError::new(Problem::NotAnObject)),
    }
}

/// Most values of a body, each a node of the tree: `[0,0,…]` takes sixteen times its bytes as a tree. No request needs
/// a quarter of them.
pub(crate) const MOST_VALUES: usize = 65_536;

/// The number of values in a JSON text, or more: one, and one for each comma and opening bracket outside of strings.
fn values_at_most(body: &[u8]) -> usize {
    let (mut values, mut in_string, mut is_escaped) = (1, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

/// Why a body is not the request that its route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    problem: Problem,
    place: Place,
}

impl ParseError {
    /// The code that programs act on.
    pub fn code(&self) -> ErrorCode {
        match &self.problem {
            Problem::Refused(violation) => violation.code(),
            _ => ErrorCode::BadRequest,
        }
    }

    fn new(problem: Problem) -> Self {
        Self { problem, place: Place::default() }
    }

    fn of_syntax(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        // A tree takes every JSON value: the one thing that it refuses is a repeated name.
        Self::new(if error.is_data() {
            Problem::RepeatedName { line, column }
        } else {
            Problem::Malformed { line, column }
        })
    }

    fn inside(mut self, step: Step) -> Self {
        self.place.0.push(step);
        self
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::parse_error(f, &self.problem, &self.place)
    }
}

impl std::error::Error for ParseError {}

/// The name of an unknown field, if it looks like one: then an error may repeat it. Values, tokens and keys are longer, or
/// have capitals or other characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldName(Box<str>);

impl FieldName {
    fn of(name: &str) -> Option<Self> {
        let fits = (1..=24).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        fits.then(|| Self(name.into()))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// What is wrong, without a word of the input but [`FieldName`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Malformed { line: usize, column: usize },
    NotAnObject,
    TooManyValues,
    RepeatedName { line: usize, column: usize },
    Refused(Violation),
    MissingField(&'static str),
    UnknownField { name: Option<FieldName>, known: &'static [&'static str] },
    UnknownVariant { known: &'static [&'static str] },
    ExplicitNull,
    WrongType,
}

/// Where it is wrong: names of declared fields and indices, innermost first. Names that the sender chose are
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Field(&'static str),
    Item(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("in the body");
        }
        f.write_str("field ")?;
        for (depth, step) in self.0.iter().rev().enumerate() {
            match step {
                Step::Field(name) if depth == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A rule of this crate's types that an input breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error(transparent)]
    SecretKeyType(#[from] SecretKeyTypeError),
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("{}", text::FIELD_NOT_BASE64)]
    NotBase64,
    #[error("{}", text::REPEATED_NAME)]
    RepeatedName,
    #[error("{}", text::REPEATED_ENTRY)]
    RepeatedEntry,
    #[error("{}", text::TOO_MANY_NAMES)]
    TooManyNames,
    #[error("{}", text::MISPLACED_VERSION)]
    MisplacedVersion,
    #[error("{}", text::EMPTY_LIST)]
    EmptyList,
}

impl Violation {
    fn code(self) -> ErrorCode {
        match self {
            Self::Name(_) => ErrorCode::BadName,
            Self::SecretKeyType(_) => ErrorCode::BadKey,
            Self::Value(_) | Self::NotBase64 => ErrorCode::BadValue,
            Self::Id(_)
            | Self::RepeatedName
            | Self::RepeatedEntry
            | Self::TooManyNames
            | Self::MisplacedVersion
            | Self::EmptyList => ErrorCode::BadRequest,
        }
    }
}

thread_local! {
    static VIOLATION: Cell<Option<Violation>> = const { Cell::new(None) };
}

/// The error of a `Deserialize` of this crate. serde hands an error on as text alone; a [`ParseError`] takes
/// the value beside it, within this call.
pub(crate) fn refused<E: de::Error>(violation: impl Into<Violation>) -> E {
    let violation = violation.into();
    VIOLATION.set(Some(violation));
    let error = E::custom(violation);
    VIOLATION.set(None);
    error
}

impl de::Error for ParseError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new(VIOLATION.take().map_or(Problem::WrongType, Problem::Refused))
    }

    fn invalid_type(found: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::new(if found == Unexpected::Unit { Problem::ExplicitNull } else { Problem::WrongType })
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::new(Problem::WrongType)
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownField { name: FieldName::of(name), known })
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownVariant { known })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Problem::MissingField(name))
    }
}

/// JSON of which no object has a name twice.
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Object(Vec<(Zeroizing<String>, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyJson;
        impl<'de> Visitor<'de> for AnyJson {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
                Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Text(Zeroizing::new(value.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut object = Vec::new();
                while let Some((name, value)) = items.next_entry::<String, Node>()? {
                    object.push((Zeroizing::new(name), value));
                }
                let mut names: Vec<&str> = object.iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                if names.is_sorted_by(|one, other| one < other) {
                    Ok(Node::Object(object))
                } else {
                    Err(refused(Violation::RepeatedName))
                }
            }
        }
        deserializer.deserialize_any(AnyJson)
    }
}

impl<'de> IntoDeserializer<'de, ParseError> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Node {
    /// The same, with a number such as 40.0 as an integer, which it is to JSON Schema.
    fn with_integer(self) -> Self {
        match self {
            Self::Number(number) => Self::Number(integer_of(&number).unwrap_or(number)),
            other => other,
        }
    }
}

fn integer_of(number: &Number) -> Option<Number> {
    let value = number.as_f64().filter(|_| number.is_f64())?;
    let is_integer = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "an integer of less than 54 bits")]
    is_integer.then(|| Number::from(value as i64))
}

/// Only a field that is an integer takes 40.0 for one. A document that is kept, such as a policy, is kept as it was given,
/// and whether 40.0 is an integer there is its reader's decision.
macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
            self.with_integer().deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Node {
    type Error = ParseError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (None, Some(value), _) => visitor.visit_i64(value),
                (None, None, value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Self::Text(text) => visitor.visit_str(&text),
            Self::List(items) => visitor.visit_seq(Items(items.into_iter().enumerate())),
            Self::Object(entries) => {
                let entries = entries.into_iter().map(|(name, value)| (Self::Text(name), value));
                visitor.visit_map(MapDeserializer::new(entries))
            }
        }
    }

    /// A field that may be absent: `null` is refused.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParseError> {
        match self {
            Self::Null => Err(ParseError::new(Problem::ExplicitNull)),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        match self {
            Self::Object(entries) => {
                visitor.visit_map(Fields { entries: entries.into_iter(), fields, next: None })
            }
            Self::Null => Err(ParseError::new(Problem::ExplicitNull)),
            _ => Err(ParseError::new(Problem::WrongType)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        let (name, content) = match self {
            Self::Text(name) => (name, None),
            Self::Object(mut entries) if entries.len() == 1 => match entries.pop() {
                Some((name, content)) => (name, Some(content)),
                None => return Err(ParseError::new(Problem::UnknownVariant { known })),
            },
            Self::Object(_) => return Err(ParseError::new(Problem::UnknownVariant { known })),
            _ => return Err(ParseError::new(Problem::WrongType)),
        };
        visitor.visit_enum(Variant { name, content, known })
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The items of a list, counted for the place of an error.
struct Items(std::iter::Enumerate<std::vec::IntoIter<Node>>);

impl<'de> SeqAccess<'de> for Items {
    type Error = ParseError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ParseError> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        seed.deserialize(item).map(Some).map_err(|error| error.inside(Step::Item(index)))
    }
}

/// The fields of an object whose type declares their names.
struct Fields {
    entries: std::vec::IntoIter<(Zeroizing<String>, Node)>,
    fields: &'static [&'static str],
    next: Option<(Option<&'static str>, Node)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = ParseError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ParseError> {
        let Some((name, value)) = self.entries.next() else { return Ok(None) };
        let declared = self.fields.iter().copied().find(|field| *field == name.as_str());
        self.next = Some((declared, value));
        seed.deserialize(Node::Text(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ParseError> {
        let Some((name, value)) = self.next.take() else {
            return Err(ParseError::new(Problem::WrongType));
        };
        seed.deserialize(value).map_err(|error| match name {
            Some(name) => error.inside(Step::Field(name)),
            None => error,
        })
    }
}

/// One choice of an enum: its name, and an object where the choice has fields.
struct Variant {
    name: Zeroizing<String>,
    content: Option<Node>,
    known: &'static [&'static str],
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ParseError;
    type Variant = Content;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Content), ParseError> {
        let declared = self.known.iter().copied().find(|known| *known == self.name.as_str());
        let choice = seed.deserialize(Node::Text(self.name))?;
        Ok((choice, Content { declared, content: self.content }))
    }
}

struct Content {
    declared: Option<&'static str>,
    content: Option<Node>,
}

impl Content {
    fn inside(declared: Option<&'static str>, error: ParseError) -> ParseError {
        match declared {
            Some(name) => error.inside(Step::Field(name)),
            None => error,
        }
    }

    fn required(self) -> Result<(Option<&'static str>, Node), ParseError> {
        match self.content {
            Some(content) => Ok((self.declared, content)),
            None => Err(ParseError::new(Problem::WrongType)),
        }
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = ParseError;

    fn unit_variant(self) -> Result<(), ParseError> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(ParseError::new(Problem::WrongType)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ParseError> {
        let (declared, content) = self.required()?;
        seed.deserialize(content).map_err(|error| Self::inside(declared, error))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ParseError> {
        let (declared, content) = self.required()?;
        content.deserialize_any(visitor).map_err(|error| Self::inside(declared, error))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParseError> {
        let (declared, content) = self.required()?;
        content.deserialize_struct("", fields, visitor).map_err(|error| Self::inside(declared, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BatchBootRequest, BootRequest, BulkUpdate, CreateApp, CreateToken, EncryptRequest, GenerateSecretKey,
        PutPolicy, RevokeRequest, RotateSigningKey, SetSecret, SetSecretKey,
    };

    fn refusal<T: DeserializeOwned>(body: &str) -> (ErrorCode, String) {
        let error = from_json::<T>(body.as_bytes()).map(|_| ()).unwrap_err();
        (error.code(), error.to_string())
    }

    #[test]
    fn a_code_is_the_value_that_the_type_refused_with() {
        let app = "an app's name is 1 to 63 of a-z, 0-9 and -, starts with a letter, does not end with - and is not an id";
        assert_eq!(
            refusal::<CreateApp>(r#"{"org":"demo","name":"Shop"}"#),
            (ErrorCode::BadName, format!("{app} (field name)"))
        );
        assert_eq!(
            refusal::<BatchBootRequest>(r#"{"boots":[{"app":"shop","machine":"-m","discharge":"x"}]}"#),
            (
                ErrorCode::BadName,
                "a machine id is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', starting with a letter or digit \
                 (field boots[0].machine)"
                    .to_owned()
            )
        );
        assert_eq!(
            refusal::<SetSecret>(r#"{"value":"x","value_b64":"eA=="}"#),
            (
                ErrorCode::BadValue,
                "value and value_b64 were both given: give one of them (in the body)".to_owned()
            )
        );
        assert_eq!(refusal::<BulkUpdate>(r#"{"values":{"A":{}}}"#).0, ErrorCode::BadValue);
        assert_eq!(refusal::<SetSecretKey>(r#"{"type":"rs256","value":""}"#).0, ErrorCode::BadKey);
        assert_eq!(refusal::<EncryptRequest>(r#"{"plaintext":"_"}"#).0, ErrorCode::BadValue);
        assert_eq!(
            refusal::<CreateToken>(r#"{"kind":"org","apps":[]}"#),
            (
                ErrorCode::BadRequest,
                "an empty list would narrow nothing: leave the field out, or name something (field apps)"
                    .to_owned()
            )
        );
        assert_eq!(
            refusal::<RevokeRequest>(r#"{"token":{"id":"x"}}"#),
            (ErrorCode::BadRequest, format!("{} (field token.id)", text::ID))
        );
    }

    #[test]
    fn a_violation_stays_with_the_error_that_it_belongs_to() {
        serde_json::from_str::<CreateApp>(r#"{"org":"X","name":"shop"}"#).unwrap_err();
        assert_eq!(<ParseError as de::Error>::custom("x").code(), ErrorCode::BadRequest);
        assert_eq!(refusal::<CreateApp>("{}").0, ErrorCode::BadRequest);
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        for (body, text) in [
            ("", "the body is not well-formed JSON, at line 1, column 0"),
            ("[]", "the body is JSON, but not an object"),
            ("5", "the body is JSON, but not an object"),
            (r#"{"org":"demo"}"#, "missing field `name` (in the body)"),
            (
                r#"{"organisation":1}"#,
                "unknown field `organisation`; known are org, org_slug, name, settings, network, app_role_id (in the body)",
            ),
            (
                r#"{"org":"demo","name":"shop","settings":{"Canary-1":1}}"#,
                "unknown field; known are renewal_life, history, allowed_reserved_names (field settings)",
            ),
            (
                r#"{"org":"demo","name":"shop","settings":[1,2]}"#,
                "a wrong type or a number out of range (field settings)",
            ),
            (
                r#"{"org":"demo","name":"shop","settings":{"history":-1}}"#,
                "a wrong type or a number out of range (field settings.history)",
            ),
            (
                r#"{"org":"demo","name":"a","settings":{"allowed_reserved_names":["PATH","PATH"]}}"#,
                "a name occurs twice in one list (field settings.allowed_reserved_names)",
            ),
            (
                r#"{"org":"demo","name":"a","name":"b"}"#,
                "a name occurs twice in one object, at line 1, column 36 of the body",
            ),
        ] {
            assert_eq!(refusal::<CreateApp>(body), (ErrorCode::BadRequest, text.to_owned()), "{body}");
        }
        assert_eq!(
            refusal::<RevokeRequest>(r#"{"canary":{}}"#).1,
            "unknown choice; give one of token, machine, host, signing_key, jwt_subject, discharger_subject, jwt_issuer, jwt (in the body)"
        );
        assert_eq!(refusal::<RevokeRequest>(r#"{"host":{"host":"h"},"token":{}}"#).0, ErrorCode::BadRequest);
        assert_eq!(
            refusal::<RevokeRequest>(r#"{"token":["0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"]}"#).1,
            "a wrong type or a number out of range (field token)"
        );
    }

    #[test]
    fn a_body_of_too_many_values_is_refused_before_it_takes_memory() {
        let body = |zeros: usize| format!(r#"{{"values":[{}0]}}"#, "0,".repeat(zeros)).into_bytes();
        // The object and the list are values, too.
        let text = |zeros| from_json::<BulkUpdate>(&body(zeros)).unwrap_err().to_string();
        assert_eq!(text(MOST_VALUES - 3), "a wrong type or a number out of range (field values)");
        assert_eq!(text(MOST_VALUES - 2), "the body has more than 65536 values; send less in one request");
        // Strings hold any number of commas and brackets.
        let label = r#"\"[{,"#.repeat(MOST_VALUES);
        let error = from_json::<BulkUpdate>(format!(r#"{{"values":"{label}"}}"#).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "a wrong type or a number out of range (field values)");
    }

    #[test]
    fn null_is_refused_for_an_absent_field() {
        let null = "null is not a value here: give a value or leave the field out";
        for refused in [
            refusal::<RotateSigningKey>(r#"{"org":null}"#),
            refusal::<CreateToken>(r#"{"kind":"operator","org":null}"#),
            refusal::<CreateToken>(r#"{"kind":"operator","actions":null}"#),
            refusal::<BootRequest>(r#"{"machine":"m","min_version":null}"#),
            refusal::<CreateApp>(r#"{"org":"demo","name":"shop","settings":null}"#),
            refusal::<PutPolicy>(r#"{"policy":{},"expected_version":null}"#),
            refusal::<SetSecret>(r#"{"value":"x","expected_version":null}"#),
            refusal::<SetSecret>(r#"{"value":"x","value_b64":null}"#),
            refusal::<BulkUpdate>(r#"{"values":{},"expected_version":null}"#),
            refusal::<RevokeRequest>(r#"{"jwt_issuer":{"issuer":"x","before":null}}"#),
        ] {
            assert_eq!(refused.0, ErrorCode::BadRequest, "{refused:?}");
            assert!(refused.1.starts_with(null), "{refused:?}");
        }
    }

    #[test]
    fn an_integer_may_be_written_with_a_fraction_of_zero() {
        let boot: BootRequest = from_json(br#"{"machine":"m","min_version":40.0}"#).unwrap();
        assert_eq!(boot.min_version, Some(40));
        assert_eq!(refusal::<BootRequest>(r#"{"machine":"m","min_version":40.5}"#).0, ErrorCode::BadRequest);
        assert_eq!(refusal::<BootRequest>(r#"{"machine":"m","min_version":-1.0}"#).0, ErrorCode::BadRequest);
    }

    #[test]
    fn a_document_within_a_request_keeps_its_numbers_as_they_were_given() {
        for number in ["1", "1.0", "-0.0", "1e2", "0.1", "9007199254740993", "18446744073709551615", "-1"] {
            let policy = format!(r#"{{"rules":[{{"claims":{{"project_id":{number}}}}}]}}"#);
            let put: PutPolicy = from_json(format!(r#"{{"policy":{policy}}}"#).as_bytes()).unwrap();
            let given: serde_json::Value = serde_json::from_str(&policy).unwrap();
            assert_eq!(put.policy.to_string(), given.to_string(), "{number}");
        }
    }

    #[test]
    fn null_is_a_value_where_the_protocol_has_it() {
        let bulk: BulkUpdate = from_json(br#"{"values":{"A":null}}"#).unwrap();
        assert_eq!(bulk.values.values().map(Option::is_none).collect::<Vec<_>>(), [true]);
        let encrypt: EncryptRequest = from_json(br#"{"plaintext":null}"#).unwrap();
        assert!(encrypt.plaintext.is_empty());
        let generate: GenerateSecretKey = from_json(br#"{"type":"hs256","value":null}"#).unwrap();
        assert!(generate.value.is_none());
    }

    #[test]
    fn an_error_repeats_nothing_of_the_body_but_the_name_of_an_unknown_field() {
        for body in [
            r#"{"values":"canary"}"#,
            r#"{"values":{"A":["canary"]}}"#,
            r#"{"values":{"canary-x":"v"}}"#,
            r#"{"canary1":1}"#,
            r#"{"canary_of_more_than_24_letters":1}"#,
            r#"{"values":{"A":"canary"#,
            r#"{"values":{"A":canary}}"#,
            r#"{"values":{"A":{"Canary":"x"}}}"#,
            r#"{"values":{"canary":{"value":5}}}"#,
            r#"{"values":{"canary":"a","canary":"b"}}"#,
        ] {
            let error = from_json::<BulkUpdate>(body.as_bytes()).unwrap_err();
            assert!(!error.to_string().to_lowercase().contains("canary"), "{error}");
            assert!(!format!("{error:?}").to_lowercase().contains("canary"), "{error:?}");
        }
    }
}
