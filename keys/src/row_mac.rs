//! MACs over rows that decide something, and over the numbered control feed.
//!
//! Storage is untrusted for writing too: such a row counts only while its MAC fits the table, id,
//! epoch and version that it was read as. HMAC-SHA-256, 32-byte tags.

use crate::context::{Context, RowContext};
use crate::error::IntegrityError;
use crate::mac;
use crate::role::random_key_role;

random_key_role! {
    /// The key of row and feed MACs. One for the store.
    RowMacKey, RowMacKey, WrappedByKeyring
}

impl RowMacKey {
    /// The MAC of a row with this content.
    pub fn tag(&self, row: &RowContext<'_>, content: &[u8]) -> [u8; 32] {
        mac::tag(&self.0, Context::Row { row, content })
    }

    /// Compares a row's MAC in constant time.
    ///
    /// # Errors
    /// [`IntegrityError::TagMismatch`] if any field or the content differs from what was tagged.
    pub fn verify(&self, row: &RowContext<'_>, content: &[u8], tag: &[u8; 32]) -> Result<(), IntegrityError> {
        mac::verify(&self.0, Context::Row { row, content }, tag)
    }

    /// The MAC of control change `number`, which covers the MAC of the one before (32 zero bytes
    /// before the first).
    pub fn feed_tag(&self, epoch: u64, number: u64, previous: &[u8; 32], content: &[u8]) -> [u8; 32] {
        mac::tag(&self.0, Context::Feed { epoch, number, previous, content })
    }

    /// Compares the MAC of a control change in constant time.
    ///
    /// # Errors
    /// [`IntegrityError::TagMismatch`] if it is not that change after that one before.
    pub fn verify_feed(
        &self,
        epoch: u64,
        number: u64,
        previous: &[u8; 32],
        content: &[u8],
        tag: &[u8; 32],
    ) -> Result<(), IntegrityError> {
        mac::verify(&self.0, Context::Feed { epoch, number, previous, content }, tag)
    }
}
