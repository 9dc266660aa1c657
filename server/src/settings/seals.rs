//! `[[seal]]`: what opens the store, and what of it needs a person.
//!
//! No passphrase, PIN or share stands in the configuration: a file does, which its owner alone can read. A path that
//! begins with `$CREDENTIALS_DIRECTORY/` is one of the credentials that systemd gave this process.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use petsem_keys::Seal;
use petsem_seals::{KEY_FILE_KIND, KeyFile, PASSPHRASE_KIND, Passphrase, SHAMIR_KIND};
use rand_core::CryptoRng;
use serde::Deserialize;

use super::{SettingsError, value};

/// A service that may be away and comes back; the name is the same where its feature is not built.
const AWS_KMS: &str = "aws-kms";
/// What stands for systemd's directory of credentials.
const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY/";

/// One seal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealSettings {
    /// A key file, mode 0600.
    KeyFile {
        /// Its path.
        path: PathBuf,
    },
    /// A passphrase, which a person gives, or a file that the start reads.
    Passphrase {
        /// The file, mode 0600; without one a start does not try this seal.
        file: Option<PathBuf>,
    },
    /// Shares, any `threshold` of which open; people give them.
    Shamir {
        /// How many are needed.
        threshold: u8,
        /// How many there are.
        shares: u8,
    },
    /// A key on a PKCS#11 token.
    #[cfg(feature = "pkcs11")]
    Pkcs11(petsem_seals::Pkcs11Settings),
    /// A key of AWS KMS.
    #[cfg(feature = "aws-kms")]
    AwsKms(petsem_seals::AwsKmsSettings),
    /// The machine's TPM.
    #[cfg(feature = "tpm2")]
    Tpm2(petsem_seals::Tpm2Settings),
}

/// Why a seal of the configuration is not at hand.
pub(crate) type SealUnavailable = Box<dyn Error + Send + Sync>;

/// What a seal says that cannot be used, behind its name: there may be several of its kind.
#[derive(Debug)]
pub(crate) struct OfSeal {
    seal: String,
    source: SealUnavailable,
}

impl OfSeal {
    /// What this seal says.
    pub(crate) fn new(seal: String, source: impl Into<SealUnavailable>) -> Self {
        Self { seal, source: source.into() }
    }
}

impl fmt::Display for OfSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.source.to_string();
        match text.contains(&self.seal) {
            true => f.write_str(&text),
            false => write!(f, "{}: {text}", self.seal),
        }
    }
}

impl Error for OfSeal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Its text is part of ours.
        self.source.source()
    }
}

impl SealSettings {
    /// Its kind, as in the store's list of seals.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::KeyFile { .. } => KEY_FILE_KIND,
            Self::Passphrase { .. } => PASSPHRASE_KIND,
            Self::Shamir { .. } => SHAMIR_KIND,
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(_) => petsem_seals::PKCS11_KIND,
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(_) => petsem_seals::AWS_KMS_KIND,
            #[cfg(feature = "tpm2")]
            Self::Tpm2(_) => petsem_seals::TPM2_KIND,
        }
    }

    /// Whether a start may try it: nobody has to be there.
    pub fn is_automatic(&self) -> bool {
        !matches!(self, Self::Passphrase { file: None } | Self::Shamir { .. })
    }

    /// Whether trying it again costs nothing: no PIN is counted.
    pub(crate) fn may_be_tried_again(&self) -> bool {
        self.kind() == KEY_FILE_KIND || self.kind() == AWS_KMS
    }

    /// The seal, as it is; none if people must give it.
    ///
    /// # Errors
    /// What the seal says; the configuration may still be right (a file that is yet to be made).
    pub fn open(&self) -> Result<Option<Box<dyn Seal>>, Box<dyn Error + Send + Sync>> {
        Ok(match self {
            Self::KeyFile { path } => Some(Box::new(KeyFile::open(path)?)),
            Self::Passphrase { file: Some(file) } => Some(Box::new(Passphrase::from_file(file)?)),
            Self::Passphrase { file: None } | Self::Shamir { .. } => None,
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(settings) => Some(Box::new(
                petsem_seals::Pkcs11::open(settings.clone())
                    .map_err(|error| OfSeal::new(settings.describe(), error))?,
            )),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(settings) => {
                Some(Box::new(petsem_seals::AwsKms::open(settings.clone(), petsem_engine::system_time)?))
            }
            #[cfg(feature = "tpm2")]
            Self::Tpm2(settings) => Some(Box::new(
                petsem_seals::Tpm2::open(settings.clone())
                    .map_err(|error| OfSeal::new(settings.describe(), error))?,
            )),
        })
    }

    /// The seal, its key made where there is none yet; none if people must give it.
    pub(crate) fn create(&self, rng: &mut dyn CryptoRng) -> Result<Option<Box<dyn Seal>>, SealUnavailable> {
        Ok(match self {
            Self::KeyFile { path } if !path.exists() => Some(Box::new(KeyFile::create(rng, path)?)),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(settings) => Some(Box::new(
                petsem_seals::Pkcs11::create(settings.clone())
                    .map_err(|error| OfSeal::new(settings.describe(), error))?,
            )),
            other => other.open()?,
        })
    }
}

/// A `[[seal]]` as it is written.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum SealFile {
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
    // Kinds that this build does not have: named, so that the refusal can say which feature is wanted.
    #[cfg(not(feature = "pkcs11"))]
    Pkcs11(#[expect(dead_code, reason = "what the kind needs is not looked at")] toml::Table),
    #[cfg(feature = "aws-kms")]
    AwsKms(AwsKmsFile),
    #[cfg(not(feature = "aws-kms"))]
    AwsKms(#[expect(dead_code, reason = "what the kind needs is not looked at")] toml::Table),
    #[cfg(feature = "tpm2")]
    Tpm2(Tpm2File),
    #[cfg(not(feature = "tpm2"))]
    Tpm2(#[expect(dead_code, reason = "what the kind needs is not looked at")] toml::Table),
}

#[cfg(feature = "pkcs11")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pkcs11File {
    module: String,
    token: String,
    key: String,
    pin_file: String,
}

#[cfg(feature = "aws-kms")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AwsKmsFile {
    key: String,
    region: Option<String>,
    endpoint: Option<String>,
}

#[cfg(feature = "tpm2")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tpm2File {
    device: Option<String>,
    pin_file: Option<String>,
}

impl SealFile {
    pub(super) fn check(self, base: &Path) -> Result<SealSettings, SettingsError> {
        match self {
            Self::KeyFile { path } => Ok(SealSettings::KeyFile { path: path_of(base, &path) }),
            Self::Passphrase { file } => {
                Ok(SealSettings::Passphrase { file: file.map(|file| path_of(base, &file)) })
            }
            Self::Shamir { threshold, shares } => {
                if !(2..=petsem_seals::SHARES_MAXIMUM).contains(&shares) {
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
            Self::Pkcs11(file) => Ok(SealSettings::Pkcs11(petsem_seals::Pkcs11Settings {
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
                let settings = petsem_seals::AwsKmsSettings { key, region, endpoint };
                // Nothing is called by this: it says whether there is something to call.
                match petsem_seals::AwsKms::open(settings.clone(), petsem_engine::system_time) {
                    Ok(_) => Ok(SealSettings::AwsKms(settings)),
                    Err(error) => Err(SettingsError::Seal { kind: AWS_KMS, source: Box::new(error) }),
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
                let device = device.as_deref().map(str::parse::<petsem_seals::Tpm2Device>).transpose();
                let device = device.map_err(|error| SettingsError::Seal {
                    kind: petsem_seals::TPM2_KIND,
                    source: Box::new(error),
                })?;
                let device = device.unwrap_or_default();
                let pin_file = pin_file.map(|path| path_of(base, &path));
                Ok(SealSettings::Tpm2(petsem_seals::Tpm2Settings { device, pin_file }))
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

/// A path: from the configuration's directory, or systemd's directory of credentials. Outside of such a service the
/// text stays as it is, so that what cannot be found is named as it was written.
fn path_of(base: &Path, text: &str) -> PathBuf {
    match (text.strip_prefix(CREDENTIALS), std::env::var_os("CREDENTIALS_DIRECTORY")) {
        (Some(name), Some(directory)) => Path::new(&directory).join(name),
        (Some(_), None) => PathBuf::from(text),
        (None, _) => base.join(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn settings(seals: &str) -> Result<Settings, SettingsError> {
        let text = format!(
            "name = \"test\"\nlocation = \"https://petsem.test\"\ndata_directory = \"data\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\n{seals}"
        );
        Settings::from_toml(&text, Path::new("/base"))
    }

    #[test]
    fn seals_keep_their_order_and_people_are_no_automatic_seals() {
        let settings = settings(
            "[[seal]]\nkind = \"shamir\"\nthreshold = 2\nshares = 3\n\
             [[seal]]\nkind = \"passphrase\"\n\
             [[seal]]\nkind = \"passphrase\"\nfile = \"p\"\n\
             [[seal]]\nkind = \"key-file\"\npath = \"/k\"\n",
        )
        .unwrap();
        assert_eq!(
            settings.seals,
            [
                SealSettings::Shamir { threshold: 2, shares: 3 },
                SealSettings::Passphrase { file: None },
                SealSettings::Passphrase { file: Some("/base/p".into()) },
                SealSettings::KeyFile { path: "/k".into() },
            ]
        );
        let automatic: Vec<bool> = settings.seals.iter().map(SealSettings::is_automatic).collect();
        assert_eq!(automatic, [false, false, true, true]);
        let again: Vec<bool> = settings.seals.iter().map(SealSettings::may_be_tried_again).collect();
        assert_eq!(again, [false, false, false, true]);
    }

    #[test]
    fn a_seal_that_cannot_be_is_refused_by_key_and_value() {
        let error = |seal: &str| settings(&format!("[[seal]]\n{seal}")).unwrap_err().to_string();
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
}
