//! The source of a seal: an entry of the configuration, or input from a person.
//!
//! The code that unlocks a store tries seals without knowing their kinds. It gets a [`Seal`] from each source
//! to wrap and unwrap with; `petsem-seals` implements the sources.

use std::error::Error;
use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::seal::Seal;

/// Why a source cannot provide its seal now: the error of its kind.
pub type SealUnavailable = Box<dyn Error + Send + Sync>;

/// A source of one seal.
pub trait SealSource: fmt::Debug + Send + Sync {
    /// The kind of its seal, as [`Seal::kind`].
    fn kind(&self) -> &'static str;

    /// Its seal's description as [`Seal::describe`], if it is known before the seal is opened.
    fn description(&self) -> Option<String> {
        None
    }

    /// Whether it opens without a person, so that a start tries it.
    fn is_automatic(&self) -> bool;

    /// Whether a failed attempt costs nothing, so that it may be repeated: no device counts wrong PINs.
    fn is_retryable(&self) -> bool;

    /// Opens an existing seal; `None` if it needs a person, or a wrap ([`SealSource::open_for`]).
    ///
    /// # Errors
    /// The error of its kind. The configuration may still be right: a key file may not exist yet.
    fn open(&self) -> Result<Option<Box<dyn Seal>>, SealUnavailable>;

    /// Opens the seal that made this wrap. It differs from [`SealSource::open`] only for shares, which are
    /// checked against a wrap; the refusal of each invalid share goes to `refused`.
    ///
    /// # Errors
    /// As [`SealSource::open`].
    fn open_for(
        &self,
        wrapped: &[u8],
        refused: &mut Vec<String>,
    ) -> Result<Option<Box<dyn Seal>>, SealUnavailable> {
        let _ = (wrapped, refused);
        self.open()
    }

    /// Opens the seal, after creating its key if there is none; `None` if it needs a person.
    ///
    /// # Errors
    /// As [`SealSource::open`].
    fn create(&self, rng: &mut dyn CryptoRng) -> Result<Option<CreatedSeal>, SealUnavailable>;
}

/// A seal that is ready to wrap.
pub struct CreatedSeal {
    /// The seal.
    pub seal: Box<dyn Seal>,
    /// Its shares, which exist nowhere else; empty for other kinds.
    pub shares: Vec<NewShare>,
}

impl fmt::Debug for CreatedSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedSeal")
            .field("seal", &self.seal.describe())
            .field("shares", &self.shares)
            .finish()
    }
}

/// A new share.
pub struct NewShare {
    /// The share's name for people.
    pub description: String,
    /// The text that its holder types. With enough others it opens the store.
    pub text: Zeroizing<String>,
}

impl fmt::Debug for NewShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewShare").field("description", &self.description).finish_non_exhaustive()
    }
}

/// The error of one seal, with its name: a node may have several seals of one kind.
#[derive(Debug)]
pub struct NamedSealError {
    seal: String,
    source: SealUnavailable,
}

impl NamedSealError {
    /// The error of the seal with this description ([`Seal::describe`]).
    pub fn new(seal: String, source: impl Into<SealUnavailable>) -> Self {
        Self { seal, source: source.into() }
    }
}

impl fmt::Display for NamedSealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.source.to_string();
        match text.contains(&self.seal) {
            true => f.write_str(&text),
            false => write!(f, "{}: {text}", self.seal),
        }
    }
}

// By hand: the source is the source of `source`.
impl Error for NamedSealError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The text of the source is already part of this error's text.
        self.source.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_seal_error_names_the_seal_once() {
        let text = |error: &str| NamedSealError::new("TPM /dev/tpmrm0".to_owned(), error).to_string();
        assert_eq!(text("it does not answer"), "TPM /dev/tpmrm0: it does not answer");
        assert_eq!(text("TPM /dev/tpmrm0 does not answer"), "TPM /dev/tpmrm0 does not answer");
    }

    #[test]
    fn debug_of_a_new_share_does_not_show_its_text() {
        let text = Zeroizing::new("canary".to_owned());
        let share = NewShare { description: "share 1 of 3".to_owned(), text };
        assert_eq!(format!("{share:?}"), "NewShare { description: \"share 1 of 3\", .. }");
    }
}
