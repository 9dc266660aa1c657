//! The seals of petsem: each wraps a key that is stored nowhere else, above all the root key of a store.
//!
//! A seal implements [`petsem_keys::Seal`]: how it gets the key that wraps. [`petsem_keys::SealExt`] does the
//! rest, the same for every kind.
//!
//! | kind | type | feature | what holds the key | a person is needed |
//! |---|---|---|---|---|
//! | `key-file` | [`KeyFile`] | – | a file that only petsem's user can read | no |
//! | `passphrase` | [`Passphrase`] | – | a person's memory, through Argon2id | unless a file holds it |
//! | `shamir` | [`Shamir`] | – | k of n people, each with a share; [`ShareSet`] collects them | k people |
//! | `aws-kms` | `AwsKms` | `aws-kms` | AWS KMS, for the identities that its policy allows | no |
//! | `pkcs11` | `Pkcs11` | `pkcs11` | a token or HSM that does not export it | no |
//! | `tpm2` | `Tpm2` | `tpm2` | the TPM 2.0 of this machine | no |
//!
//! No feature is on by default: the default build needs Rust and a C compiler.
//!
//! ```
//! use petsem_keys::{RootKey, SealContext, SealExt as _};
//! use petsem_seals::KeyFile;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("seal.key");
//! # let (store, seal_id) = ([1; 16], [2; 16]);
//! let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
//! let root = RootKey::generate(&mut rng, 1);
//! let context = SealContext::root_key(store, seal_id, root.version());
//! let wrapped = KeyFile::create(&mut rng, &path)?.wrap(&mut rng, &root, &context)?;
//!
//! let root: RootKey = KeyFile::open(&path)?.unwrap(&wrapped, &context)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Formats
//! `header | wrapped key`, where the wrapped key is a wrap of `petsem-keys` under the seal's key.
//!
//! | kind | header | the seal's key |
//! |---|---|---|
//! | `key-file` | empty | the 32 bytes in the file |
//! | `passphrase` | `0x01`, salt 16, memory KiB u32, passes u32, lanes u32 | Argon2id v1.3 (RFC 9106) of the passphrase; associated data store, seal |
//! | `shamir` | `0x01`, set 5, k, n, n × digest of a share 16 | 32 bytes, shared over GF(2^8) (Shamir 1979) |
//! | `aws-kms` | `0x01`, length u16, ciphertext of KMS | new for each wrap; encryption context store, seal, version |
//! | `pkcs11` | `0x01`, length u16, nonce 12, ciphertext 32, tag 16 | new for each wrap; AES-256-GCM on the token, AAD label `0d` |
//! | `tpm2` | `0x01`, length u16, sealed object of the TPM | new for each wrap; bound to AAD label `0d` |
//!
//! Integers are big-endian.
//!
//! # Where seals come from
//! [`SealSettings`] is a `[[seal]]` of the configuration; people enter [`TypedShares`] and a [`Passphrase`].
//! All three are [`petsem_keys::SealSource`]s, so the code that unlocks a store names no kind of seal.
//!
//! # Errors
//! Each kind has one error enum, with its texts next to its variants: a fact, then what to do. No error
//! contains a key, a passphrase, a PIN or any part of a share. A wrong PIN is never retried.
//!
//! # Non-goals
//! This crate has no routes, storage or tokens: the engine keeps the list of a store's seals and their wraps.
//! It has no ciphers of its own: a seal that holds a key holds a [`petsem_keys::SealKey`]. It does not back
//! up keys: a store that must survive the loss of a seal needs a second one.

#[cfg(feature = "aws-kms")]
mod aws_kms;
#[cfg(feature = "aws-kms")]
mod clock;
#[cfg(any(feature = "aws-kms", feature = "pkcs11", feature = "tpm2"))]
mod envelope;
mod key_file;
mod new_key_file;
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
pub use new_key_file::NewKeyFile;
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
