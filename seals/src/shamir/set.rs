//! Collecting shares until there are enough.

use std::fmt;

use petsem_keys::{SealError, SealKey};

use super::error::{ShareError, TooFewShares};
use super::{Roster, SHAMIR_KIND, Shamir, Share, sharing};

/// The shares given so far for one wrap, in the order of their numbers.
///
/// Every share is checked against the wrap before it is kept, so a wrong one does not affect the others,
/// and at most as many are kept as the set has.
pub struct ShareSet {
    roster: Roster,
    shares: Vec<Share>,
}

impl ShareSet {
    /// An empty set for the seal of this wrap.
    ///
    /// # Errors
    /// [`SealError::NotItsWrap`] if it is not a wrap of a Shamir seal.
    pub fn for_wrap(wrapped: &[u8]) -> Result<Self, SealError> {
        let (roster, _) = Roster::parse(wrapped)
            .map_err(|source| SealError::NotItsWrap { seal: SHAMIR_KIND.to_owned(), source })?;
        Ok(Self { roster, shares: Vec::new() })
    }

    /// A set for the same wrap without shares.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { roster: self.roster.clone(), shares: Vec::new() }
    }

    /// Adds a share as a person typed it. More shares than needed are accepted.
    ///
    /// # Errors
    /// [`ShareError`]: mistyped, of another set, already given. The set does not change.
    pub fn add(&mut self, typed: &str) -> Result<ShareProgress, ShareError> {
        let share = Share::parse(typed)?;
        if share.set != self.roster.set {
            return Err(ShareError::OtherSet {
                share: share.number,
                set: share.set.to_string(),
                expected: self.roster.set.to_string(),
            });
        }
        if !self.roster.lists(&share) {
            return Err(ShareError::NotInTheSet { share: share.number, set: share.set.to_string() });
        }
        match self.shares.binary_search_by_key(&share.number, Share::number) {
            Ok(_) => return Err(ShareError::Repeated { share: share.number, progress: self.progress() }),
            Err(position) => self.shares.insert(position, share),
        }
        Ok(self.progress())
    }

    /// How many were given and are needed.
    pub fn progress(&self) -> ShareProgress {
        // At most sixteen, see `Roster::lists`.
        let given = u8::try_from(self.shares.len()).unwrap_or(u8::MAX);
        ShareProgress { given, threshold: self.roster.threshold, count: self.roster.count() }
    }

    /// The numbers of the given shares.
    pub fn numbers(&self) -> impl Iterator<Item = u8> {
        self.shares.iter().map(Share::number)
    }

    /// Description of the set, e.g. `any 3 of the 5 shares of set 3D7K0QZP`.
    pub fn describe(&self) -> String {
        self.roster.describe()
    }

    /// The seal, with its key restored from the shares, which are kept.
    ///
    /// # Errors
    /// [`TooFewShares`] if there are not enough.
    pub fn combine(&self) -> Result<Shamir, TooFewShares> {
        let threshold = usize::from(self.roster.threshold);
        let points: Vec<(u8, &[u8; 32])> =
            self.shares.iter().take(threshold).map(|share| (share.number, &**share.secret)).collect();
        let too_few = || TooFewShares { progress: self.progress(), set: self.roster.set.to_string() };
        if points.len() < threshold {
            return Err(too_few());
        }
        // The numbers differ, because `add` checks that.
        let secret = sharing::combine(&points).ok_or_else(too_few)?;
        let key = SealKey::filled_by(|key| {
            key.copy_from_slice(secret.as_slice());
            Ok(())
        })?;
        Ok(Shamir { roster: self.roster.clone(), key })
    }
}

impl fmt::Debug for ShareSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareSet").field("roster", &self.roster).field("shares", &self.shares).finish()
    }
}

/// How many shares were given, and how many are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareProgress {
    /// Given shares.
    pub given: u8,
    /// Needed shares.
    pub threshold: u8,
    /// Existing shares.
    pub count: u8,
}

impl ShareProgress {
    /// How many are still missing.
    pub fn missing(self) -> u8 {
        self.threshold.saturating_sub(self.given)
    }
}

impl fmt::Display for ShareProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the {} shares that are needed were given", self.given, self.threshold)
    }
}
