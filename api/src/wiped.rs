//! The bytes of a request or an answer, which may hold values and tokens.

use std::io;

use zeroize::Zeroizing;

/// Smallest allocation of a buffer that grows, in bytes.
const FIRST_CAPACITY: usize = 256;

/// Bytes that are wiped on drop. When the buffer grows, the memory that it leaves is wiped, too.
#[derive(Default)]
pub struct WipedBuffer(Zeroizing<Vec<u8>>);

impl WipedBuffer {
    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let doubled = self.0.capacity().saturating_mul(2);
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(doubled).max(FIRST_CAPACITY)));
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
    pub fn into_inner(self) -> Zeroizing<Vec<u8>> {
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
