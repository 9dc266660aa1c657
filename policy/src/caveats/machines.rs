use super::{CaveatType, Place, Unnamed, list_text, read_sorted, read_text, sorted, write_texts};
use crate::access::{Access, named};
use crate::denial::{Reason, Resource};
use crate::msgpack::{DecodeError, Reader, Write};

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
        unnamed: Unnamed::Unspecified,
        places: Place::EVERYWHERE,
        since: "0.1.0",
    };

    /// Only Machines with these ids, in any order.
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
        named(Resource::Machine, access.machine, |id| self.0.iter().any(|allowed| allowed == id))
    }

    pub(super) fn describe(&self) -> String {
        format!("only Machines: {}", list_text(self.0.iter().cloned()))
    }
}
