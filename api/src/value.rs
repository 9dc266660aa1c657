//! The value of a secret on the wire: bytes, given as `value` (text) or `value_b64`, never both.

use std::fmt;

use data_encoding::BASE64;
use zeroize::{Zeroize, Zeroizing};

use crate::text;
use crate::wiped::WipedBytes;

/// A value's bytes, wiped on drop. Prints as `Value(..)`.
pub struct Value(WipedBytes);

impl Value {
    /// The value with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(WipedBytes::new(bytes))
    }

    /// The value from its two wire fields. Exactly one must be present.
    pub fn from_wire(value: Option<String>, value_b64: Option<String>) -> Result<Self, ValueError> {
        match (value, value_b64) {
            (Some(text), None) => Ok(Self::new(text.into_bytes())),
            (None, Some(mut text)) => {
                let decoded = BASE64.decode(text.as_bytes());
                text.zeroize();
                decoded.map(Self::new).map_err(|_| ValueError::Base64)
            }
            (Some(mut text), Some(mut encoded)) => {
                text.zeroize();
                encoded.zeroize();
                Err(ValueError::Both)
            }
            (None, None) => Err(ValueError::Missing),
        }
    }

    /// The bytes: for sealing, for the response to an authorized reader, for injection.
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The wire field: text if the bytes are UTF-8, otherwise base64.
    pub fn expose_wire(&self) -> WireField<'_> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => WireField::Value(text),
            Err(_) => WireField::ValueB64(Zeroizing::new(BASE64.encode(&self.0))),
        }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty. The empty value is a valid value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The one field that holds a value on the wire. It prints nothing of it.
pub enum WireField<'a> {
    /// `value`.
    Value(&'a str),
    /// `value_b64`.
    ValueB64(Zeroizing<String>),
}

impl WireField<'_> {
    /// Its name and its text.
    pub fn expose(&self) -> (&'static str, &str) {
        match self {
            Self::Value(text) => ("value", text),
            Self::ValueB64(encoded) => ("value_b64", encoded),
        }
    }
}

impl fmt::Debug for WireField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireField(..)")
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

/// Why two wire fields are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// `value` and `value_b64` together.
    #[error("{}", text::VALUE_GIVEN_TWICE)]
    Both,
    /// Neither.
    #[error("{}", text::VALUE_MISSING)]
    Missing,
    /// `value_b64` is not standard base64 with padding.
    #[error("{}", text::VALUE_NOT_BASE64)]
    Base64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_utf8_are_sent_as_text() {
        let field = |bytes: &[u8]| {
            let value = Value::new(bytes.to_vec());
            let field = value.expose_wire();
            let (name, text) = field.expose();
            (name, text.to_owned())
        };
        assert_eq!(field(b"a\0\n"), ("value", "a\0\n".to_owned()));
        assert_eq!(field(&[0xff, 0]), ("value_b64", "/wA=".to_owned()));
        assert_eq!(field(b""), ("value", String::new()));
    }

    #[test]
    fn exactly_one_field_makes_a_value() {
        let read = |text: Option<&str>, encoded: Option<&str>| {
            Value::from_wire(text.map(str::to_owned), encoded.map(str::to_owned))
                .map(|value| value.expose_bytes().to_vec())
        };
        assert_eq!(read(Some("é"), None), Ok("é".as_bytes().to_vec()));
        assert_eq!(read(None, Some("/wA=")), Ok(vec![0xff, 0]));
        assert_eq!(read(Some(""), Some("")), Err(ValueError::Both));
        assert_eq!(read(None, None), Err(ValueError::Missing));
        for bad in ["/wA", "_wA=", "/wA=\n", "/wB="] {
            assert_eq!(read(None, Some(bad)), Err(ValueError::Base64), "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let value = Value::new(b"canary".to_vec());
        assert_eq!(format!("{value:?} {:?}", value.expose_wire()), "Value(..) WireField(..)");
    }
}
