//! What a token hands down to those that it mints (design §7): all its caveats, and who it is.

use std::fmt;

use crate::caveat::{Caveat, CaveatSet};
use crate::caveats::{Ancestors, PetsemCaveat};
use crate::nonce::TokenId;
use crate::token::Token;

/// Longest line of descent, keys counted.
pub const MAX_ANCESTORS: usize = 32;

impl Token {
    /// The caveats that a token minted with this one must carry, in front of its own: all of this token's in
    /// their order, and its line of [`Self::descent`] in the place of this one's, else behind them.
    ///
    /// # Errors
    /// [`InheritError`] for a token that cannot be copied.
    pub fn inherit(&self) -> Result<CaveatSet, InheritError> {
        let line = self.descent();
        let is_long = line.0.len() > MAX_ANCESTORS;
        let mut line = Some(Caveat::from(line));
        let mut caveats = Vec::with_capacity(self.own_caveats().len() + 1);
        for caveat in self.own_caveats() {
            match caveat {
                Caveat::ThirdParty(_) => return Err(InheritError::ThirdParty),
                attestation if attestation.is_attestation() => return Err(InheritError::Attestation),
                // In its place, so that no other caveat moves to the front: the first ones say what may be read.
                ancestors if is_ancestors(ancestors) => caveats.extend(line.take()),
                other => caveats.push(other.clone()),
            }
        }
        caveats.extend(line);
        if is_long { Err(InheritError::TooManyAncestors) } else { Ok(CaveatSet::new(caveats)) }
    }

    /// From what a token minted with this one descends: this token, the key that signed it
    /// ([`TokenId::of_key`]), then this one's own ancestors, each once.
    pub fn descent(&self) -> Ancestors {
        let mut line = vec![self.id(), TokenId::of_key(self.kid())];
        for ancestor in self.ancestors() {
            if !line.contains(&ancestor) {
                line.push(ancestor);
            }
        }
        Ancestors(line)
    }
}

fn is_ancestors(caveat: &Caveat) -> bool {
    matches!(PetsemCaveat::of(caveat), Some(Ok(Some(PetsemCaveat::Ancestors(_)))))
}

/// Why a token cannot mint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InheritError {
    /// Its third-party caveat cannot be copied: the key in it is sealed for this token alone.
    ThirdParty,
    /// It is a proof that says who someone is; that is not handed down.
    Attestation,
    /// Too many ancestors.
    TooManyAncestors,
}

impl fmt::Display for InheritError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(crate::text::inherit_error(*self))
    }
}

impl std::error::Error for InheritError {}
