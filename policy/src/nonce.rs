//! The nonce of a token, and the identity that follows from it.

use std::fmt;

use uuid::Uuid;

use crate::msgpack::{DecodeError, Reader, Write};

/// The namespace of token identities (macaroon-format §3).
const TOKEN_NAMESPACE: Uuid = Uuid::from_u128(0x968fc2c6_a94f_4988_a544_2ad72b02f222);

/// The first field of a token: which key signed it, what makes it unique, and if it is a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    kid: Vec<u8>,
    rnd: Vec<u8>,
    /// `None` is the historical nonce of two fields, which means no proof but is MACed without the field.
    proof: Option<bool>,
}

impl Nonce {
    /// A nonce as it is written today: three fields.
    pub(crate) fn new(kid: Vec<u8>, rnd: [u8; 16], proof: bool) -> Self {
        Self { kid, rnd: rnd.to_vec(), proof: Some(proof) }
    }

    /// Reads a canonical nonce of two or three fields, and nothing behind it.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that is not the canonical form.
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

    /// The canonical bytes, with the number of fields that the nonce was read with.
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

    /// Names the root key of a permission token; in a discharge it is the whole ticket.
    pub fn kid(&self) -> &[u8] {
        &self.kid
    }

    /// The random part; 16 bytes when we wrote it.
    pub fn rnd(&self) -> &[u8] {
        &self.rnd
    }

    /// Whether the token is a proof: finalized when written, so that nobody can attenuate it.
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

/// Who a token is, for logs and revocation: UUIDv5 (RFC 9562) of the random part, in the namespace of the
/// key id. All attenuations of a token share it; text and bytes of a token are malleable, this is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 16]);

impl TokenId {
    /// An identity that was stored or parsed.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The identity under which descendants name the key that signed an ancestor: revoking a key then reaches
    /// all that was minted with its tokens, under whatever key. UUIDv5 of the key id alone.
    pub fn of_key(kid: &[u8]) -> Self {
        Self(Uuid::new_v5(&TOKEN_NAMESPACE, kid).into_bytes())
    }

    /// Reads what `Display` writes: UUID text with hyphens, in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(Uuid::try_parse(text).ok()?.into_bytes());
        // One text for one identity: lists of revoked tokens are compared as people typed them.
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
    fn the_worked_example_has_its_identity() {
        let rnd: [u8; 16] = std::array::from_fn(|index| 0x10 + index as u8);
        let nonce = Nonce::new(b"kid1".to_vec(), rnd, false);
        assert_eq!(nonce.token_id().to_string(), "c5ad1097-07c7-5db3-b181-a6187ee029ea");
        assert_eq!(TokenId::parse("c5ad1097-07c7-5db3-b181-a6187ee029ea"), Some(nonce.token_id()));
        assert_eq!(TokenId::parse("C5AD1097-07C7-5DB3-B181-A6187EE029EA"), None);
        assert_eq!(Nonce::decode(&nonce.encode()), Ok(nonce));
    }
}
