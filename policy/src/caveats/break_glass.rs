use super::{CaveatType, MAX_ASKER_BYTES, Place, Unnamed, id_text, read_id, read_text};
use crate::access::Access;
use crate::action::Action;
use crate::denial::{Reason, Resource};
use crate::msgpack::{DecodeError, Reader, Write};
use crate::text::rfc3339;

/// No break-glass grant lasts longer.
pub const MAX_BREAK_GLASS_SECONDS: i64 = 3600;

/// Evidence that one person may read the values of one app, because a second person said so.
///
/// Type 65549, body `[org: bin16, app: bin16, expires: i64, request: bin16, asker: str, approver: str]`.
/// Asker and approver are named, and are not the same: another body is refused.
///
/// It counts only in a proof made by a trusted discharger for the token's first third-party caveat, once:
/// everywhere else it refuses every request. Where it counts, it lets nothing pass but reading values of
/// that very app until it ends, which is never more than an hour away.
/// [`crate::Token::break_glass_grant`] finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// The org's id.
    pub org: [u8; 16],
    /// The app's id.
    pub app: [u8; 16],
    /// The last second of it, unix time, inclusive.
    pub expires: i64,
    /// The id of the request that was approved.
    pub request: [u8; 16],
    /// Who asked: issuer and subject, as the discharger writes them; at most [`MAX_ASKER_BYTES`].
    pub asker: String,
    /// Who approved, likewise.
    pub approver: String,
}

impl BreakGlass {
    /// The type number.
    pub const KIND: u64 = 65_549;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "BreakGlass",
        body: "`[org: bin16, app: bin16, expires: i64, request: bin16, asker: str, approver: str]`",
        meaning: "the asker may read the values of this app until then, at most an hour, and do nothing else",
        unnamed: Unnamed::Evidence,
        places: &[Place::Discharge],
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(6)?;
        let grant = Self {
            org: read_id(reader)?,
            app: read_id(reader)?,
            expires: reader.int()?,
            request: read_id(reader)?,
            asker: read_text(reader)?,
            approver: read_text(reader)?,
        };
        let named = |person: &str| !person.is_empty() && person.len() <= MAX_ASKER_BYTES;
        if named(&grant.asker) && named(&grant.approver) && grant.asker != grant.approver {
            Ok(grant)
        } else {
            Err(DecodeError::OutOfRange)
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(6);
        out.bin(&self.org);
        out.bin(&self.app);
        out.int(self.expires);
        out.bin(&self.request);
        out.str(&self.asker);
        out.str(&self.approver);
    }

    /// Whether this very read is granted, now.
    pub(crate) fn grants(&self, access: &Access<'_>) -> Result<(), Reason> {
        if access.action != Action::ReadValue {
            Err(Reason::Action(access.action))
        } else if access.org != Some(self.org) {
            Err(Reason::BreakGlassOther(Resource::Organization))
        } else if access.app != Some(self.app) {
            Err(Reason::BreakGlassOther(Resource::App))
        } else if (access.now_unix_seconds, access.now_nanos) > (self.expires, 0) {
            Err(Reason::BreakGlassExpired)
        } else if self.expires > access.now_unix_seconds.saturating_add(MAX_BREAK_GLASS_SECONDS) {
            Err(Reason::BreakGlassTooLong)
        } else {
            Ok(())
        }
    }

    pub(super) fn describe(&self) -> String {
        let Self { expires, asker, approver, .. } = self;
        let (app, org) = (id_text(&self.app), id_text(&self.org));
        let until = rfc3339(*expires);
        format!(
            "grants {asker} to read the values of app {app} (org {org}) until {until}; approved by {approver}"
        )
    }
}
