use super::{Apps, CaveatType, Container, WhenUnspecified, read_text, rfc3339};
use crate::caveat::Caveat;
use crate::msgpack::{Reader, Write};
use crate::text::DecodeError;

/// Longest [`Exchanged::claims`], in bytes.
pub const MAX_EXCHANGED_CLAIMS_BYTES: usize = 2048;

/// The JWT that a token was exchanged for (RFC 8693): the rule is evaluated again at each use, and the token can be
/// revoked by issuer, subject and `jti`.
///
/// Type 65548, body `[issuer: str, sub: str, jti: str, rule: str, claims: str, issued: i64, expires: i64]`.
///
/// It refuses nothing, except inside `IfPresent`. It counts only as the first caveat of a token, followed by
/// [`Apps`] with one app: a holder can only append, so it cannot add it there. Elsewhere it is ignored.
/// [`crate::Token::exchanged`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// The JWT's `iss`.
    pub issuer: String,
    /// The JWT's `sub`; empty if it had none.
    pub sub: String,
    /// The JWT's `jti`; empty if it had none.
    pub jti: String,
    /// The rule of the app's policy that allowed the exchange.
    pub rule: String,
    /// What the rule used of the claims: JSON text of an object, at most [`MAX_EXCHANGED_CLAIMS_BYTES`].
    pub claims: String,
    /// The JWT's `iat`, unix seconds: a subject is revoked for JWTs issued before a given time.
    pub issued: i64,
    /// The JWT's `exp`, unix seconds: the token expires then, too.
    pub expires: i64,
}

impl Exchanged {
    /// The type number.
    pub const KIND: u64 = 65_548;

    pub(super) const TYPE: CaveatType = CaveatType {
        number: Self::KIND,
        name: "Exchanged",
        body: "`[issuer: str, sub: str, jti: str, rule: str, claims: str (JSON, 2 KiB), issued: i64, expires: i64]`",
        meaning: "the JWT that the token was exchanged for; counts only as the token's first caveat, before Apps with one app",
        when_unspecified: WhenUnspecified::Label,
        containers: &[Container::Token, Container::Discharge],
        since: "0.1.0",
    };

    /// The first caveats of an exchanged token: this one, the app, and the expiry of the JWT.
    pub fn first_caveats(self, app: [u8; 16]) -> [Caveat; 3] {
        let window = Caveat::ValidityWindow { not_before: 0, not_after: self.expires };
        [self.into(), Apps::new([app]).into(), window]
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.fields(7)?;
        let exchanged = Self {
            issuer: read_text(reader)?,
            sub: read_text(reader)?,
            jti: read_text(reader)?,
            rule: read_text(reader)?,
            claims: read_text(reader)?,
            issued: reader.int()?,
            expires: reader.int()?,
        };
        if exchanged.claims.len() > MAX_EXCHANGED_CLAIMS_BYTES {
            Err(DecodeError::OutOfRange)
        } else {
            Ok(exchanged)
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.array(7);
        out.str(&self.issuer);
        out.str(&self.sub);
        out.str(&self.jti);
        out.str(&self.rule);
        out.str(&self.claims);
        out.int(self.issued);
        out.int(self.expires);
    }

    pub(super) fn describe(&self) -> String {
        let Self { issuer, sub, rule, expires, .. } = self;
        let until = rfc3339(*expires);
        format!("exchanged for a JWT of {sub} ({issuer}) by rule {rule}, until {until}")
    }
}
