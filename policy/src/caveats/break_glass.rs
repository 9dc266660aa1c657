use super::{CaveatType, Container, MAX_PERSON_BYTES, WhenUnspecified, id_text, read_id, read_text, rfc3339};
use crate::access::Access;
use crate::action::Action;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;
use crate::text::{Reason, Resource};

/// Longest lifetime of a break-glass grant.
pub const MAX_BREAK_GLASS_SECONDS: i64 = 3600;

/// Evidence that a person may read the values of an app, approved by a second person.
///
/// Type 65549, body `[org: bin16, app: bin16, expires: i64, request: bin16, requester: str, approver: str]`.
/// Requester and approver must be named and must differ.
///
/// It counts only in a proof of a trusted discharger for the token's first third-party caveat, and only once;
/// elsewhere it refuses every request. Where it counts, it allows only reading values of that app until it
/// expires, which is at most an hour away. [`crate::Token::break_glass_grant`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// The org's id.
    pub org: [u8; 16],
    /// The app's id.
    pub app: [u8; 16],
    /// The last valid second, unix time.
    pub expires: i64,
    /// The id of the approved request.
    pub request: [u8; 16],
    /// The requester: issuer and subject, as the discharger writes them; at most [`MAX_PERSON_BYTES`].
    pub requester: String,
    /// The approver, likewise.
    pub approver: String,
}

impl BreakGlass {
    /// The type number.
    pub const KIND: u64 = 65_549;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "BreakGlass",
        body: "`[org: bin16, app: bin16, expires: i64, request: bin16, requester: str, approver: str]`",
        meaning: "the requester may read the values of this app until then, at most an hour, and do nothing else",
        when_unspecified: WhenUnspecified::Evidence,
        containers: &[Container::Discharge],
        since: "0.1.0",
    };

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(6)?;
        let grant = Self {
            org: read_id(reader)?,
            app: read_id(reader)?,
            expires: reader.int()?,
            request: read_id(reader)?,
            requester: read_text(reader)?,
            approver: read_text(reader)?,
        };
        let is_named = |person: &str| (1..=MAX_PERSON_BYTES).contains(&person.len());
        if is_named(&grant.requester) && is_named(&grant.approver) && grant.requester != grant.approver {
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
        out.str(&self.requester);
        out.str(&self.approver);
    }

    /// Whether it grants this read, now.
    pub(crate) fn grants(&self, access: &Access<'_>) -> Result<(), Reason> {
        if access.action != Action::ReadValue {
            Err(Reason::Action(access.action))
        } else if access.org != Some(self.org) {
            Err(Reason::BreakGlassOther(Resource::Organization))
        } else if access.app != Some(self.app) {
            Err(Reason::BreakGlassOther(Resource::App))
        } else if access.is_after(self.expires) {
            Err(Reason::BreakGlassExpired)
        } else if self.expires > access.now_unix_seconds.saturating_add(MAX_BREAK_GLASS_SECONDS) {
            Err(Reason::BreakGlassTooLong)
        } else {
            Ok(())
        }
    }

    pub(super) fn describe(&self) -> String {
        let Self { expires, requester, approver, .. } = self;
        let (app, org) = (id_text(&self.app), id_text(&self.org));
        let until = rfc3339(*expires);
        format!(
            "allows {requester} to read the values of app {app} (org {org}) until {until}; approved by {approver}"
        )
    }
}
