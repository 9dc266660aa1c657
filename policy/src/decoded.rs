//! A token decoded from its canonical bytes. Nothing here verifies it.

use std::ops::Range;
use std::sync::OnceLock;

use zeroize::Zeroize;

use crate::caveat::{Budget, Caveat, read_set};
use crate::msgpack::Reader;
use crate::nonce::{Nonce, TokenId};
use crate::text::DecodeError;

/// The parts of a token. It keeps the received bytes, because the MACs cover them; the reader has checked that
/// they are canonical.
pub(crate) struct DecodedToken {
    pub(crate) nonce: Nonce,
    pub(crate) location: String,
    pub(crate) caveats: Vec<Caveat>,
    wire: Vec<u8>,
    nonce_at: Range<usize>,
    caveats_at: Vec<Range<usize>>,
    tail_at: Range<usize>,
    id: OnceLock<TokenId>,
}

impl DecodedToken {
    pub(crate) fn read(wire: Vec<u8>) -> Result<Self, DecodeError> {
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
        // Caveats are contiguous, so their lengths give their ranges.
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
        Ok(Self { nonce, location, caveats, wire, nonce_at, caveats_at, tail_at, id })
    }

    pub(crate) fn id(&self) -> TokenId {
        *self.id.get_or_init(|| self.nonce.token_id())
    }

    /// All received bytes.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The bytes of the nonce.
    pub(crate) fn nonce_bytes(&self) -> &[u8] {
        self.wire.get(self.nonce_at.clone()).unwrap_or_default()
    }

    /// For each caveat, the bytes of its type and body.
    pub(crate) fn caveat_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.caveats_at.iter().map(|range| self.wire.get(range.clone()).unwrap_or_default())
    }

    /// The tail as written; of any length.
    pub(crate) fn tail(&self) -> &[u8] {
        self.wire.get(self.tail_at.clone()).unwrap_or_default()
    }
}

impl Drop for DecodedToken {
    fn drop(&mut self) {
        // The tail makes the bytes a bearer secret.
        if let Some(tail) = self.wire.get_mut(self.tail_at.clone()) {
            tail.zeroize();
        }
    }
}

/// Calls `found` with location and ticket of every third-party caveat, nested ones included. The reader has
/// limited the depth.
pub(crate) fn for_each_ticket<'c>(caveats: &'c [Caveat], found: &mut impl FnMut(&'c str, &'c [u8])) {
    for caveat in caveats {
        match caveat {
            Caveat::ThirdParty(third_party) => found(&third_party.location, &third_party.ticket),
            Caveat::IfPresent(inner) => for_each_ticket(inner.ifs.as_slice(), found),
            _ => {}
        }
    }
}

/// The earliest end of any validity window, nested ones included.
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
