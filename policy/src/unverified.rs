//! A token as received: decoded, but not verified.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::access::Access;
use crate::caveat::Caveat;
use crate::decoded::{DecodedToken, earliest_end, for_each_ticket};
use crate::nonce::{Nonce, TokenId};
use crate::text::{DecodeError, Denial, TextError};
use crate::token::{AcceptedDischarge, Token};

/// Labels before the base64 of a token. They do not tell its role (macaroon-format §1).
pub(crate) const LABELS: [&str; 3] = ["fm2", "fm1r", "fm1a"];

/// Longest token, in bytes: more than a header holds.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// A decoded token. Only [`Self::verify`] makes a [`Token`] of it, and only a [`Token`] is cleared:
///
/// ```
/// fn decide(token: &petsem_policy::Token, access: &petsem_policy::Access<'_>) -> bool {
///     token.clear(access).is_ok()
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn decide(token: &petsem_policy::UnverifiedToken, access: &petsem_policy::Access<'_>) -> bool {
///     token.clear(access).is_ok()
/// }
/// ```
#[derive(Clone)]
pub struct UnverifiedToken(pub(crate) Arc<DecodedToken>);

impl UnverifiedToken {
    /// Decodes the bytes of one token.
    ///
    /// # Errors
    /// [`DecodeError`] unless the bytes are in canonical form, within the limits ([`MAX_TOKEN_BYTES`], 512
    /// caveats, `IfPresent` 16 deep), and nothing follows them.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(DecodeError::TooLong);
        }
        Self::from_wire(bytes.to_vec())
    }

    /// Decodes one token from text: `fm2_` and base64, without a scheme.
    ///
    /// # Errors
    /// [`TextError`], with the [`DecodeError`] if the base64 was correct.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let (label, base64) = text.split_once('_').ok_or(TextError::NotAToken)?;
        if !LABELS.contains(&label) {
            return Err(TextError::NotAToken);
        }
        // Four characters encode three bytes; the last four may encode up to two fewer.
        if base64.len() / 4 * 3 > MAX_TOKEN_BYTES + 2 {
            return Err(TextError::Content(DecodeError::TooLong));
        }
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| TextError::Base64)?;
        Self::from_wire(bytes).map_err(TextError::Content)
    }

    fn from_wire(wire: Vec<u8>) -> Result<Self, DecodeError> {
        Ok(Self(Arc::new(DecodedToken::read(wire)?)))
    }

    /// The claimed identity. Trust it only after verification.
    pub fn id(&self) -> TokenId {
        self.0.id()
    }

    /// In a permission token, the id of the root key; in a discharge, the ticket.
    pub fn kid(&self) -> &[u8] {
        self.0.nonce.kid()
    }

    /// The nonce.
    pub fn nonce(&self) -> &Nonce {
        &self.0.nonce
    }

    /// The claimed location. No MAC covers it.
    pub fn location(&self) -> &str {
        &self.0.location
    }

    /// The caveats, in order.
    pub fn caveats(&self) -> &[Caveat] {
        &self.0.caveats
    }

    /// The earliest end of any validity window, nested ones included, in unix seconds.
    pub fn expires_at(&self) -> Option<i64> {
        earliest_end(&self.0.caveats)
    }

    /// Location and ticket of the third-party caveats (nested ones included) that none of `discharges` answers.
    /// Nothing is verified.
    pub fn undischarged<'t>(&'t self, discharges: &[&UnverifiedToken]) -> Vec<(&'t str, &'t [u8])> {
        let mut missing = Vec::new();
        for_each_ticket(&self.0.caveats, &mut |location, ticket| {
            if !discharges.iter().any(|discharge| discharge.kid() == ticket) {
                missing.push((location, ticket));
            }
        });
        missing
    }

    /// What would refuse the request if everything verified. Use it only to explain a token without its keys:
    /// an unverified token can claim anything.
    ///
    /// `discharges` count as made by a trusted discharger, each for the third-party caveat with its ticket;
    /// [`Self::undischarged`] tells which are missing.
    pub fn danger_denials(&self, discharges: &[&UnverifiedToken], access: &Access<'_>) -> Vec<Denial> {
        let tickets = self.caveats().iter().filter_map(|caveat| match caveat {
            Caveat::ThirdParty(third_party) => Some(&third_party.ticket),
            _ => None,
        });
        let assumed = tickets.enumerate().filter_map(|(third_party, ticket)| {
            let discharge = discharges.iter().find(|discharge| discharge.kid() == ticket)?;
            Some(AcceptedDischarge {
                decoded: Arc::clone(&discharge.0),
                third_party,
                discharger: Some([0; 16]),
            })
        });
        Token::new(Arc::clone(&self.0), assumed.collect()).denials(access)
    }

    /// The bytes of the token, as received. A bearer secret.
    pub fn expose_wire(&self) -> &[u8] {
        self.0.wire()
    }

    /// The token as text. A bearer secret.
    pub fn expose_text(&self) -> Zeroizing<String> {
        to_text(self.0.wire())
    }
}

impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "UnverifiedToken({})", self.id())
    }
}

pub(crate) fn to_text(wire: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(4 + BASE64.encode_len(wire.len())));
    text.push_str("fm2_");
    BASE64.encode_append(wire, &mut text);
    text
}
