use super::{CaveatType, Container, WhenUnspecified};
use crate::access::Access;
use crate::action::ActionSet;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::Reason;

/// Only these actions.
///
/// Type 65539, body a bare u16: the mask of [`crate::Action`] bits. Every request has an action, so this caveat
/// always applies, inside `IfPresent` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actions(pub ActionSet);

impl Actions {
    /// The type number.
    pub const KIND: u64 = 65_539;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Actions",
        body: "bare u16, a mask",
        meaning: "only these actions",
        when_unspecified: WhenUnspecified::AlwaysSpecified,
        containers: Container::ALL,
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(ActionSet::from_bits(reader.u16()?)))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.uint(u64::from(self.0.bits()));
    }

    pub(super) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        if self.0.contains(access.action) { Ok(()) } else { Err(Reason::Action(access.action)) }
    }

    pub(super) fn describe(&self) -> String {
        format!("only actions: {}", self.0)
    }
}
