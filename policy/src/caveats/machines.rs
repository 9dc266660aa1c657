use super::{
    CaveatType, Container, WhenUnspecified, check_resource, list_text, read_sorted, read_text, sorted,
    write_texts,
};
use crate::access::Access;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Only these Machines.
///
/// Type 65540, body `[[machine: str …]]`, ascending. A request that names no Machine: resource unspecified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machines(Vec<String>);

impl Machines {
    /// The type number.
    pub const KIND: u64 = 65_540;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Machines",
        body: "`[[machine: str …]]`, ascending",
        meaning: "only these Machines",
        when_unspecified: WhenUnspecified::Refuses,
        containers: Container::ALL,
        since: "0.1.0",
    };

    /// Only Machines with these ids, given in any order.
    pub fn new(ids: impl IntoIterator<Item = String>) -> Self {
        Self(sorted(ids))
    }

    /// The ids, ascending.
    pub fn ids(&self) -> &[String] {
        &self.0
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(1)?;
        Ok(Self(read_sorted(reader, read_text)?))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(1);
        write_texts(out, &self.0);
    }

    pub(super) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        check_resource(Resource::Machine, access.machine, |id| self.0.iter().any(|allowed| allowed == id))
    }

    pub(super) fn describe(&self) -> String {
        format!("only Machines: {}", list_text(self.0.iter().cloned()))
    }
}
