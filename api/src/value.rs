//! The value of a secret on the wire: bytes, given as `value` (text) or `value_b64`, never both.

use std::fmt;

use data_encoding::BASE64;
use zeroize::{Zeroize, Zeroizing};

use crate::text;

/// A value's bytes, wiped on drop. Prints as `Value(..)`.
pub struct Value(Zeroizing<Vec<u8>>);

impl Value {
    /// The value with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
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

    /// The two wire fields: text if the bytes are UTF-8, otherwise base64.
    pub fn expose_wire(&self) -> (Option<Zeroizing<String>>, Option<Zeroizing<String>>) {
        match std::str::from_utf8(&self.0) {
            Ok(text) => (Some(Zeroizing::new(text.to_owned())), None),
            Err(_) => (None, Some(Zeroizing::new(BASE64.encode(&self.0)))),
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
        let fields = |bytes: &[u8]| {
            let (text, encoded) = Value::new(bytes.to_vec()).expose_wire();
            (text.map(|text| text.to_string()), encoded.map(|text| text.to_string()))
        };
        assert_eq!(fields(b"a\0\n"), (Some("a\0\n".to_owned()), None));
        assert_eq!(fields(&[0xff, 0]), (None, Some("/wA=".to_owned())));
        assert_eq!(fields(b""), (Some(String::new()), None));
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
        assert_eq!(format!("{:?}", Value::new(b"canary".to_vec())), "Value(..)");
    }
}
