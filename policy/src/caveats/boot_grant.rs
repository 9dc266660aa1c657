use super::{CaveatType, Place, Unnamed, id_text, read_id, read_text};
use crate::access::Access;
use crate::denial::{Reason, Resource};
use crate::msgpack::{DecodeError, Reader, Write};
use crate::text::rfc3339;

/// Longest [`BootGrant::asker`], in bytes.
pub const MAX_ASKER_BYTES: usize = 2048;

/// Evidence that one Machine of one app may boot on one host.
///
/// Type 65542, body `[org: bin16, app: bin16, machine: str, host: str, expires: i64, asker: str]`.
///
/// It counts only in a proof made by a trusted discharger for the token's first third-party caveat, once:
/// everywhere else it refuses every request. Where it counts it refuses nothing but boots of anything else,
/// or after its end. [`crate::Token::boot_grant`] finds it.
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
    /// The last second of it, unix time, inclusive.
    pub expires: i64,
    /// Who asked: JSON text that the discharger made, at most [`MAX_ASKER_BYTES`].
    pub asker: String,
}

impl BootGrant {
    /// The type number.
    pub const KIND: u64 = 65_542;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "BootGrant",
        body: "`[org: bin16, app: bin16, machine: str, host: str, expires: i64, asker: str]`",
        meaning: "this Machine of this app may boot on this host until then",
        unnamed: Unnamed::Evidence,
        places: &[Place::Discharge],
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
            asker: read_text(reader)?,
        };
        if grant.asker.len() > MAX_ASKER_BYTES { Err(DecodeError::OutOfRange) } else { Ok(grant) }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(6);
        out.bin(&self.org);
        out.bin(&self.app);
        out.str(&self.machine);
        out.str(&self.host);
        out.int(self.expires);
        out.str(&self.asker);
    }

    /// Whether this very boot is granted, now.
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
        } else if (access.now_unix_seconds, access.now_nanos) > (self.expires, 0) {
            Err(Reason::GrantExpired)
        } else {
            Ok(())
        }
    }

    pub(super) fn describe(&self) -> String {
        let Self { machine, host, expires, .. } = self;
        let (app, org) = (id_text(&self.app), id_text(&self.org));
        let until = rfc3339(*expires);
        format!("grants Machine {machine} of app {app} (org {org}) to boot on host {host} until {until}")
    }
}
