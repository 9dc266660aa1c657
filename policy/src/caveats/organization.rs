use super::{CaveatType, Container, WhenUnspecified, check_resource, id_text, read_id};
use crate::access::Access;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Only resources of one org.
///
/// Type 65536, body `[org: bin16]`. A request that names no org: resource unspecified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// The org's id.
    pub org: [u8; 16],
}

impl Organization {
    /// The type number.
    pub const KIND: u64 = 65_536;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Organization",
        body: "`[org: bin16]`",
        meaning: "only resources of this org",
        when_unspecified: WhenUnspecified::Refuses,
        containers: Container::ALL,
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(1)?;
        Ok(Self { org: read_id(reader)? })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(1);
        out.bin(&self.org);
    }

    pub(super) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        check_resource(Resource::Organization, access.org, |org| org == self.org)
    }

    pub(super) fn describe(&self) -> String {
        format!("only org {}", id_text(&self.org))
    }
}
