//! Bytes that may hold values and tokens, and are wiped on drop.

use std::ops::{Deref, DerefMut};
use std::{io, mem};

use zeroize::{Zeroizing, optimization_barrier};

/// Smallest allocation of a buffer that grows, in bytes.
const FIRST_CAPACITY: usize = 256;

/// Bytes that are wiped on drop, with the unused part of their allocation.
///
/// `Zeroizing<Vec<u8>>` does the same byte by byte, and twice: 12 µs for what a boot holds. This is one `memset`. To grow
/// it would leave a copy: allocate enough, or use a [`WipedBuffer`].
#[derive(Default)]
pub struct WipedBytes(Vec<u8>);

impl WipedBytes {
    /// Takes these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Overwrites the whole allocation with zeros.
    fn wipe(&mut self) {
        self.0.clear();
        self.0.resize(self.0.capacity(), 0);
        // Counts as a read, so that the zeros are written.
        optimization_barrier(self.0.as_slice());
    }
}

impl Deref for WipedBytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for WipedBytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for WipedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<WipedBytes> for Zeroizing<Vec<u8>> {
    fn from(mut bytes: WipedBytes) -> Self {
        Self::new(mem::take(&mut bytes.0))
    }
}

impl Drop for WipedBytes {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// A buffer of [`WipedBytes`] that may grow: the memory that it leaves is wiped, too.
#[derive(Default)]
pub struct WipedBuffer(WipedBytes);

impl WipedBuffer {
    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(WipedBytes(Vec::with_capacity(capacity)))
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let doubled = self.0.capacity().saturating_mul(2);
            let mut larger = WipedBytes(Vec::with_capacity(needed.max(doubled).max(FIRST_CAPACITY)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, still wiped on drop.
    #[must_use]
    pub fn into_inner(self) -> WipedBytes {
        self.0
    }
}

impl io::Write for WipedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_reaches_all_of_the_allocation_and_moves_nothing() {
        let mut bytes = WipedBytes::new(Vec::with_capacity(64));
        bytes.extend_from_slice(&[0xaa; 48]);
        bytes.truncate(16);
        let before = (bytes.as_ptr(), bytes.capacity());
        bytes.wipe();
        assert_eq!((bytes.as_ptr(), bytes.capacity()), before);
        assert_eq!(bytes.as_slice(), vec![0; before.1]);
    }

    #[test]
    fn parts_are_kept_in_order_while_the_buffer_grows() {
        for mut buffer in [WipedBuffer::default(), WipedBuffer::with_capacity(1)] {
            for part in ["ab", "", &"c".repeat(300), "d"] {
                buffer.extend(part.as_bytes());
            }
            assert_eq!(buffer.len(), 303);
            assert_eq!(buffer.into_inner().as_slice(), format!("ab{}d", "c".repeat(300)).as_bytes());
        }
    }
}
