//! Randomness of the operating system.

use data_encoding::BASE64;

use crate::data::VALUE_BYTES;
use crate::load::MARK;

/// Random bytes.
pub(crate) fn bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    #[expect(clippy::expect_used, reason = "without randomness nothing here works")]
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// A value of a secret, in base64.
pub(crate) fn value() -> String {
    BASE64.encode(&bytes::<VALUE_BYTES>())
}

/// The same, with a part that the load replaces in each request.
pub(crate) fn marked_value() -> String {
    let mut value = value();
    value.replace_range(..MARK.len(), MARK);
    value
}

/// Puts a list into a random order.
pub(crate) fn shuffle<T>(list: &mut [T]) {
    for last in (1..list.len()).rev() {
        list.swap(last, usize::from_le_bytes(bytes()) % (last + 1));
    }
}
