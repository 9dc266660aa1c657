//! Input that people type to open a store, as sources of seals.

use std::fmt;

use petsem_keys::{CreatedSeal, Seal, SealSource, SealUnavailable};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{PASSPHRASE_KIND, Passphrase, SHAMIR_KIND, ShareSet};

/// The input with which people open a seal of this kind, e.g. `the passphrase`; `None` if the kind takes no
/// input.
///
/// Reads the wrap. Until the store is open, the wrap and its description are unverified.
pub fn input_from_people(kind: &str, wrapped: &[u8]) -> Option<String> {
    match kind {
        PASSPHRASE_KIND => Some("the passphrase".to_owned()),
        SHAMIR_KIND => ShareSet::for_wrap(wrapped).ok().map(|set| set.describe()),
        _ => None,
    }
}

/// A passphrase that a person typed.
impl SealSource for Passphrase {
    fn kind(&self) -> &'static str {
        PASSPHRASE_KIND
    }

    fn is_automatic(&self) -> bool {
        false
    }

    fn is_retryable(&self) -> bool {
        false
    }

    fn open(&self) -> Result<Option<Box<dyn Seal>>, SealUnavailable> {
        Ok(Some(Box::new(self.duplicate())))
    }

    fn create(&self, _rng: &mut dyn CryptoRng) -> Result<Option<CreatedSeal>, SealUnavailable> {
        Ok(Some(CreatedSeal { seal: Box::new(self.duplicate()), shares: Vec::new() }))
    }
}

/// Shares as people typed them. They become a seal only with a wrap to check them against.
pub struct TypedShares(Vec<Zeroizing<String>>);

impl TypedShares {
    /// These shares.
    pub fn new(shares: Vec<Zeroizing<String>>) -> Self {
        Self(shares)
    }
}

impl SealSource for TypedShares {
    fn kind(&self) -> &'static str {
        SHAMIR_KIND
    }

    fn is_automatic(&self) -> bool {
        false
    }

    fn is_retryable(&self) -> bool {
        false
    }

    fn open(&self) -> Result<Option<Box<dyn Seal>>, SealUnavailable> {
        Ok(None)
    }

    fn open_for(
        &self,
        wrapped: &[u8],
        refused: &mut Vec<String>,
    ) -> Result<Option<Box<dyn Seal>>, SealUnavailable> {
        let mut set = ShareSet::for_wrap(wrapped)?;
        refused.extend(self.0.iter().filter_map(|share| set.add(share).err()).map(|error| error.to_string()));
        Ok(Some(Box::new(set.combine()?)))
    }

    fn create(&self, _rng: &mut dyn CryptoRng) -> Result<Option<CreatedSeal>, SealUnavailable> {
        Ok(None)
    }
}

impl fmt::Debug for TypedShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedShares({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use petsem_keys::{RootKey, SealContext, SealExt as _};
    use rand_core::UnwrapErr;

    use super::*;
    use crate::SealSettings;

    const CONTEXT: SealContext = SealContext::root_key([1; 16], [2; 16], 3);

    #[test]
    fn typed_shares_open_their_wrap_and_a_refused_share_is_reported() {
        let rng = &mut UnwrapErr(SysRng);
        let created = SealSettings::Shamir { threshold: 2, shares: 3 }.create(rng).unwrap().unwrap();
        let root = RootKey::generate(rng, 3);
        let wrapped = created.seal.wrap(rng, &root, &CONTEXT).unwrap();
        let [one, two, three] = created.shares.try_into().unwrap();
        let mut wrong = two.text.clone();
        wrong.replace_range(0..1, "-");

        let mut refused = Vec::new();
        let typed = TypedShares::new(vec![one.text, wrong, three.text]);
        let seal = typed.open_for(&wrapped, &mut refused).unwrap().unwrap();
        assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(typed.open().unwrap().map(|seal| seal.describe()), None);
        assert_eq!(format!("{typed:?}"), "TypedShares(3)");

        let too_few = TypedShares::new(vec![two.text]).open_for(&wrapped, &mut Vec::new());
        let text = too_few.err().unwrap().to_string();
        assert!(text.contains("1 of the 2 shares that are needed were given"), "{text}");
        assert_eq!(input_from_people(SHAMIR_KIND, &wrapped), Some(seal.describe()));
    }

    #[test]
    fn a_typed_passphrase_wraps_and_opens() {
        let rng = &mut UnwrapErr(SysRng);
        let typed = Passphrase::new(Zeroizing::new("correct horse battery staple".to_owned())).unwrap();
        let typed = typed.with_parameters(crate::Argon2Parameters::LOWEST);
        let created = typed.create(rng).unwrap().unwrap();
        let root = RootKey::generate(rng, 3);
        let wrapped = created.seal.wrap(rng, &root, &CONTEXT).unwrap();
        let opened = typed.open_for(&wrapped, &mut Vec::new()).unwrap().unwrap();
        assert_eq!(opened.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
        assert_eq!(input_from_people(PASSPHRASE_KIND, &wrapped).as_deref(), Some("the passphrase"));
        assert_eq!(input_from_people("key-file", &wrapped), None);
    }
}
