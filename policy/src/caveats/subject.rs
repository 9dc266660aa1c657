use super::{CaveatType, Place, Unnamed, read_text};
use crate::msgpack::{DecodeError, Reader, Write};

/// Who holds the token: a label for audit and second-person rules.
///
/// Type 65543, body `[issuer: str, sub: str]`. The first one in the token counts; a later one that says
/// anything else refuses every request. Inside `IfPresent` it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Who says so: the issuer of a JWT, or petsem's own name.
    pub issuer: String,
    /// The person or service, in the issuer's words.
    pub sub: String,
}

impl Subject {
    /// The type number.
    pub const KIND: u64 = 65_543;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Subject",
        body: "`[issuer: str, sub: str]`",
        meaning: "who holds the token; a second one that says anything else refuses everything",
        unnamed: Unnamed::Label,
        places: &[Place::Token, Place::Discharge],
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(2)?;
        Ok(Self { issuer: read_text(reader)?, sub: read_text(reader)? })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(2);
        out.str(&self.issuer);
        out.str(&self.sub);
    }

    pub(super) fn describe(&self) -> String {
        format!("held by {} (says {})", self.sub, self.issuer)
    }
}
