//! Input from people that opens the store: a passphrase, shares.

use std::fmt;
use std::sync::Arc;

use petsem_seals::{Passphrase, SealSource, TypedShares};
use zeroize::Zeroizing;

/// Input from people. Empty if the configured seals are to open the store.
#[derive(Clone, Default)]
pub struct UnsealInput {
    pub(crate) passphrase: Option<Arc<Passphrase>>,
    pub(crate) shares: Arc<Vec<Zeroizing<String>>>,
}

impl UnsealInput {
    /// This passphrase, and these shares as typed.
    pub fn new(passphrase: Option<Passphrase>, shares: Vec<Zeroizing<String>>) -> Self {
        Self { passphrase: passphrase.map(Arc::new), shares: Arc::new(shares) }
    }

    /// The passphrase.
    pub(crate) fn passphrase(&self) -> Option<Arc<dyn SealSource>> {
        self.passphrase.clone().map(|passphrase| passphrase as Arc<dyn SealSource>)
    }

    /// The input as sources of seals.
    pub(crate) fn sources(&self) -> Vec<Arc<dyn SealSource>> {
        let mut sources: Vec<_> = self.passphrase().into_iter().collect();
        if !self.shares.is_empty() {
            sources.push(Arc::new(TypedShares::new(self.shares.to_vec())));
        }
        sources
    }

    /// Whether there is no input.
    pub fn is_empty(&self) -> bool {
        self.passphrase.is_none() && self.shares.is_empty()
    }
}

impl fmt::Debug for UnsealInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsealInput")
            .field("passphrase", &self.passphrase.is_some())
            .field("shares", &self.shares.len())
            .finish()
    }
}

/// Compares identity: secrets are not compared by value.
impl PartialEq for UnsealInput {
    fn eq(&self, other: &Self) -> bool {
        let same_passphrase = match (&self.passphrase, &other.passphrase) {
            (None, None) => true,
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            _ => false,
        };
        same_passphrase
            && (Arc::ptr_eq(&self.shares, &other.shares) || self.shares.is_empty() && other.shares.is_empty())
    }
}

impl Eq for UnsealInput {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_input() {
        let passphrase = Passphrase::new(Zeroizing::new("canary passphrase".to_owned())).unwrap();
        let input = UnsealInput::new(Some(passphrase), vec![Zeroizing::new("canary share".to_owned())]);
        assert_eq!(format!("{input:?}"), "UnsealInput { passphrase: true, shares: 1 }");
        assert!(!input.is_empty() && UnsealInput::default().is_empty());
        assert_eq!(input, input.clone());
        assert_ne!(input, UnsealInput::default());
    }
}
