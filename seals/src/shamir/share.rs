//! One share: given to a person once, who types it to open the store.
//!
//! 45 bytes: `0x01 | number | k | n | set id 5 | secret 32 | checksum 4`, where the checksum is the first
//! four bytes of SHA-256 over `petsem share checksum 1` and the bytes before it.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::ShareError;
use super::sharing::Secret;
use super::text::{self, BYTES, Reading};
use super::{FORMAT, SetId, ShareDigest, is_possible};

const CHECKSUM: usize = 4;
const CONTENT: usize = BYTES - CHECKSUM;

/// One of the shares of a set.
pub struct Share {
    pub(super) number: u8,
    pub(super) threshold: u8,
    pub(super) count: u8,
    pub(super) set: SetId,
    pub(super) secret: Secret,
}

impl Share {
    /// Its number in the set, from 1.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// A label to write next to the text, e.g. `share 2 of 5 of set 3D7K0QZP, any 3 open`.
    pub fn describe(&self) -> String {
        format!("share {} of {} of set {}, any {} open", self.number, self.count, self.set, self.threshold)
    }

    /// The text for the person: 18 groups of five symbols, in one line. With enough others it opens the
    /// store.
    pub fn expose_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let [content @ .., c0, c1, c2, c3] = &mut *bytes;
        let header = [FORMAT, self.number, self.threshold, self.count];
        let fields = header.iter().chain(&self.set.0).chain(self.secret.iter());
        content.iter_mut().zip(fields).for_each(|(byte, field)| *byte = *field);
        [*c0, *c1, *c2, *c3] = checksum_of(content);
        text::print(&bytes)
    }

    /// Parses what a person typed.
    pub(super) fn parse(typed: &str) -> Result<Self, ShareError> {
        let Reading { bytes, begins_well, fault } = text::read(typed);
        let [content @ .., c0, c1, c2, c3] = &*bytes;
        let [format, number, threshold, count, s0, s1, s2, s3, s4, secret @ ..] = content;
        // The first group has the format and the number of the share, even if others are wrong.
        if begins_well && *format != FORMAT {
            return Err(ShareError::UnknownFormat { format: *format });
        }
        if let Some(fault) = fault {
            return Err(ShareError::Typing { share: begins_well.then_some(*number), fault });
        }
        let is_share = is_possible(*threshold, *count) && (1..=*count).contains(number);
        if [*c0, *c1, *c2, *c3] != checksum_of(content) || !is_share {
            return Err(ShareError::Checksum { share: *number });
        }
        let mut share = Self {
            number: *number,
            threshold: *threshold,
            count: *count,
            set: SetId([*s0, *s1, *s2, *s3, *s4]),
            secret: Secret::default(),
        };
        share.secret.copy_from_slice(secret);
        Ok(share)
    }

    /// The digest by which the wrap lists the share.
    pub(super) fn digest(&self) -> ShareDigest {
        let hash = Sha256::new()
            .chain_update(b"petsem share digest 1")
            .chain_update(self.set.0)
            .chain_update([self.number])
            .chain_update(self.secret.as_slice())
            .finalize();
        hash.first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({}, ..)", self.number)
    }
}

fn checksum_of(content: &[u8; CONTENT]) -> [u8; CHECKSUM] {
    let hash = Sha256::new().chain_update(b"petsem share checksum 1").chain_update(content).finalize();
    hash.first_chunk().copied().unwrap_or_default()
}
