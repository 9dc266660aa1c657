use super::{CaveatType, Container, WhenUnspecified, id_text, read_id, read_text, rfc3339};
use crate::access::Access;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Longest [`BootGrant::provenance`], in bytes.
pub const MAX_PROVENANCE_BYTES: usize = 2048;

/// Evidence that a Machine of an app may boot on a host.
///
/// Type 65542, body `[org: bin16, app: bin16, machine: str, host: str, expires: i64, provenance: str]`.
///
/// It counts only in a proof of a trusted discharger for the token's first third-party caveat, and only once;
/// elsewhere it refuses every request. Where it counts, it refuses only other boots, and boots after it expires.
/// [`crate::Token::boot_grant`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootGrant {
    /// The org's id.
    pub org: [u8; 16],
    /// The app's id.
    pub app: [u8; 16],
    /// The Machine.
    pub machine: String,
    /// The host.
    pub host: String,
    /// The last valid second, unix time.
    pub expires: i64,
    /// The proof that the grant is based on: JSON text of the discharger, at most [`MAX_PROVENANCE_BYTES`].
    pub provenance: String,
}

impl BootGrant {
    /// The type number.
    pub const KIND: u64 = 65_542;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "BootGrant",
        body: "`[org: bin16, app: bin16, machine: str, host: str, expires: i64, provenance: str]`",
        meaning: "this Machine of this app may boot on this host until then",
        when_unspecified: WhenUnspecified::Evidence,
        containers: &[Container::Discharge],
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(6)?;
        let grant = Self {
            org: read_id(reader)?,
            app: read_id(reader)?,
            machine: read_text(reader)?,
            host: read_text(reader)?,
            expires: reader.int()?,
            provenance: read_text(reader)?,
        };
        if grant.provenance.len() > MAX_PROVENANCE_BYTES { Err(DecodeError::OutOfRange) } else { Ok(grant) }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(6);
        out.bin(&self.org);
        out.bin(&self.app);
        out.str(&self.machine);
        out.str(&self.host);
        out.int(self.expires);
        out.str(&self.provenance);
    }

    /// Whether it grants this boot, now.
    pub(crate) fn grants(&self, access: &Access<'_>) -> Result<(), Reason> {
        let other = |resource| Err(Reason::GrantOther(resource));
        if access.org != Some(self.org) {
            other(Resource::Organization)
        } else if access.app != Some(self.app) {
            other(Resource::App)
        } else if access.machine != Some(self.machine.as_str()) {
            other(Resource::Machine)
        } else if access.host != Some(self.host.as_str()) {
            other(Resource::Host)
        } else if access.is_after(self.expires) {
            Err(Reason::GrantExpired)
        } else {
            Ok(())
        }
    }

    pub(super) fn describe(&self) -> String {
        let Self { machine, host, expires, .. } = self;
        let (app, org) = (id_text(&self.app), id_text(&self.org));
        let until = rfc3339(*expires);
        format!("allows Machine {machine} of app {app} (org {org}) to boot on host {host} until {until}")
    }
}
