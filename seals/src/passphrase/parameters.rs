//! The cost of Argon2id: high enough against guessing, and bounded so that a changed wrap cannot stall a
//! start.

use super::PassphraseError;

/// Memory, passes and lanes of Argon2id (RFC 9106 §3.1), within the bounds that petsem accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Parameters {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Argon2Parameters {
    /// The lowest accepted parameters: memory and passes of RFC 9106's second recommended option.
    pub const LOWEST: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// The highest accepted parameters: 1 GiB, some seconds of one core.
    pub const HIGHEST: Self = Self { memory_kib: 1024 * 1024, passes: 8, lanes: 4 };

    /// Parameters of new wraps: 256 MiB and 3 passes, less than a second of one core. One lane, because
    /// petsem fills the memory on one thread: more lanes would only help an attacker with more threads.
    pub const RECOMMENDED: Self = Self { memory_kib: 256 * 1024, passes: 3, lanes: 1 };

    /// Length of the encoding in a wrap, in bytes.
    pub(super) const LENGTH: usize = 12;

    /// Parameters: memory in KiB, passes over it, lanes.
    ///
    /// # Errors
    /// [`PassphraseError::Parameters`] below [`Argon2Parameters::LOWEST`] or above
    /// [`Argon2Parameters::HIGHEST`] in any of the three.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, PassphraseError> {
        let parameters = Self { memory_kib, passes, lanes };
        parameters.check()?;
        Ok(parameters)
    }

    /// Memory in KiB.
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes that can be filled in parallel.
    pub fn lanes(self) -> u32 {
        self.lanes
    }

    /// Refuses parameters outside the bounds.
    pub(super) fn check(self) -> Result<(), PassphraseError> {
        let (lowest, highest) = (Self::LOWEST, Self::HIGHEST);
        let within = (lowest.memory_kib..=highest.memory_kib).contains(&self.memory_kib)
            && (lowest.passes..=highest.passes).contains(&self.passes)
            && (lowest.lanes..=highest.lanes).contains(&self.lanes);
        if within { Ok(()) } else { Err(PassphraseError::Parameters { parameters: self }) }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (words, _) = bytes.as_chunks_mut::<4>();
        for (word, value) in words.iter_mut().zip([self.memory_kib, self.passes, self.lanes]) {
            *word = value.to_be_bytes();
        }
        bytes
    }

    /// The parameters of a wrap, before [`Argon2Parameters::check`].
    pub(super) fn danger_from_unchecked_bytes(bytes: &[u8; Self::LENGTH]) -> Self {
        let [m0, m1, m2, m3, p0, p1, p2, p3, l0, l1, l2, l3] = *bytes;
        Self {
            memory_kib: u32::from_be_bytes([m0, m1, m2, m3]),
            passes: u32::from_be_bytes([p0, p1, p2, p3]),
            lanes: u32::from_be_bytes([l0, l1, l2, l3]),
        }
    }
}
