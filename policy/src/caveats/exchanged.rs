use super::{Apps, CaveatType, Place, Unnamed, read_text};
use crate::caveat::Caveat;
use crate::msgpack::{DecodeError, Reader, Write};
use crate::text::rfc3339;

/// Longest [`Exchanged::claims`], in bytes.
pub const MAX_EXCHANGED_CLAIMS_BYTES: usize = 2048;

/// From which JWT a token came (RFC 8693), so that the rule can be asked again at each use, and the token
/// be revoked by issuer, subject and `jti`.
///
/// Type 65548, body `[issuer: str, sub: str, jti: str, rule: str, claims: str, expires: i64]`.
///
/// It refuses nothing, except inside `IfPresent`. It is believed only as the very first caveat of a token
/// with [`Apps`] of one app behind it: a holder appends, so he cannot put it there.
/// [`crate::Token::exchanged`] finds it; one that stands anywhere else is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// The JWT's `iss`.
    pub issuer: String,
    /// Its `sub`; empty if it had none.
    pub sub: String,
    /// Its `jti`; empty if it had none.
    pub jti: String,
    /// The rule of the app's policy that allowed the exchange.
    pub rule: String,
    /// The claims that the rule read: JSON text of an object of texts, at most
    /// [`MAX_EXCHANGED_CLAIMS_BYTES`].
    pub claims: String,
    /// The JWT's `exp`, unix seconds: with it the token ends.
    pub expires: i64,
}

impl Exchanged {
    /// The type number.
    pub const KIND: u64 = 65_548;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Exchanged",
        body: "`[issuer: str, sub: str, jti: str, rule: str, claims: str (JSON, 2 KiB), expires: i64]`",
        meaning: "from which JWT the token came; believed only as the token's first caveat, before Apps of one app",
        unnamed: Unnamed::Label,
        places: &[Place::Token, Place::Discharge],
        since: "0.1.0",
    };

    /// The caveats that an exchanged token begins with: this one, the app, and the end of the JWT.
    pub fn first_caveats(self, app: [u8; 16]) -> [Caveat; 3] {
        let window = Caveat::ValidityWindow { not_before: 0, not_after: self.expires };
        [self.into(), Apps::new([app]).into(), window]
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(6)?;
        let exchanged = Self {
            issuer: read_text(reader)?,
            sub: read_text(reader)?,
            jti: read_text(reader)?,
            rule: read_text(reader)?,
            claims: read_text(reader)?,
            expires: reader.int()?,
        };
        if exchanged.claims.len() > MAX_EXCHANGED_CLAIMS_BYTES {
            Err(DecodeError::OutOfRange)
        } else {
            Ok(exchanged)
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(6);
        out.str(&self.issuer);
        out.str(&self.sub);
        out.str(&self.jti);
        out.str(&self.rule);
        out.str(&self.claims);
        out.int(self.expires);
    }

    pub(super) fn describe(&self) -> String {
        let Self { issuer, sub, rule, expires, .. } = self;
        let until = rfc3339(*expires);
        format!("exchanged for a JWT of {sub} ({issuer}) by rule {rule}, until {until}")
    }
}
