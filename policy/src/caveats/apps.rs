use super::{
    CaveatType, Container, WhenUnspecified, check_resource, id_text, list_text, read_id, read_sorted, sorted,
    write_ids,
};
use crate::access::Access;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Only these apps.
///
/// Type 65537, body `[[app: bin16 …]]`, ascending. A request that names no app: resource unspecified. An empty
/// list allows nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apps(Vec<[u8; 16]>);

impl Apps {
    /// The type number.
    pub const KIND: u64 = 65_537;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Apps",
        body: "`[[app: bin16 …]]`, ascending",
        meaning: "only these apps; an empty list allows nothing",
        when_unspecified: WhenUnspecified::Refuses,
        containers: Container::ALL,
        since: "0.1.0",
    };

    /// Only apps with these ids, given in any order.
    pub fn new(ids: impl IntoIterator<Item = [u8; 16]>) -> Self {
        Self(sorted(ids))
    }

    /// The ids, ascending.
    pub fn ids(&self) -> &[[u8; 16]] {
        &self.0
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(1)?;
        Ok(Self(read_sorted(reader, read_id)?))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(1);
        write_ids(out, &self.0);
    }

    pub(super) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        check_resource(Resource::App, access.app, |app| self.0.contains(&app))
    }

    pub(super) fn describe(&self) -> String {
        format!("only apps: {}", list_text(self.0.iter().map(id_text)))
    }
}
