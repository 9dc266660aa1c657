//! The seals of petsem: each a way to wrap the root key, behind the trait [`petsem_keys::Seal`].
//!
//! | kind | type | what holds the key |
//! |---|---|---|
//! | `key-file` | [`KeyFile`] | a file that only petsem's user can read |
//! | `passphrase` | [`Passphrase`] | a person's memory, through Argon2id |
//! | `shamir` | [`Shamir`] | k of n people, each with a share; [`ShareSet`] collects them |
//! | `aws-kms` | `AwsKms`, with the feature `aws-kms` | AWS KMS, for whom it lets use the key |
//! | `pkcs11` | `Pkcs11`, with the feature `pkcs11` | a token or HSM that does not give it away |
//! | `tpm2` | `Tpm2`, with the feature `tpm2` | the TPM 2.0 of this one machine |
//!
//! # Non-goals
//! This crate knows no routes, storage or tokens: which seals a store has, and where their wraps lie,
//! is the server's business. It has no ciphers of its own: a seal that holds a key holds a
//! [`petsem_keys::SealKey`].

#[cfg(feature = "aws-kms")]
mod aws_kms;
#[cfg(feature = "aws-kms")]
mod clock;
#[cfg(any(feature = "aws-kms", feature = "pkcs11", feature = "tpm2"))]
mod envelope;
mod key_file;
mod passphrase;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod private_file;
mod settings;
mod shamir;
#[cfg(feature = "tpm2")]
mod tpm2;
mod typed;

#[cfg(feature = "aws-kms")]
pub use aws_kms::{
    AWS_KMS_KIND, Action as AwsKmsAction, AwsCallError, AwsCredentialsError, AwsKms, AwsKmsError,
    AwsKmsSettings, CredentialSource as AwsCredentialSource, KeyState as AwsKeyState,
};
pub use key_file::{KEY_FILE_KIND, KeyFile, KeyFileError};
pub use passphrase::{Argon2Parameters, PASSPHRASE_KIND, Passphrase, PassphraseError};
pub use petsem_keys::{NewShare, SealSource};
#[cfg(feature = "pkcs11")]
pub use pkcs11::{PKCS11_KIND, Pkcs11, Pkcs11Error, Pkcs11Settings};
pub use private_file::{PrivateFileError, PrivateFileFault};
pub use settings::{SealEntry, SealSettings, SealSettingsError};
pub use shamir::{
    SHAMIR_KIND, SHARES_MAXIMUM, Shamir, Share, ShareError, ShareProgress, ShareSet, SplitError,
    TooFewShares, TypingFault,
};
#[cfg(feature = "tpm2")]
pub use tpm2::{TPM2_KIND, Tpm2, Tpm2Device, Tpm2Error, Tpm2Settings};
pub use typed::{TypedShares, input_from_people};
