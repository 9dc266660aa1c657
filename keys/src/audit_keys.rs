//! The keys of the audit log: a MAC key for lines, which is replaced one way, and a signing key for
//! checkpoints. The store keeps the MAC key as of a recent checkpoint, so that a start does not derive it from
//! the first one.

use ed25519_dalek::{Signature, Signer, VerifyingKey};

use crate::context::Context;
use crate::error::IntegrityError;
use crate::key_bytes::KeyBytes;
use crate::mac;
use crate::role::random_key_role;

random_key_role! {
    /// The MAC key of audit lines: HMAC-SHA-256. An attacker that takes it learns nothing about the keys of
    /// earlier checkpoints.
    AuditMacKey, AuditMacKey, WrappedByKeyring
}

impl AuditMacKey {
    /// The MAC of one line.
    pub fn tag(&self, line: &[u8]) -> [u8; 32] {
        mac::tag(&self.0, Context::AuditLine { line })
    }

    /// Compares the MAC of a line in constant time.
    ///
    /// # Errors
    /// [`IntegrityError::TagMismatch`] if the line differs from the tagged one.
    pub fn verify(&self, line: &[u8], tag: &[u8; 32]) -> Result<(), IntegrityError> {
        mac::verify(&self.0, Context::AuditLine { line }, tag)
    }

    /// The key of the next checkpoint: HMAC-SHA-256 under this one over a label. It cannot be reversed; this
    /// key is wiped.
    pub fn ratchet(self) -> Self {
        let mut next = KeyBytes::zeroed();
        mac::tag_into(&self.0, Context::AuditRatchet, next.as_mut());
        Self(next)
    }

    /// This key, to be wrapped for the store. A role of its own: it never opens as the log's first key.
    pub fn as_ratchet(&self) -> AuditRatchetKey {
        let mut key = KeyBytes::zeroed();
        key.as_mut().copy_from_slice(self.0.as_array());
        AuditRatchetKey(key)
    }
}

random_key_role! {
    /// The MAC key of the audit lines after one checkpoint, as the store keeps it.
    AuditRatchetKey, AuditRatchetKey, WrappedByKeyring
}

impl AuditRatchetKey {
    /// The MAC key of the lines after the checkpoint.
    pub fn into_mac(self) -> AuditMacKey {
        AuditMacKey(self.0)
    }
}

random_key_role! {
    /// The signing key of a node's audit checkpoints: Ed25519 (RFC 8032), a seed of 32 bytes.
    AuditSigningKey, AuditSigningKey, WrappedByKeyring
}

impl AuditSigningKey {
    /// The public key, for verifying the log.
    pub fn public(&self) -> [u8; 32] {
        self.expanded().verifying_key().to_bytes()
    }

    /// Signs a checkpoint. Deterministic.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.expanded().sign(&Context::AuditCheckpoint { message }.to_vec()).to_bytes()
    }

    /// Expanded for each use, because checkpoints are rare: only the seed is kept.
    fn expanded(&self) -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(self.0.as_array())
    }
}

/// Verifies the signature of a checkpoint strictly: no weak keys, no second form of a signature.
///
/// # Errors
/// [`IntegrityError::PublicKey`] if `public` is not a key; [`IntegrityError::SignatureMismatch`] if the
/// signature is not by this key over `message`.
pub fn verify_checkpoint(
    public: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), IntegrityError> {
    let key = VerifyingKey::from_bytes(public).map_err(|_| IntegrityError::PublicKey)?;
    key.verify_strict(&Context::AuditCheckpoint { message }.to_vec(), &Signature::from_bytes(signature))
        .map_err(|_| IntegrityError::SignatureMismatch)
}
