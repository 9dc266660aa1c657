//! `[[seal]]` of the configuration: which seals open the store, and which of them need a person.
//!
//! The configuration has no passphrase, PIN or share, but the path of a file that only its owner can read. A
//! path that begins with `$CREDENTIALS_DIRECTORY/` names a credential that systemd passed to this process.

use std::path::{Path, PathBuf};

#[cfg(any(feature = "pkcs11", feature = "tpm2"))]
use petsem_keys::NamedSealError;
use petsem_keys::{CreatedSeal, NewShare, Seal, SealSource, SealUnavailable};
use rand_core::CryptoRng;
use serde::Deserialize;
#[cfg(not(all(feature = "aws-kms", feature = "pkcs11", feature = "tpm2")))]
use serde::de::IgnoredAny;

#[cfg(feature = "aws-kms")]
use crate::{AwsKms, AwsKmsSettings, clock::system_time};
use crate::{KEY_FILE_KIND, KeyFile, PASSPHRASE_KIND, Passphrase, SHAMIR_KIND, SHARES_MAXIMUM, Shamir};
#[cfg(feature = "pkcs11")]
use crate::{PKCS11_KIND, Pkcs11, Pkcs11Settings};
#[cfg(feature = "tpm2")]
use crate::{TPM2_KIND, Tpm2, Tpm2Device, Tpm2Settings};

/// The prefix of paths in systemd's directory of credentials.
const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY/";

/// One seal of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealSettings {
    /// A key file, mode 0600.
    KeyFile {
        /// Its path.
        path: PathBuf,
    },
    /// A passphrase, from a person or from a file that the start reads.
    Passphrase {
        /// The file, mode 0600; without one a start does not try this seal.
        file: Option<PathBuf>,
    },
    /// Shares entered by people; any `threshold` of them open the store.
    Shamir {
        /// How many shares open the store.
        threshold: u8,
        /// How many shares exist.
        shares: u8,
    },
    /// A key on a PKCS#11 token.
    #[cfg(feature = "pkcs11")]
    Pkcs11(Pkcs11Settings),
    /// A key of AWS KMS.
    #[cfg(feature = "aws-kms")]
    AwsKms(AwsKmsSettings),
    /// The machine's TPM.
    #[cfg(feature = "tpm2")]
    Tpm2(Tpm2Settings),
}

/// Why a `[[seal]]` of the configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealSettingsError {
    /// A value is out of range or not supported by this build.
    #[error("the configuration key `{key}` is {value:?}: {remedy}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value, as written.
        value: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// The kind of seal refuses its settings.
    #[error("the {kind} seal of the configuration: {source}")]
    Seal {
        /// The kind.
        kind: &'static str,
        /// Its error.
        source: SealUnavailable,
    },
}

impl SealSettings {
    /// The file of a seal that has one.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::KeyFile { path } => Some(path),
            Self::Passphrase { file } => file.as_ref(),
            _ => None,
        }
    }

    /// Whether it opens without a person, so that a start tries it.
    pub fn is_automatic(&self) -> bool {
        !matches!(self, Self::Passphrase { file: None } | Self::Shamir { .. })
    }
}

impl SealSource for SealSettings {
    fn kind(&self) -> &'static str {
        match self {
            Self::KeyFile { .. } => KEY_FILE_KIND,
            Self::Passphrase { .. } => PASSPHRASE_KIND,
            Self::Shamir { .. } => SHAMIR_KIND,
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(_) => PKCS11_KIND,
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(_) => crate::AWS_KMS_KIND,
            #[cfg(feature = "tpm2")]
            Self::Tpm2(_) => TPM2_KIND,
        }
    }

    fn description(&self) -> Option<String> {
        match self {
            Self::KeyFile { path } => Some(KeyFile::description(path)),
            _ => None,
        }
    }

    fn is_automatic(&self) -> bool {
        self.is_automatic()
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::KeyFile { .. } => true,
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(_) => true,
            // A passphrase costs Argon2; tokens and TPMs count wrong PINs.
            _ => false,
        }
    }

    fn open(&self) -> Result<Option<Box<dyn Seal>>, SealUnavailable> {
        Ok(match self {
            Self::KeyFile { path } => Some(Box::new(KeyFile::open(path)?)),
            Self::Passphrase { file: Some(file) } => Some(Box::new(Passphrase::from_file(file)?)),
            Self::Passphrase { file: None } | Self::Shamir { .. } => None,
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(settings) => Some(Box::new(
                Pkcs11::open(settings.clone())
                    .map_err(|error| NamedSealError::new(settings.describe(), error))?,
            )),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(settings) => Some(Box::new(AwsKms::open(settings.clone(), system_time)?)),
            #[cfg(feature = "tpm2")]
            Self::Tpm2(settings) => Some(Box::new(
                Tpm2::open(settings.clone())
                    .map_err(|error| NamedSealError::new(settings.describe(), error))?,
            )),
        })
    }

    fn create(&self, rng: &mut dyn CryptoRng) -> Result<Option<CreatedSeal>, SealUnavailable> {
        let seal: Option<Box<dyn Seal>> = match self {
            Self::KeyFile { path } if !path.exists() => Some(Box::new(KeyFile::create(rng, path)?)),
            Self::Shamir { threshold, shares } => {
                let (seal, shares) = Shamir::split(rng, *threshold, *shares)?;
                let new_share = |share: &crate::Share| NewShare {
                    description: share.describe(),
                    text: share.expose_text(),
                };
                let shares = shares.iter().map(new_share).collect();
                return Ok(Some(CreatedSeal { seal: Box::new(seal), shares }));
            }
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(settings) => Some(Box::new(
                Pkcs11::create(settings.clone())
                    .map_err(|error| NamedSealError::new(settings.describe(), error))?,
            )),
            other => other.open()?,
        };
        Ok(seal.map(|seal| CreatedSeal { seal, shares: Vec::new() }))
    }
}

/// A `[[seal]]` as written, not yet checked.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct SealEntry(Entry);

impl SealEntry {
    /// Checks the entry. Relative paths are relative to `base`. No seal is opened.
    ///
    /// # Errors
    /// [`SealSettingsError`].
    pub fn check(self, base: &Path) -> Result<SealSettings, SealSettingsError> {
        self.0.check(base)
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Entry {
    KeyFile {
        path: String,
    },
    Passphrase {
        file: Option<String>,
    },
    Shamir {
        threshold: u8,
        shares: u8,
    },
    #[cfg(feature = "pkcs11")]
    Pkcs11(Pkcs11File),
    // A kind that is not in this build is still known by name, so that the error can name the feature to
    // build with.
    #[cfg(not(feature = "pkcs11"))]
    Pkcs11(IgnoredAny),
    #[cfg(feature = "aws-kms")]
    AwsKms(AwsKmsFile),
    #[cfg(not(feature = "aws-kms"))]
    AwsKms(IgnoredAny),
    #[cfg(feature = "tpm2")]
    Tpm2(Tpm2File),
    #[cfg(not(feature = "tpm2"))]
    Tpm2(IgnoredAny),
}

#[cfg(feature = "pkcs11")]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pkcs11File {
    module: String,
    token: String,
    key: String,
    pin_file: String,
}

#[cfg(feature = "aws-kms")]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AwsKmsFile {
    key: String,
    region: Option<String>,
    endpoint: Option<String>,
}

#[cfg(feature = "tpm2")]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tpm2File {
    device: Option<String>,
    pin_file: Option<String>,
}

impl Entry {
    fn check(self, base: &Path) -> Result<SealSettings, SealSettingsError> {
        match self {
            Self::KeyFile { path } => Ok(SealSettings::KeyFile { path: path_of(base, &path) }),
            Self::Passphrase { file } => {
                Ok(SealSettings::Passphrase { file: file.map(|file| path_of(base, &file)) })
            }
            Self::Shamir { threshold, shares } => {
                if !(2..=SHARES_MAXIMUM).contains(&shares) {
                    return Err(value("seal.shares", &shares.to_string(), "give 2 to 16"));
                }
                if !(2..=shares).contains(&threshold) {
                    return Err(value(
                        "seal.threshold",
                        &threshold.to_string(),
                        "give 2 to the number of shares: one share alone would be the key",
                    ));
                }
                Ok(SealSettings::Shamir { threshold, shares })
            }
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(file) => Ok(SealSettings::Pkcs11(Pkcs11Settings {
                module: path_of(base, &file.module),
                token: file.token,
                key: file.key,
                pin_file: path_of(base, &file.pin_file),
            })),
            #[cfg(not(feature = "pkcs11"))]
            Self::Pkcs11(_) => Err(value(
                "seal.kind",
                "pkcs11",
                "this build does not have it; build petsem with `--features pkcs11`, or name another kind",
            )),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(AwsKmsFile { key, region, endpoint }) => {
                let settings = AwsKmsSettings { key, region, endpoint };
                // This makes no call: it checks that the settings are valid.
                match AwsKms::open(settings.clone(), system_time) {
                    Ok(_) => Ok(SealSettings::AwsKms(settings)),
                    Err(error) => {
                        Err(SealSettingsError::Seal { kind: crate::AWS_KMS_KIND, source: Box::new(error) })
                    }
                }
            }
            #[cfg(not(feature = "aws-kms"))]
            Self::AwsKms(_) => Err(value(
                "seal.kind",
                "aws-kms",
                "this build does not have it; build petsem with `--features aws-kms`, or name another kind",
            )),
            #[cfg(feature = "tpm2")]
            Self::Tpm2(Tpm2File { device, pin_file }) => {
                let device = device.as_deref().map(str::parse::<Tpm2Device>).transpose();
                let device = device
                    .map_err(|error| SealSettingsError::Seal { kind: TPM2_KIND, source: Box::new(error) })?;
                let device = device.unwrap_or_default();
                let pin_file = pin_file.map(|path| path_of(base, &path));
                Ok(SealSettings::Tpm2(Tpm2Settings { device, pin_file }))
            }
            #[cfg(not(feature = "tpm2"))]
            Self::Tpm2(_) => Err(value(
                "seal.kind",
                "tpm2",
                "this build does not have it; build petsem with `--features tpm2`, or name another kind",
            )),
        }
    }
}

/// A path, relative to the configuration's directory or in systemd's directory of credentials. Without that
/// directory the text is unchanged, so that an error shows the path as written.
fn path_of(base: &Path, text: &str) -> PathBuf {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty());
    match (text.strip_prefix(CREDENTIALS), directory) {
        (Some(name), Some(directory)) => Path::new(&directory).join(name),
        (Some(_), None) => PathBuf::from(text),
        (None, _) => base.join(text),
    }
}

fn value(key: &'static str, value: &str, remedy: &'static str) -> SealSettingsError {
    SealSettingsError::Value { key, value: value.to_owned(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        seal: Vec<SealEntry>,
    }

    fn settings(seals: &str) -> Result<Vec<SealSettings>, String> {
        let file: File = toml::from_str(seals).map_err(|error| error.to_string())?;
        let check = |entry: SealEntry| entry.check(Path::new("/base")).map_err(|error| error.to_string());
        file.seal.into_iter().map(check).collect()
    }

    #[test]
    fn seals_keep_their_order_and_only_those_without_a_person_are_automatic() {
        let seals = settings(
            "[[seal]]\nkind = \"shamir\"\nthreshold = 2\nshares = 3\n\
             [[seal]]\nkind = \"passphrase\"\n\
             [[seal]]\nkind = \"passphrase\"\nfile = \"p\"\n\
             [[seal]]\nkind = \"key-file\"\npath = \"/k\"\n",
        )
        .unwrap();
        assert_eq!(
            seals,
            [
                SealSettings::Shamir { threshold: 2, shares: 3 },
                SealSettings::Passphrase { file: None },
                SealSettings::Passphrase { file: Some("/base/p".into()) },
                SealSettings::KeyFile { path: "/k".into() },
            ]
        );
        let automatic: Vec<bool> = seals.iter().map(SealSource::is_automatic).collect();
        assert_eq!(automatic, [false, false, true, true]);
        let retryable: Vec<bool> = seals.iter().map(SealSource::is_retryable).collect();
        assert_eq!(retryable, [false, false, false, true]);
    }

    #[test]
    fn an_impossible_seal_is_refused_by_key_and_value() {
        let error = |seal: &str| settings(&format!("[[seal]]\n{seal}")).unwrap_err();
        assert_eq!(
            error("kind = \"shamir\"\nthreshold = 4\nshares = 3"),
            "the configuration key `seal.threshold` is \"4\": give 2 to the number of shares: one share alone would be \
             the key"
        );
        assert!(error("kind = \"passphrase\"\npassphrase = \"x\"").contains("unknown field `passphrase`"));
        #[cfg(not(feature = "tpm2"))]
        assert_eq!(
            error("kind = \"tpm2\"\ndevice = \"/dev/tpmrm0\""),
            "the configuration key `seal.kind` is \"tpm2\": this build does not have it; build petsem with `--features \
             tpm2`, or name another kind"
        );
    }

    #[test]
    fn shares_are_created_with_their_seal_and_a_typed_passphrase_is_not() {
        let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
        let created = SealSettings::Shamir { threshold: 2, shares: 3 }.create(rng).unwrap().unwrap();
        assert_eq!((created.seal.kind(), created.shares.len()), (SHAMIR_KIND, 3));
        assert!(SealSettings::Passphrase { file: None }.create(rng).unwrap().is_none());
    }
}
