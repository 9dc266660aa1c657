//! A token as it came: parsed, and not believed.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use data_encoding::BASE64;
use zeroize::{Zeroize, Zeroizing};

use crate::access::Access;
use crate::caveat::{Budget, Caveat, read_set};
use crate::denial::Denial;
use crate::msgpack::{DecodeError, Reader};
use crate::nonce::{Nonce, TokenId};
use crate::token::{Accepted, Token};

/// Labels in front of the base64 of a token. They say nothing about its role (macaroon-format §1).
pub(crate) const LABELS: [&str; 3] = ["fm2", "fm1r", "fm1a"];

/// Longest token, in bytes: more than a header holds.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// A token that nobody has verified. The only way to a decision is [`Self::verify`].
#[derive(Clone)]
pub struct UnverifiedToken(pub(crate) Arc<Decoded>);

/// The parts of a token. The received bytes are kept, because they are what the MACs run over; the reader
/// has made sure that they are the canonical ones.
pub(crate) struct Decoded {
    pub(crate) nonce: Nonce,
    pub(crate) location: String,
    pub(crate) caveats: Vec<Caveat>,
    wire: Vec<u8>,
    nonce_at: Range<usize>,
    caveats_at: Vec<Range<usize>>,
    tail_at: Range<usize>,
    id: OnceLock<TokenId>,
}

impl UnverifiedToken {
    /// Reads the bytes of one token.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical form within the limits ([`MAX_TOKEN_BYTES`], 512
    /// caveats, `IfPresent` 16 deep), and for bytes behind it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(DecodeError::TooLong);
        }
        Self::from_wire(bytes.to_vec())
    }

    /// Reads one token as text: `fm2_` and base64, without a scheme.
    ///
    /// # Errors
    /// [`TextError`], which keeps the [`DecodeError`] if the base64 was right.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let (label, base64) = text.split_once('_').ok_or(TextError::NotAToken)?;
        if !LABELS.contains(&label) {
            return Err(TextError::NotAToken);
        }
        // Three bytes are four characters; the last three may hold two fewer.
        if base64.len() / 4 * 3 > MAX_TOKEN_BYTES + 2 {
            return Err(TextError::Content(DecodeError::TooLong));
        }
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| TextError::Base64)?;
        Self::from_wire(bytes).map_err(TextError::Content)
    }

    /// Who the token says it is. True only once it is verified.
    pub fn id(&self) -> TokenId {
        self.0.id()
    }

    /// Names the root key in a permission token; is the ticket in a discharge.
    pub fn kid(&self) -> &[u8] {
        self.0.nonce.kid()
    }

    /// The nonce.
    pub fn nonce(&self) -> &Nonce {
        &self.0.nonce
    }

    /// Where the token says it belongs. Covered by no MAC.
    pub fn location(&self) -> &str {
        &self.0.location
    }

    /// What the token carries, in order.
    pub fn caveats(&self) -> &[Caveat] {
        &self.0.caveats
    }

    /// The earliest end of any validity window, nested ones too, in unix seconds.
    pub fn expires_at(&self) -> Option<i64> {
        earliest_end(&self.0.caveats)
    }

    /// The third-party caveats (nested ones too) for whose ticket none of `discharges` was made, as
    /// location and ticket. Nothing is verified for that.
    pub fn undischarged<'t>(&'t self, discharges: &[&UnverifiedToken]) -> Vec<(&'t str, &'t [u8])> {
        let mut missing = Vec::new();
        tickets(&self.0.caveats, &mut |location, ticket| {
            if !discharges.iter().any(|discharge| discharge.kid() == ticket) {
                missing.push((location, ticket));
            }
        });
        missing
    }

    /// What would refuse the request if everything verified: to explain a token without its keys, and for
    /// nothing else. Any token can claim anything.
    ///
    /// `discharges` are taken for made by a trusted discharger, each for the third-party caveat with its
    /// ticket; see [`Self::undischarged`] for those that are missing.
    pub fn danger_denials(&self, discharges: &[&UnverifiedToken], access: &Access<'_>) -> Vec<Denial> {
        let tickets = self.caveats().iter().filter_map(|caveat| match caveat {
            Caveat::ThirdParty(third_party) => Some(&third_party.ticket),
            _ => None,
        });
        let assumed = tickets.enumerate().filter_map(|(third_party, ticket)| {
            let discharge = discharges.iter().find(|discharge| discharge.kid() == ticket)?;
            Some(Accepted { decoded: Arc::clone(&discharge.0), third_party, discharger: Some([0; 16]) })
        });
        Token::new(Arc::clone(&self.0), assumed.collect()).denials(access)
    }

    /// The bytes of the token, as they came. A bearer secret.
    pub fn expose_wire(&self) -> &[u8] {
        &self.0.wire
    }

    /// The token as text. A bearer secret.
    pub fn expose_text(&self) -> Zeroizing<String> {
        to_text(&self.0.wire)
    }

    pub(crate) fn from_wire(wire: Vec<u8>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(&wire);
        reader.fields(4)?;
        let nonce_start = reader.position();
        let nonce = Nonce::read(&mut reader)?;
        let nonce_at = nonce_start..reader.position();
        let location = reader.str()?.to_owned();
        let mut caveats = Vec::new();
        let mut lengths = Vec::new();
        read_set(&mut reader, &mut Budget::default(), |caveat, bytes| {
            caveats.push(caveat);
            lengths.push(bytes.len());
        })?;
        let caveats_end = reader.position();
        let tail_length = reader.bin()?.len();
        let tail_at = reader.position() - tail_length..reader.position();
        reader.finish()?;
        // Caveats lie one behind the other, so their lengths say where they are.
        let mut start = caveats_end - lengths.iter().sum::<usize>();
        let caveats_at = lengths
            .into_iter()
            .map(|length| {
                let range = start..start + length;
                start = range.end;
                range
            })
            .collect();
        let id = OnceLock::new();
        Ok(Self(Arc::new(Decoded { nonce, location, caveats, wire, nonce_at, caveats_at, tail_at, id })))
    }
}

impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "UnverifiedToken({})", self.id())
    }
}

impl Decoded {
    pub(crate) fn id(&self) -> TokenId {
        *self.id.get_or_init(|| self.nonce.token_id())
    }

    /// The bytes of the nonce.
    pub(crate) fn nonce_bytes(&self) -> &[u8] {
        self.wire.get(self.nonce_at.clone()).unwrap_or_default()
    }

    /// Each caveat with the bytes of its type and body.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (&Caveat, &[u8])> {
        let bytes = self.caveats_at.iter().map(|range| self.wire.get(range.clone()).unwrap_or_default());
        self.caveats.iter().zip(bytes)
    }

    /// The tail as written; of any length.
    pub(crate) fn tail(&self) -> &[u8] {
        self.wire.get(self.tail_at.clone()).unwrap_or_default()
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        // The tail is what makes the bytes a bearer secret.
        if let Some(tail) = self.wire.get_mut(self.tail_at.clone()) {
            tail.zeroize();
        }
    }
}

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextError {
    /// No label of a token in front.
    NotAToken,
    /// The base64 is not the standard, padded one.
    Base64,
    /// The bytes are no token.
    Content(DecodeError),
}

impl fmt::Display for TextError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(crate::text::text_error(*self))
    }
}

impl std::error::Error for TextError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Content(source) => Some(source),
            Self::NotAToken | Self::Base64 => None,
        }
    }
}

pub(crate) fn to_text(wire: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(4 + BASE64.encode_len(wire.len())));
    text.push_str("fm2_");
    BASE64.encode_append(wire, &mut text);
    text
}

/// Calls `found` for every third-party caveat, nested ones too. The depth was bounded when reading.
pub(crate) fn tickets<'c>(caveats: &'c [Caveat], found: &mut impl FnMut(&'c str, &'c [u8])) {
    for caveat in caveats {
        match caveat {
            Caveat::ThirdParty(third_party) => found(&third_party.location, &third_party.ticket),
            Caveat::IfPresent(inner) => tickets(inner.ifs.as_slice(), found),
            _ => {}
        }
    }
}

pub(crate) fn earliest_end(caveats: &[Caveat]) -> Option<i64> {
    caveats
        .iter()
        .filter_map(|caveat| match caveat {
            Caveat::ValidityWindow { not_after, .. } => Some(*not_after),
            Caveat::IfPresent(inner) => earliest_end(inner.ifs.as_slice()),
            _ => None,
        })
        .min()
}
