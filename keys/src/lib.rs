//! The keys of petsem: the hierarchy, envelope encryption, row MACs, digests and the traits of seals.
//!
//! ```text
//! seal(s) ─wrap→ root key ─wraps→ keyring (AES-256 keys by version)
//! keyring ─wraps→ app KEKs · signing keys · discharger keys · row-MAC key · audit keys · poll key
//! app KEK ─wraps→ DEK (one for each value and bundle) ─encrypts→ it · digest key · secret keys
//! ```
//!
//! Every key is random, and has one use, one type and one label; none is derived from a key that rotates.
//! Callers never choose a nonce and never hold a DEK.
//!
//! ```
//! use petsem_keys::{AppKek, Keyring, KeyringKey, RecordContext, WrapContext};
//! # use std::error::Error;
//! # fn main() -> Result<(), Box<dyn Error>> {
//! # let (store, org, app) = ([1; 16], [2; 16], [3; 16]);
//! let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
//! let keyring = Keyring::new([KeyringKey::generate(&mut rng, 1)], 1)?;
//! let kek = AppKek::generate(&mut rng, app, 1);
//! let wrapped_kek = keyring.wrap(&mut rng, &kek, &WrapContext::app_kek(store, app, 1))?;
//!
//! let bundle = RecordContext::Bundle { epoch: 1, org, app, version: 7 };
//! let sealed = kek.seal(&mut rng, b"all secrets at version 7", &bundle)?;
//!
//! let kek: AppKek = keyring.unwrap(&wrapped_kek, &WrapContext::app_kek(store, app, 1))?;
//! assert_eq!(kek.open(sealed.borrowed(), &bundle)?.as_slice(), b"all secrets at version 7");
//! # Ok(())
//! # }
//! ```
//!
//! # Formats
//! | what | bytes |
//! |---|---|
//! | wrap | `0x01`, version of the wrapping key (u32 BE), nonce 24, ciphertext, tag 16; XAES-256-GCM (C2SP) |
//! | wrapped DEK | `0x01`, KEK version (u32 BE), DEK id 16, nonce 24, ciphertext 32, tag 16; XAES-256-GCM |
//! | value, bundle | `0x01`, nonce 12, ciphertext, tag 16; AES-256-GCM (NIST SP 800-38D) |
//! | poll entry, host cache entry | `0x01`, nonce 24, ciphertext, tag 16; XAES-256-GCM |
//! | row MAC, feed MAC, audit line MAC | HMAC-SHA-256, 32 bytes |
//! | digest of a value | first 16 bytes of HMAC-SHA-256 |
//! | checkpoint signature | Ed25519 (RFC 8032), 64 bytes |
//!
//! # Contexts
//! The AAD of an AEAD and the message of a MAC or signature: the label byte, then each field with its
//! length (u32 BE); integers are fields of eight bytes (BE); an absent owner is an empty field.
//!
//! | label | what | fields |
//! |---|---|---|
//! | `01` | keyring key under the root key | store, id (zeros), owner (absent), key version, wrapping version |
//! | `02` | app KEK | store, app, owner (absent), KEK version, wrapping version |
//! | `03` | signing key | store, id, owner, key version (0), wrapping version |
//! | `04` | discharger key | the same |
//! | `05` | row-MAC key | the same |
//! | `06` | audit MAC key | the same |
//! | `07` | audit signing key | the same |
//! | `08` | poll key | the same |
//! | `09` | DEK | app, DEK id, KEK version |
//! | `0a` | digest key | store, id, app, key version (0), KEK version |
//! | `0b` | secret key material | the same |
//! | `0c` | root key under a seal | store, seal, owner (absent), root version, wrapping version (0) |
//! | `0d` | key of a seal under a device's own key | store, seal, root version |
//! | `0e` | audit MAC key as of a checkpoint | store, node, owner (absent), number of the checkpoint, wrapping version |
//! | `20` | value | epoch, org, app, name, app version, DEK id |
//! | `21` | bundle | epoch, org, app, app version, DEK id |
//! | `22` | poll entry | store, id |
//! | `23` | host cache entry | host, org, app, machine |
//! | `40` | row | table, id, epoch, row version, content |
//! | `41` | control change | epoch, number, MAC before, content |
//! | `42` | digest | name, value |
//! | `43` | audit line | line |
//! | `44` | step of the audit MAC key | – |
//! | `45` | audit checkpoint | message |
//!
//! `tests/vectors/ciphertexts.json` has one example of each; a change that alters it breaks stores.
//!
//! # Secret keys
//! Keys that apps use and never read ([`SecretKey`]): the material is wrapped under label `0b`, and used by
//! type. Others must be able to open the results, so these have no context and no header of petsem's.
//!
//! | type | key, as stored and imported | encrypts to | signs to |
//! |---|---|---|---|
//! | `hs256` `hs384` `hs512` | 32, 48, 64 bytes, or more up to the hash's block | – | HMAC-SHA-2 (RFC 2104), 32, 48, 64 bytes |
//! | `nacl_auth` | 32 bytes | – | HMAC-SHA-512 cut to 32 bytes (libsodium `crypto_auth`) |
//! | `nacl_secretbox` | 32 bytes | nonce 24, tag 16, ciphertext (PyNaCl `SecretBox`) | – |
//! | `nacl_box` | 32 bytes | ephemeral public key 32, tag 16, ciphertext (libsodium sealed box) | – |
//! | `nacl_sign` | seed 32, or seed 32 and public key 32 | – | Ed25519 (RFC 8032), 64 bytes, detached |
//! | `xaes256gcm` | 32 bytes | nonce 24, ciphertext, tag 16 (C2SP XAES-256-GCM) | – |
//! | `es256` | scalar 32, big-endian | – | ECDSA P-256 with SHA-256, r 32, s 32 (RFC 7518 §3.4) |
//!
//! Public keys: `nacl_box` X25519, 32 bytes; `nacl_sign` Ed25519, 32 bytes; `es256` an uncompressed
//! point (SEC 1), 65 bytes. The others have none. `tests/vectors/secret_keys.json` has examples.
//!
//! # Non-goals
//! This crate has no HTTP, storage, time or tokens. Keys of 32 bytes are in locked memory ([`KeyMemory`]).
//! Callers overwrite what ciphers leave on the stack with [`scrubbed`] or [`scrubbed_call`]. It caches
//! nothing and does not choose randomness: every function that needs some takes a [`rand_core::CryptoRng`].

mod app_kek;
mod audit_keys;
mod context;
mod digest_key;
mod error;
mod key_bytes;
mod key_memory;
mod keyring;
mod locked_text;
mod mac;
mod macaroon_keys;
mod message_keys;
mod private_file;
mod role;
mod row_mac;
mod seal;
mod seal_source;
mod secret_key;
mod secret_keys;
mod stack;
mod xaes;

pub use app_kek::{AppKek, PLAINTEXT_MAXIMUM, Sealed, SealedRef};
pub use audit_keys::{AuditMacKey, AuditRatchetKey, AuditSigningKey, verify_checkpoint};
pub use context::{HostCacheContext, RecordContext, RowContext, WrapContext};
pub use digest_key::DigestKey;
pub use error::{EncryptError, IntegrityError, OpenError, RewrapError};
pub use key_memory::{KeyMemory, Refusal};
pub use keyring::{Keyring, KeyringError, KeyringKey, RootKey};
pub use locked_text::LockedText;
pub use macaroon_keys::{DischargerKey, SigningKey};
pub use message_keys::{HostCacheKey, PollKey};
pub use private_file::is_open_to_others;
pub use role::{KeyRole, WrappedByAppKek, WrappedByKeyring};
pub use row_mac::RowMacKey;
pub use seal::{Seal, SealContext, SealError, SealExt, SealKey};
pub use seal_source::{CreatedSeal, NamedSealError, NewShare, SealSource, SealUnavailable};
pub use secret_key::{SECRET_KEY_MAXIMUM, SecretKeyMaterial};
pub use secret_keys::{
    ImportError, KeyOperation, KeyUseError, SECRET_KEY_MESSAGE_MAXIMUM, SecretKey, SecretKeyType,
    UnknownSecretKeyType,
};
pub use stack::{scrubbed, scrubbed_call, scrubbed_deep};
