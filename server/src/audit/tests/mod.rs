//! The log over real files: what is written, what a kill or a full disk leaves, what verification finds.

use petsem_keys::{AuditMacKey, AuditSigningKey};



/// Keys that are the same at every call.
pub(super) fn keys() -> AuditKeys {
    AuditKeys {
        initial_mac: AuditMacKey::generate(&mut Constant(1)),
        signing: AuditSigningKey::generate(&mut Constant(2)),
    }
}
