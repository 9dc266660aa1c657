//! A key file that must not exist yet: the key of one that exists may be known to others.

use std::path::PathBuf;

use petsem_keys::{CreatedSeal, Seal, SealSource, SealUnavailable};
use rand_core::CryptoRng;

use crate::{KEY_FILE_KIND, KeyFile};

/// A key-file seal that is always created. Unlike a `[[seal]]` of the configuration, it takes no key that is there, not
/// even one that appears after everything was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeyFile(PathBuf);

impl NewKeyFile {
    /// A new key file at this path.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }
}

impl SealSource for NewKeyFile {
    fn kind(&self) -> &'static str {
        KEY_FILE_KIND
    }

    fn description(&self) -> Option<String> {
        Some(KeyFile::description(&self.0))
    }

    fn is_automatic(&self) -> bool {
        true
    }

    fn is_retryable(&self) -> bool {
        true
    }

    fn open(&self) -> Result<Option<Box<dyn Seal>>, SealUnavailable> {
        Ok(Some(Box::new(KeyFile::open(&self.0)?)))
    }

    fn create(&self, rng: &mut dyn CryptoRng) -> Result<Option<CreatedSeal>, SealUnavailable> {
        let seal = Box::new(KeyFile::create(rng, &self.0)?);
        Ok(Some(CreatedSeal { seal, shares: Vec::new() }))
    }
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    use super::*;
    use crate::SealSettings;

    #[test]
    fn the_key_of_a_file_that_appears_meanwhile_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let rng = &mut UnwrapErr(SysRng);
        let new = NewKeyFile::at(path.clone());
        assert!(new.create(rng).unwrap().is_some());
        let foreign = std::fs::read(&path).unwrap();
        let refused = new.create(rng).err().unwrap().to_string();
        assert!(refused.contains("exists"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), foreign);
        // A new installation may bring its key file.
        assert!(SealSettings::KeyFile { path }.create(rng).unwrap().is_some());
    }
}
