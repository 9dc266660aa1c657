//! The text of a key file, printed and parsed in place, in memory that is wiped.

use petsem_keys::SealKey;
use zeroize::Zeroizing;

const HEADER: &[u8] = b"petsem-key-file-v1\n";
const DIGITS: usize = 64;

/// Length of a whole key file, in bytes.
pub(super) const LENGTH: usize = HEADER.len() + DIGITS + 1;

/// The content is not a key file. The error has no details, because the content may be part of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAKeyFile;

/// The two lines of a key file.
pub(super) fn print(key: &SealKey) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(LENGTH));
    text.extend_from_slice(HEADER);
    for byte in key.expose_seal_key() {
        text.extend([byte >> 4, byte & 0x0f].map(digit));
    }
    text.push(b'\n');
    text
}

/// Reads the two lines into `key`; the newline at the end may be missing.
pub(super) fn parse(text: &[u8], key: &mut [u8; 32]) -> Result<(), NotAKeyFile> {
    let digits = text.strip_prefix(HEADER).ok_or(NotAKeyFile)?;
    let digits = digits.strip_suffix(b"\n").unwrap_or(digits);
    let (pairs, []) = digits.as_chunks::<2>() else { return Err(NotAKeyFile) };
    if pairs.len() != key.len() {
        return Err(NotAKeyFile);
    }
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Ok(())
}

fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn nibble(digit: u8) -> Result<u8, NotAKeyFile> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotAKeyFile),
    }
}
