//! MACs over decision rows, and over the numbered control feed.
//!
//! Storage is untrusted, also for writing: such a row is valid only if its MAC fits the table, id, epoch and
//! version under which it was read. HMAC-SHA-256, 32-byte tags.

use crate::context::{Context, RowContext};
use crate::error::IntegrityError;
use crate::mac;
use crate::role::random_key_role;

random_key_role! {
    /// The key of row and feed MACs. A store has one.
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
    /// [`IntegrityError::TagMismatch`] if any field or the content differs from the tagged row.
    pub fn verify(&self, row: &RowContext<'_>, content: &[u8], tag: &[u8; 32]) -> Result<(), IntegrityError> {
        mac::verify(&self.0, Context::Row { row, content }, tag)
    }

    /// The MAC of control change `number`, which covers the MAC of the previous one (32 zero bytes for the
    /// first).
    pub fn feed_tag(&self, epoch: u64, number: u64, previous: &[u8; 32], content: &[u8]) -> [u8; 32] {
        mac::tag(&self.0, Context::Feed { epoch, number, previous, content })
    }

    /// Compares the MAC of a control change in constant time.
    ///
    /// # Errors
    /// [`IntegrityError::TagMismatch`] if it is not that change after that previous one.
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
