//! Opening sealed values: the one module that does.

use data_encoding::HEXLOWER;
use petsem_keys::{AppKek, RecordContext, SealedRef, WrapContext};
use sha2::{Digest as _, Sha256};

use crate::engine::Engine;
use crate::error::Failure;
use crate::records::{Bundle, IntegrityFault};
use crate::tenancy::found::OpenApp;

impl Engine {
    /// An app's KEK of this version.
    pub(crate) fn kek(&self, app: &OpenApp, version: u32) -> Result<AppKek, Failure> {
        let fault = |what| IntegrityFault::new("app KEK", app.id.as_bytes(), what);
        let row =
            app.head.keks.iter().find(|kek| kek.version == version).ok_or_else(|| fault("it is missing"))?;
        let context = WrapContext::app_kek(*self.store_id.as_bytes(), *app.id.as_bytes(), version);
        self.keys
            .unwrap(&app.keyring, &row.wrapped, &context)
            .map_err(|error| Failure::from(fault("it does not open")).because(error))
    }

    /// The app's secrets. What the head names is demanded: its version, its digest, its app.
    pub(crate) fn open_bundle(&self, app: &OpenApp) -> Result<Bundle, Failure> {
        let fault = |what| Failure::from(IntegrityFault::new("bundle", app.id.as_bytes(), what));
        let version = app.head.app_version;
        let (Some(row), Some(digest)) = (&app.bundle, &app.head.bundle_digest) else {
            return match (version, &app.bundle) {
                (0, None) => Ok(Bundle::default()),
                _ => Err(fault("it is missing, or the head does not name it")),
            };
        };
        let sealed = SealedRef { wrapped_dek: &row.wrapped_dek, ciphertext: &row.ciphertext };
        if bundle_digest(sealed) != *digest {
            return Err(fault("it is not the one that the app head names"));
        }
        let epoch = app.head.epoch_of(version).ok_or_else(|| fault("its epoch is unknown"))?;
        let context =
            RecordContext::Bundle { epoch, org: *app.head.org.as_bytes(), app: *app.id.as_bytes(), version };
        let kek_version =
            AppKek::version_of_dek(sealed.wrapped_dek).map_err(|_| fault("its DEK does not open"))?;
        let plaintext = self
            .kek(app, kek_version)?
            .open(sealed, &context)
            .map_err(|error| fault("it does not open").because(error))?;
        Ok(Bundle::decode(&plaintext)?)
    }
}

/// SHA-256 over the wrapped DEK and the ciphertext, each with its length (u64 BE) before it, in hex.
pub(crate) fn bundle_digest(sealed: SealedRef<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [sealed.wrapped_dek, sealed.ciphertext] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize())
}
