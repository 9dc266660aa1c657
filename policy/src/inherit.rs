//! What a token passes on to the tokens that it mints (design §7): all its caveats, and its lineage.

use crate::caveat::{Caveat, CaveatSet};
use crate::caveats::{Ancestors, PetsemCaveat};
use crate::nonce::TokenId;
use crate::text::InheritError;
use crate::token::Token;

/// Longest lineage, signing keys included.
pub const MAX_ANCESTORS: usize = 32;

impl Token {
    /// The caveats that a token minted with this one must carry before its own: all of this token's caveats in
    /// order. Its [`Self::lineage`] replaces this token's Ancestors, or follows at the end.
    ///
    /// # Errors
    /// [`InheritError`] if a caveat cannot be copied, or the lineage is too long.
    pub fn inherit(&self) -> Result<CaveatSet, InheritError> {
        let lineage = self.lineage();
        let is_too_long = lineage.0.len() > MAX_ANCESTORS;
        let mut lineage = Some(Caveat::from(lineage));
        let mut caveats = Vec::with_capacity(self.own_caveats().len() + 1);
        for caveat in self.own_caveats() {
            match caveat {
                Caveat::ThirdParty(_) => return Err(InheritError::ThirdParty),
                attestation if attestation.is_attestation() => return Err(InheritError::Attestation),
                // Replaced in place, so that no caveat moves to the front: the first ones decide about reading.
                ancestors if is_ancestors(ancestors) => caveats.extend(lineage.take()),
                other => caveats.push(other.clone()),
            }
        }
        caveats.extend(lineage);
        if is_too_long { Err(InheritError::TooManyAncestors) } else { Ok(CaveatSet::new(caveats)) }
    }

    /// The lineage of a token minted with this one: this token, the key that signed it
    /// ([`TokenId::of_key`]), then this token's own ancestors, each once.
    pub fn lineage(&self) -> Ancestors {
        let mut line = vec![self.id(), TokenId::of_key(self.kid())];
        for ancestor in self.ancestors() {
            if !line.contains(ancestor) {
                line.push(*ancestor);
            }
        }
        Ancestors(line)
    }
}

fn is_ancestors(caveat: &Caveat) -> bool {
    matches!(PetsemCaveat::of(caveat), Some(Ok(Some(PetsemCaveat::Ancestors(_)))))
}
