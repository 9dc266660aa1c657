//! The keys of tokens. The macaroon cryptography is in `policy`, so each has a named exit.

use crate::role::random_key_role;

random_key_role! {
    /// The root key of macaroons: HMAC-SHA-256, 32 bytes. One for each signing key of the platform
    /// or of an org.
    SigningKey, SigningKey, WrappedByKeyring
}

impl SigningKey {
    /// The key itself, only for minting and verifying macaroons.
    pub fn expose_signing_key(&self) -> &[u8; 32] {
        self.0.as_array()
    }
}

random_key_role! {
    /// The key shared with a discharger: tickets are sealed under it (ChaCha20-Poly1305), 32 bytes.
    DischargerKey, DischargerKey, WrappedByKeyring
}

impl DischargerKey {
    /// A key from the discharger's operator: `fill` writes it in place.
    ///
    /// # Errors
    /// The error of `fill`.
    pub fn filled_by<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = crate::key_bytes::KeyBytes::zeroed();
        fill(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// The key itself, for sealing and opening tickets and for showing it once to the operator of the
    /// discharger.
    pub fn expose_discharger_key(&self) -> &[u8; 32] {
        self.0.as_array()
    }
}
