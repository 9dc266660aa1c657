use super::{CaveatType, Container, WhenUnspecified, list_text, read_id};
use crate::msgpack::{Reader, Write};
use crate::nonce::TokenId;
use crate::text::DecodeError;

/// The tokens that this one was minted from, nearest first, and the keys that signed them ([`TokenId::of_key`]).
/// Revoking one of them revokes the token.
///
/// Type 65544, body `[[token id: bin16 …]]`, nearest first (the only list that is not sorted). The first such
/// caveat of a token counts. It never refuses, except inside `IfPresent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestors(pub Vec<TokenId>);

impl Ancestors {
    /// The type number.
    pub const KIND: u64 = 65_544;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Ancestors",
        body: "`[[token id: bin16 …]]`, nearest first",
        meaning: "the tokens that this one was minted from; revoking one of them revokes it",
        when_unspecified: WhenUnspecified::Label,
        containers: &[Container::Token, Container::Discharge],
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(1)?;
        let mut ids = Vec::new();
        for _ in 0..reader.array()? {
            ids.push(TokenId::from_bytes(read_id(reader)?));
        }
        Ok(Self(ids))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(1);
        out.array(self.0.len());
        for id in &self.0 {
            out.bin(id.as_bytes());
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("minted from: {}", list_text(self.0.iter().map(ToString::to_string)))
    }
}
