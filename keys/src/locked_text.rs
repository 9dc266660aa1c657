//! Text that has to stay in memory for a while, such as a share that waits for others, in the locked memory of keys.

use std::fmt;

use zeroize::Zeroizing;

use crate::key_memory::{self, PLACE, Place};

/// Text in locked memory. It is wiped when it is dropped; `Debug` shows nothing of it.
pub struct LockedText {
    places: Vec<Place>,
    length: usize,
}

impl LockedText {
    /// A copy of the text. The caller wipes the original.
    pub fn new(text: &str) -> Self {
        let place = |chunk: &[u8]| {
            let place = key_memory::take();
            place.iter_mut().zip(chunk).for_each(|(byte, from)| *byte = *from);
            place
        };
        Self { places: text.as_bytes().chunks(PLACE).map(place).collect(), length: text.len() }
    }

    /// A copy outside of locked memory, for the moment of its use. It is wiped when it is dropped.
    pub fn expose_text(&self) -> Zeroizing<String> {
        // Its final capacity from the start: a growing buffer would leave copies in memory.
        let mut text = Zeroizing::new(String::with_capacity(self.places.len() * PLACE));
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.places.len() * PLACE));
        self.places.iter().for_each(|place| bytes.extend_from_slice(place.as_slice()));
        bytes.truncate(self.length);
        text.push_str(std::str::from_utf8(&bytes).unwrap_or_default());
        text
    }
}

impl Drop for LockedText {
    fn drop(&mut self) {
        self.places.drain(..).for_each(key_memory::give_back);
    }
}

impl fmt::Debug for LockedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_length_is_kept_and_not_shown() {
        for text in ["", "x", &"é".repeat(16), &"canary ".repeat(20)] {
            let locked = LockedText::new(text);
            assert_eq!(locked.expose_text().as_str(), text);
            assert_eq!(locked.places.len(), text.len().div_ceil(PLACE));
            assert_eq!(format!("{locked:?}"), "LockedText(..)");
        }
    }
}
