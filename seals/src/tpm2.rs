//! The TPM 2.0 seal: the machine's own chip keeps the seal key, which opens on no other machine.
//!
//! The seal key is sealed together with the context of the wrap (TPM 2.0 Library Specification, part 1 §25,
//! "sealed data"), under a storage key that the chip derives each time from its owner seed, with the template
//! for storage root keys on P-256 of the TCG's provisioning guidance, but with an empty unique field. So
//! petsem stores nothing in the chip, and clearing the chip destroys the seal.
//!
//! All commands with the key use an HMAC session whose salt is encrypted to that storage key, with parameter
//! encryption (AES-128-CFB) in both directions: an eavesdropper on the bus sees neither key nor PIN. The name
//! of the storage key, a digest of its public part, is in the wrap: another chip, a cleared one, or one that
//! an attacker inserted, is detected before petsem sends it a PIN.
//!
//! A PIN is optional; the chip then counts wrong ones and locks itself, for every user of it. So this code
//! never spends the last try. Without a PIN, root on the machine can open the seal, but the disk in another
//! machine cannot. No PCR is bound: an update of firmware or kernel never locks a store.
//!
//! The sealed message is `name of the storage key 34 | length u16 | public part | private part`. libtss2
//! copies the key in its own memory, which this crate cannot wipe, and prints refusals of a chip to standard
//! error; `TSS2_LOG=all+none` in the environment silences it.

mod chip;
mod error;
mod message;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use petsem_keys::{OpenError, Seal, SealContext, SealError, SealKey};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use error::Tpm2Error;

use crate::{envelope, private_file};
use message::SealedMessage;

/// The kind of this seal in a store's list of seals.
pub const TPM2_KIND: &str = "tpm2";

/// The longest PIN, in bytes: the longest authorisation of an object with SHA-256.
const PIN_MAXIMUM: usize = 32;

/// A TPM, and its PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tpm2Settings {
    /// The device; usually [`Tpm2Device::default`].
    pub device: Tpm2Device,
    /// File with a PIN of at most 32 bytes, mode 0600; one newline at its end is ignored. `None`: no PIN.
    pub pin_file: Option<PathBuf>,
}

impl Tpm2Settings {
    /// The seal's name for people, as [`Seal::describe`].
    pub fn describe(&self) -> String {
        format!("TPM {}", self.device)
    }
}

/// The device of a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tpm2Device {
    /// A device file. The kernel shares `/dev/tpmrm0` between processes, but not `/dev/tpm0`.
    File(PathBuf),
    /// A software TPM on this machine with swtpm's protocol; for tests, because its traffic is readable on
    /// the machine.
    Swtpm {
        /// Its port at 127.0.0.1; its control port is the next.
        port: u16,
    },
}

impl Default for Tpm2Device {
    fn default() -> Self {
        Self::File(PathBuf::from("/dev/tpmrm0"))
    }
}

/// An absolute path, or `swtpm:PORT`.
impl FromStr for Tpm2Device {
    type Err = Tpm2Error;

    fn from_str(text: &str) -> Result<Self, Tpm2Error> {
        let no_device = || Tpm2Error::DeviceText { device: text.to_owned() };
        match text.strip_prefix("swtpm:") {
            Some(port) => match port.parse() {
                Ok(port) if (1..u16::MAX).contains(&port) => Ok(Self::Swtpm { port }),
                _ => Err(no_device()),
            },
            None if Path::new(text).is_absolute() && !text.contains(char::is_control) => {
                Ok(Self::File(PathBuf::from(text)))
            }
            None => Err(no_device()),
        }
    }
}

impl fmt::Display for Tpm2Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Swtpm { port } => write!(f, "swtpm:{port}"),
        }
    }
}

/// A seal whose key is in the machine's TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tpm2 {
    settings: Tpm2Settings,
}

impl Tpm2 {
    /// The seal, after checking that the TPM answers and creates its storage key, and that the PIN can be
    /// read.
    ///
    /// # Errors
    /// [`Tpm2Error`].
    pub fn open(settings: Tpm2Settings) -> Result<Self, Tpm2Error> {
        let seal = Self { settings };
        seal.read_pin()?;
        chip::with_chip(&seal.settings.device, |chip| chip.storage_key_name())?;
        Ok(seal)
    }

    fn read_pin(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Tpm2Error> {
        let Some(path) = &self.settings.pin_file else { return Ok(None) };
        let mut buffer = Zeroizing::new([0; PIN_MAXIMUM + private_file::MARK_AND_NEWLINE + 1]);
        let content =
            private_file::read(path, buffer.as_mut()).map_err(|source| Tpm2Error::PinFile { source })?;
        let content = private_file::without_mark_and_newline(content);
        // A TPM removes trailing zero bytes; a text has none.
        let is_pin = (1..=PIN_MAXIMUM).contains(&content.len())
            && std::str::from_utf8(content).is_ok_and(|pin| !pin.contains(char::is_control));
        if is_pin {
            Ok(Some(Zeroizing::new(content.to_vec())))
        } else {
            Err(Tpm2Error::PinText { pin_file: path.clone() })
        }
    }
}

impl Seal for Tpm2 {
    fn kind(&self) -> &'static str {
        TPM2_KIND
    }

    fn describe(&self) -> String {
        self.settings.describe()
    }

    fn new_key(
        &self,
        rng: &mut dyn CryptoRng,
        context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError> {
        let aad = context.seal_key_aad();
        envelope::new_key(rng, &self.describe(), |_, seal_key| {
            let pin = self.read_pin()?;
            let sealed = chip::with_chip(&self.settings.device, |chip| {
                let sealed = chip.seal(seal_key, &aad, pin.as_deref().map(Vec::as_slice))?;
                let again = chip.unseal(&sealed, &aad, pin.as_deref().map(Vec::as_slice))?;
                if bool::from(again.expose_seal_key().ct_eq(seal_key.expose_seal_key())) {
                    Ok(sealed)
                } else {
                    Err(Tpm2Error::NotReadBack)
                }
            })?;
            Ok(sealed.to_vec())
        })
    }

    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError> {
        let aad = context.seal_key_aad();
        envelope::find_key(wrapped, &self.describe(), |sealed| {
            let not_its_wrap = |source| SealError::NotItsWrap { seal: self.describe(), source };
            let sealed = SealedMessage::parse(sealed).map_err(not_its_wrap)?;
            let pin = self.read_pin()?;
            chip::with_chip(&self.settings.device, |chip| {
                chip.unseal(&sealed, &aad, pin.as_deref().map(Vec::as_slice))
            })
            .map_err(|error| match error {
                Tpm2Error::NotItsOwn => not_its_wrap(OpenError::NotAuthentic),
                other => other.into(),
            })
        })
    }
}
