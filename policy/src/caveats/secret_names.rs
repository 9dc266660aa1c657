use super::{
    CaveatType, Container, WhenUnspecified, check_resource, is_listed, list_text, read_sorted, read_text,
    sorted, write_texts,
};
use crate::access::Access;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Only secrets with these names or name prefixes.
///
/// Type 65538, body `[[exact: str …], [prefix: str …]]`, each ascending. A request that names no secret:
/// resource unspecified. The empty prefix matches every name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretNames {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl SecretNames {
    /// The type number.
    pub const KIND: u64 = 65_538;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "SecretNames",
        body: "`[[exact: str …], [prefix: str …]]`, each ascending",
        meaning: "only secrets with these names or prefixes",
        when_unspecified: WhenUnspecified::Refuses,
        containers: &[Container::Token, Container::Discharge],
        since: "0.1.0",
    };

    /// Only these names, and names with these prefixes, given in any order.
    pub fn new(exact: impl IntoIterator<Item = String>, prefixes: impl IntoIterator<Item = String>) -> Self {
        Self { exact: sorted(exact), prefixes: sorted(prefixes) }
    }

    /// The names, ascending.
    pub fn exact(&self) -> &[String] {
        &self.exact
    }

    /// The prefixes, ascending.
    pub fn prefixes(&self) -> &[String] {
        &self.prefixes
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(2)?;
        Ok(Self { exact: read_sorted(reader, read_text)?, prefixes: read_sorted(reader, read_text)? })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(2);
        write_texts(out, &self.exact);
        write_texts(out, &self.prefixes);
    }

    pub(super) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        check_resource(Resource::Secret, access.secret, |name| is_listed(&self.exact, &self.prefixes, name))
    }

    pub(super) fn describe(&self) -> String {
        let prefixes = self.prefixes.iter().map(|prefix| format!("{prefix}*"));
        format!("only secrets: {}", list_text(self.exact.iter().cloned().chain(prefixes)))
    }
}
