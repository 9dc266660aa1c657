//! The Shamir seal: a random seal key, split so that any k of n people can restore it together.
//!
//! The split key belongs only to this seal and is never the root key: a new set of shares is a new seal, and
//! the old one is removed like any other. Sharing is Shamir's over GF(2^8), one polynomial of degree k - 1
//! for each byte (*How to Share a Secret*, 1979), with the arithmetic of `vsss-rs`, which has no tables and
//! no branches. The polynomials are here, in memory that is wiped.
//!
//! A wrap is `0x01 | set id 5 | k | n | n × digest of a share 16 | wrap of the root key`. With the digests
//! each share is checked when it is entered: a share of another set, or one mistyped beyond its checksums,
//! neither takes the place of a valid one nor spoils the set. They reveal nothing of a share, each of which
//! is 256 random bits; changing them in the database only makes shares refused.

mod error;
mod set;
mod share;
mod sharing;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use petsem_keys::{OpenError, Seal, SealContext, SealError, SealKey};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

pub use error::{ShareError, SplitError, TooFewShares, TypingFault};
pub use set::{ShareProgress, ShareSet};
pub use share::Share;

/// The kind of this seal in a store's list of seals.
pub const SHAMIR_KIND: &str = "shamir";

/// The most shares of a set. GF(2^8) would allow 255; sixteen people are enough to manage.
pub const SHARES_MAXIMUM: u8 = 16;

/// The fewest shares that open a set: a single one would be the key.
const THRESHOLD_MINIMUM: u8 = 2;

const FORMAT: u8 = 0x01;

/// A seal whose key was split into shares, while the process holds the key.
pub struct Shamir {
    roster: Roster,
    key: SealKey,
}

impl Shamir {
    /// A new seal key and its `count` shares, any `threshold` of which restore it. The shares exist nowhere
    /// else: print them, then wrap the root key.
    ///
    /// # Errors
    /// [`SplitError`] unless 2 ≤ `threshold` ≤ `count` ≤ 16.
    pub fn split(
        rng: &mut dyn CryptoRng,
        threshold: u8,
        count: u8,
    ) -> Result<(Self, Vec<Share>), SplitError> {
        if !is_possible(threshold, count) {
            return Err(SplitError { threshold, count });
        }
        let mut set = [0; SetId::LENGTH];
        rng.fill_bytes(&mut set);
        let set = SetId(set);
        let key = SealKey::generate(rng);
        let shares: Vec<Share> = (1..=count)
            .zip(sharing::split(rng, key.expose_seal_key(), threshold, count))
            .map(|(number, secret)| Share { number, threshold, count, set, secret })
            .collect();
        let digests = shares.iter().map(Share::digest).collect();
        Ok((Self { roster: Roster { set, threshold, digests }, key }, shares))
    }

    /// The key for one wrap: a copy, in locked memory like every key.
    fn key(&self) -> Result<SealKey, SealError> {
        SealKey::filled_by(|key| {
            key.copy_from_slice(self.key.expose_seal_key());
            Ok(())
        })
    }
}

impl Seal for Shamir {
    fn kind(&self) -> &'static str {
        SHAMIR_KIND
    }

    fn describe(&self) -> String {
        self.roster.describe()
    }

    fn new_key(
        &self,
        _rng: &mut dyn CryptoRng,
        _context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError> {
        Ok((self.roster.to_vec(), self.key()?))
    }

    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        _context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError> {
        let (roster, wrapped_key) = Roster::parse(wrapped).map_err(|source| self.refusal(source))?;
        if roster != self.roster {
            return Err(self.refusal(OpenError::NotAuthentic));
        }
        Ok((self.key()?, wrapped_key))
    }
}

impl fmt::Debug for Shamir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shamir").field("roster", &self.roster).finish_non_exhaustive()
    }
}

/// The id of a set of shares: for people, who must not mix two sets; random, so that two stores do not have
/// the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SetId([u8; SetId::LENGTH]);

impl SetId {
    const LENGTH: usize = 5;
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::encode_block(&self.0).iter().try_for_each(|symbol| write!(f, "{symbol}"))
    }
}

/// A wrap's list of the shares that open it: not secret, and not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Roster {
    set: SetId,
    threshold: u8,
    digests: Vec<ShareDigest>,
}

type ShareDigest = [u8; 16];

impl Roster {
    /// Splits a wrap into the roster and the wrapped key.
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), OpenError> {
        const HEADER_LENGTH: usize = 1 + SetId::LENGTH + 2;
        let too_short = |minimum| OpenError::TooShort { length: bytes.len(), minimum };
        let (header, rest) = bytes.split_first_chunk::<HEADER_LENGTH>().ok_or(too_short(HEADER_LENGTH))?;
        let [format, s0, s1, s2, s3, s4, threshold, count] = *header;
        if format != FORMAT {
            return Err(OpenError::UnknownFormat { format });
        }
        if !is_possible(threshold, count) {
            return Err(OpenError::NotAuthentic);
        }
        let length = usize::from(count) * size_of::<ShareDigest>();
        let (digests, root) = rest.split_at_checked(length).ok_or(too_short(HEADER_LENGTH + length))?;
        let (digests, _) = digests.as_chunks();
        Ok((Self { set: SetId([s0, s1, s2, s3, s4]), threshold, digests: digests.to_vec() }, root))
    }

    /// The header of a wrap.
    fn to_vec(&self) -> Vec<u8> {
        let fields = [&[FORMAT], self.set.0.as_slice(), &[self.threshold, self.count()]].concat();
        [fields.as_slice(), self.digests.as_flattened()].concat()
    }

    fn count(&self) -> u8 {
        // At most sixteen, see `is_possible`.
        u8::try_from(self.digests.len()).unwrap_or(SHARES_MAXIMUM)
    }

    fn describe(&self) -> String {
        format!("any {} of the {} shares of set {}", self.threshold, self.count(), self.set)
    }

    /// Whether exactly this share belongs to the set.
    fn lists(&self, share: &Share) -> bool {
        usize::from(share.number)
            .checked_sub(1)
            .and_then(|position| self.digests.get(position))
            .is_some_and(|digest| bool::from(digest.ct_eq(&share.digest())))
    }
}

fn is_possible(threshold: u8, count: u8) -> bool {
    (THRESHOLD_MINIMUM..=count).contains(&threshold) && count <= SHARES_MAXIMUM
}
