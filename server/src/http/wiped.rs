//! The bytes of an answer, which may hold values and tokens: wiped when they were sent, and each time that they
//! move to a larger place.

use std::io;

use bytes::Bytes;
use zeroize::Zeroizing;

/// What is written so far.
#[derive(Default)]
pub(crate) struct WipedBuffer(Zeroizing<Vec<u8>>);

impl WipedBuffer {
    /// The bytes, wiped when the last who holds them lets go.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}

impl io::Write for WipedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.0.capacity().saturating_mul(2)).max(256));
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_written_is_there_in_order() {
        let mut buffer = WipedBuffer::default();
        for part in ["ab", "", &"c".repeat(300), "d"] {
            buffer.write_all(part.as_bytes()).unwrap();
        }
        assert_eq!(buffer.into_bytes(), format!("ab{}d", "c".repeat(300)));
    }
}
