//! A buffer that grows without leaving its earlier selves behind.

use std::io;

use zeroize::Zeroizing;

/// Bytes that are wiped on drop, and whose memory is wiped too each time they move to a larger place.
#[derive(Default)]
pub(crate) struct WipedBuffer(Zeroizing<Vec<u8>>);

impl WipedBuffer {
    /// An empty buffer with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Adds bytes at the end.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.0.capacity().saturating_mul(2)));
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
    }

    /// Its length in bytes.
    #[cfg(feature = "fetch")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes, still wiped on drop.
    pub(crate) fn into_inner(self) -> Zeroizing<Vec<u8>> {
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
    fn what_is_written_is_there_in_order() {
        let mut buffer = WipedBuffer::with_capacity(1);
        for part in [&b"ab"[..], b"", b"cde"] {
            buffer.extend(part);
        }
        assert_eq!(buffer.into_inner().as_slice(), b"abcde");
    }
}
