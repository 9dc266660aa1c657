use super::{CaveatType, Place, Unnamed, list_text, read_id};
use crate::msgpack::{DecodeError, Reader, Write};
use crate::nonce::TokenId;

/// From which tokens this one was minted, nearest first, each with the key that signed it
/// ([`TokenId::of_key`]): revoking one of them revokes it.
///
/// Type 65544, body `[[token id: bin16 …]]`, in order of descent (the one list that is not sorted). The
/// first such caveat of a token counts; none ever refuses, except inside `IfPresent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestors(pub Vec<TokenId>);

impl Ancestors {
    /// The type number.
    pub const KIND: u64 = 65_544;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Ancestors",
        body: "`[[token id: bin16 …]]`, nearest first",
        meaning: "from which tokens this one was minted; revoking one of them revokes it",
        unnamed: Unnamed::Label,
        places: &[Place::Token, Place::Discharge],
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
