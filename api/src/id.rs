//! Immutable ids: 16 random bytes, with a type for each kind of object.
//!
//! Orgs and apps have UUIDv7 (RFC 9562), tokens UUIDv5 (macaroon format, part 3). The text form is lower case
//! with hyphens and no other, so that an id has one spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::json::refused;
use crate::{schema, text};

/// A text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", text::ID)]
pub struct IdError;

macro_rules! id {
    ($(#[doc = $doc:literal])* $name:ident, $example:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes that tokens, keys and AAD bind to.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// A UUIDv7 of the time in unix milliseconds and ten random bytes.
            pub fn new_v7(unix_millis: u64, random: &[u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, random).into_uuid().into_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self)
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
                text.parse().map_err(|error: IdError| refused(error))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                schema::text(concat!($($doc, "\n"),*))
                    .pattern(Some("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}

id! {
    /// The immutable id of an org (UUIDv7), in lower case with hyphens.
    OrgId, "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"
}
id! {
    /// The immutable id of an app (UUIDv7), in lower case with hyphens. A name that is reused later denotes
    /// another app with another id.
    AppId, "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"
}
id! {
    /// The id of a registered issuer of JWTs.
    IssuerId, "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"
}
id! {
    /// The id of a request that needs a second person.
    ApprovalId, "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"
}
id! {
    /// The id of a store, which is one installation.
    StoreId, "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"
}
id! {
    /// The id of a request, as the audit log and the log of the server name it.
    RequestId, "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00"
}
id! {
    /// The id of a signing key: the key id (KID) of the tokens that it signs.
    SigningKeyId, "5c1d6f0a-93b2-4e77-a1c8-0d2e4f6a8b90"
}
id! {
    /// The id of a token (UUIDv5): the same for every attenuation of it (macaroon format, part 3).
    TokenUuid, "2f8a1c36-5d0b-5e19-8c47-6b3e9d0a7f12"
}

fn parse(text: &str) -> Result<[u8; 16], IdError> {
    let hyphens_fit = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    if !hyphens_fit {
        return Err(IdError);
    }
    Uuid::try_parse(text).map(Uuid::into_bytes).map_err(|_| IdError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = OrgId::new_v7(0x0199_a0c2_7b1e, &[0xff; 10]);
        let text = id.to_string();
        assert_eq!(text, "0199a0c2-7b1e-7fff-bfff-ffffffffffff");
        assert_eq!(text.parse(), Ok(id));
        for wrong in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
            format!("urn:uuid:{text}"),
            format!(" {text}"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<OrgId>(), Err(IdError), "{wrong:?}");
        }
    }
}
