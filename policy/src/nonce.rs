//! The nonce of a token, and the identity derived from it.

use std::fmt;

use uuid::Uuid;

use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;

/// The namespace of token identities (macaroon-format §3).
const TOKEN_NAMESPACE: Uuid = Uuid::from_u128(0x968fc2c6_a94f_4988_a544_2ad72b02f222);

/// The first field of a token: the key id, the unique random part, and whether the token is a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    kid: Vec<u8>,
    rnd: Vec<u8>,
    /// `None` for the historical nonce of two fields: not a proof, and MACed without the field.
    proof: Option<bool>,
}

impl Nonce {
    /// A nonce in the current form: three fields.
    pub(crate) fn new(kid: Vec<u8>, rnd: [u8; 16], proof: bool) -> Self {
        Self { kid, rnd: rnd.to_vec(), proof: Some(proof) }
    }

    /// Decodes a canonical nonce of two or three fields.
    ///
    /// # Errors
    /// [`DecodeError`] unless the bytes are in canonical form, and nothing follows them.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let nonce = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(nonce)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let fields = reader.array()?;
        if !matches!(fields, 2 | 3) {
            return Err(DecodeError::FieldCount);
        }
        let (kid, rnd) = (reader.bin()?.to_vec(), reader.bin()?.to_vec());
        let proof = if fields == 3 { Some(reader.bool()?) } else { None };
        Ok(Self { kid, rnd, proof })
    }

    /// The canonical bytes, with as many fields as the nonce was decoded from.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.kid.len() + self.rnd.len() + 8);
        out.array(if self.proof.is_some() { 3 } else { 2 });
        out.bin(&self.kid);
        out.bin(&self.rnd);
        if let Some(proof) = self.proof {
            out.bool(proof);
        }
        out
    }

    /// In a permission token, the id of the root key; in a discharge, the whole ticket.
    pub fn kid(&self) -> &[u8] {
        &self.kid
    }

    /// The random part; 16 bytes if this crate wrote it.
    pub fn rnd(&self) -> &[u8] {
        &self.rnd
    }

    /// Whether the token is a proof: finalized when encoded, so that it cannot be attenuated.
    pub fn proof(&self) -> bool {
        self.proof == Some(true)
    }

    /// 1 for three fields, 0 for the historical two.
    pub fn version(&self) -> u8 {
        u8::from(self.proof.is_some())
    }

    /// The identity of every token with this nonce.
    pub fn token_id(&self) -> TokenId {
        let inner = Uuid::new_v5(&TOKEN_NAMESPACE, &self.kid);
        TokenId(Uuid::new_v5(&inner, &self.rnd).into_bytes())
    }
}

/// The identity of a token, for audit and revocation: UUIDv5 (RFC 9562) of the random part, in the namespace of
/// the key id. All attenuations of a token share it. Unlike the text and bytes of a token, it is not malleable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 16]);

impl TokenId {
    /// An identity from its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The identity of a signing key, for the lineage of tokens: revoking the key then revokes all tokens
    /// minted with its tokens, under any key. UUIDv5 of only the key id.
    pub fn of_key(kid: &[u8]) -> Self {
        Self(Uuid::new_v5(&TOKEN_NAMESPACE, kid).into_bytes())
    }

    /// Parses the text of `Display`: UUID text with hyphens, in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(Uuid::try_parse(text).ok()?.into_bytes());
        // One text for one identity: lists of revoked tokens are compared as text.
        (id.to_string() == text).then_some(id)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_has_the_published_identity() {
        let rnd: [u8; 16] = std::array::from_fn(|index| 0x10 + index as u8);
        let nonce = Nonce::new(b"kid1".to_vec(), rnd, false);
        assert_eq!(nonce.token_id().to_string(), "c5ad1097-07c7-5db3-b181-a6187ee029ea");
        assert_eq!(TokenId::parse("c5ad1097-07c7-5db3-b181-a6187ee029ea"), Some(nonce.token_id()));
        assert_eq!(TokenId::parse("C5AD1097-07C7-5DB3-B181-A6187EE029EA"), None);
        assert_eq!(Nonce::decode(&nonce.encode()), Ok(nonce));
    }
}
