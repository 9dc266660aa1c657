use super::{
    CaveatType, Container, WhenUnspecified, check_resource, list_text, read_sorted, read_text, sorted,
    write_texts,
};
use crate::access::Access;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Only these hosts. The listener authenticates the host; a request cannot name it.
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
        meaning: "only from these hosts, as the listener authenticates them",
        when_unspecified: WhenUnspecified::Refuses,
        containers: Container::ALL,
        since: "0.1.0",
    };

    /// Only hosts with these ids, given in any order.
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
        check_resource(Resource::Host, access.host, |id| self.0.iter().any(|allowed| allowed == id))
    }

    pub(super) fn describe(&self) -> String {
        format!("only hosts: {}", list_text(self.0.iter().cloned()))
    }
}
