use super::{
    CaveatType, Container, WhenUnspecified, check_resource, is_listed, list_text, read_sorted, read_text,
    sorted, write_texts,
};
use crate::access::Access;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Only secret keys with these labels or label prefixes.
///
/// Type 65545, body `[[label: str …], [prefix: str …]]`, each ascending. A request that names no secret key:
/// resource unspecified. The empty prefix matches every label. It does not restrict secrets: a token for keys only
/// also needs [`super::Actions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKeys {
    labels: Vec<String>,
    prefixes: Vec<String>,
}

impl SecretKeys {
    /// The type number.
    pub const KIND: u64 = 65_545;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "SecretKeys",
        body: "`[[label: str …], [prefix: str …]]`, each ascending",
        meaning: "only secret keys with these labels or prefixes",
        when_unspecified: WhenUnspecified::Refuses,
        containers: &[Container::Token, Container::Discharge],
        since: "0.1.0",
    };

    /// Only these labels, and labels with these prefixes, given in any order.
    pub fn new(labels: impl IntoIterator<Item = String>, prefixes: impl IntoIterator<Item = String>) -> Self {
        Self { labels: sorted(labels), prefixes: sorted(prefixes) }
    }

    /// The labels, ascending.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The prefixes, ascending.
    pub fn prefixes(&self) -> &[String] {
        &self.prefixes
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(2)?;
        Ok(Self { labels: read_sorted(reader, read_text)?, prefixes: read_sorted(reader, read_text)? })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(2);
        write_texts(out, &self.labels);
        write_texts(out, &self.prefixes);
    }

    pub(super) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        check_resource(Resource::SecretKey, access.secret_key, |label| {
            is_listed(&self.labels, &self.prefixes, label)
        })
    }

    pub(super) fn describe(&self) -> String {
        let prefixes = self.prefixes.iter().map(|prefix| format!("{prefix}*"));
        format!("only secret keys: {}", list_text(self.labels.iter().cloned().chain(prefixes)))
    }
}
