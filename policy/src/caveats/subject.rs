use super::{CaveatType, Container, WhenUnspecified, read_text};
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;

/// The holder of the token: a label for audit and second-person rules.
///
/// Type 65543, body `[issuer: str, sub: str]`. The first one in the token counts; a later one with another value
/// refuses every request. Inside `IfPresent` it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The issuer of the subject's JWT, or petsem's own name.
    pub issuer: String,
    /// The issuer's name for the person or service.
    pub sub: String,
}

impl Subject {
    /// The type number.
    pub const KIND: u64 = 65_543;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Subject",
        body: "`[issuer: str, sub: str]`",
        meaning: "the holder of the token; a second one with another value refuses everything",
        when_unspecified: WhenUnspecified::Label,
        containers: &[Container::Token, Container::Discharge],
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
        format!("held by {} (according to {})", self.sub, self.issuer)
    }
}
