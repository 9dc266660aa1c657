use super::{CaveatType, Place, Unnamed, list_text, read_sorted, read_text, sorted, write_texts};
use crate::access::{Access, named};
use crate::denial::{Reason, Resource};
use crate::msgpack::{DecodeError, Reader, Write};

/// Only these hosts. The host is what the listener knows, not what a request says.
///
/// Type 65541, body `[[host: str …]]`, ascending. A request that names no host: resource unspecified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The type number.
    pub const KIND: u64 = 65_541;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Hosts",
        body: "`[[host: str …]]`, ascending",
        meaning: "only from these hosts, as the listener knows them",
        unnamed: Unnamed::Unspecified,
        places: Place::EVERYWHERE,
        since: "0.1.0",
    };

    /// Only hosts with these ids, in any order.
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
        named(Resource::Host, access.host, |id| self.0.iter().any(|allowed| allowed == id))
    }

    pub(super) fn describe(&self) -> String {
        format!("only hosts: {}", list_text(self.0.iter().cloned()))
    }
}
