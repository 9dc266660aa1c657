use super::{CaveatType, Container, WhenUnspecified, read_id, read_text};
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;

/// Longest name of a requester or approver, in bytes.
pub const MAX_PERSON_BYTES: usize = 2048;
/// Longest [`SecondPerson::reason`], in bytes.
pub const MAX_REASON_BYTES: usize = 512;

/// A condition in a ticket: a second person must have approved this request.
///
/// Type 65550, body `[request: bin16, requester: str, reason: str]`.
///
/// It allows only a discharge request with the id of that request as approved
/// ([`crate::DischargeRequest::approved`]). In a token, in a discharge and inside `IfPresent` it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondPerson {
    /// The id of the request.
    pub request: [u8; 16],
    /// The requester; never empty, at most [`MAX_PERSON_BYTES`].
    pub requester: String,
    /// The requester's reason; never empty, at most [`MAX_REASON_BYTES`].
    pub reason: String,
}

impl SecondPerson {
    /// The type number.
    pub const KIND: u64 = 65_550;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "SecondPerson",
        body: "`[request: bin16, requester: str, reason: str]`",
        meaning: "in a ticket: only if a second person has approved this request; refuses everywhere else",
        when_unspecified: WhenUnspecified::Condition,
        containers: &[Container::Ticket],
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(3)?;
        let caveat =
            Self { request: read_id(reader)?, requester: read_text(reader)?, reason: read_text(reader)? };
        let fits = |text: &str, longest: usize| (1..=longest).contains(&text.len());
        if fits(&caveat.requester, MAX_PERSON_BYTES) && fits(&caveat.reason, MAX_REASON_BYTES) {
            Ok(caveat)
        } else {
            Err(DecodeError::OutOfRange)
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(3);
        out.bin(&self.request);
        out.str(&self.requester);
        out.str(&self.reason);
    }

    pub(super) fn describe(&self) -> String {
        let Self { requester, reason, .. } = self;
        format!("only if a second person approves the request of {requester}: {reason}")
    }
}
