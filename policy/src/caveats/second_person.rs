use super::{CaveatType, MAX_ASKER_BYTES, Place, Unnamed, read_id, read_text};
use crate::msgpack::{DecodeError, Reader, Write};

/// Longest [`SecondPerson::reason`], in bytes.
pub const MAX_REASON_BYTES: usize = 512;

/// A condition in a ticket: a second person must have approved this request.
///
/// Type 65550, body `[request: bin16, asker: str, reason: str]`.
///
/// It clears only when its ticket is asked with the id of a request that was approved
/// ([`crate::DischargeRequest::approved`]). In a token, in a discharge and inside `IfPresent` it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondPerson {
    /// The id of the request.
    pub request: [u8; 16],
    /// Who asked; never empty, at most [`MAX_ASKER_BYTES`].
    pub asker: String,
    /// Why, in the asker's words; never empty, at most [`MAX_REASON_BYTES`].
    pub reason: String,
}

impl SecondPerson {
    /// The type number.
    pub const KIND: u64 = 65_550;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "SecondPerson",
        body: "`[request: bin16, asker: str, reason: str]`",
        meaning: "in a ticket: only when a second person has approved this request; refuses everywhere else",
        unnamed: Unnamed::Condition,
        places: &[Place::Ticket],
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(3)?;
        let caveat =
            Self { request: read_id(reader)?, asker: read_text(reader)?, reason: read_text(reader)? };
        let said = |text: &str, most: usize| !text.is_empty() && text.len() <= most;
        if said(&caveat.asker, MAX_ASKER_BYTES) && said(&caveat.reason, MAX_REASON_BYTES) {
            Ok(caveat)
        } else {
            Err(DecodeError::OutOfRange)
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(3);
        out.bin(&self.request);
        out.str(&self.asker);
        out.str(&self.reason);
    }

    pub(super) fn describe(&self) -> String {
        let Self { asker, reason, .. } = self;
        format!("only when a second person approves what {asker} asks for: {reason}")
    }
}
