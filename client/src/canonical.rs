//! The encoding of a bundle that every channel and every proof uses, written and read.

use std::fmt;

use crate::error::NotCanonical;
#[cfg(feature = "fetch")]
use {petsem_api::WipedBuffer, zeroize::Zeroizing};

/// The first byte.
const VERSION: u8 = 1;

/// Encodes a bundle; `secrets` ascend by name. `None` where a length does not fit its field.
#[cfg(feature = "fetch")]
pub(crate) fn encode<'a>(
    app: &[u8; 16],
    machine: &str,
    version: u64,
    secrets: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = WipedBuffer::with_capacity(4096);
    out.extend(&[VERSION]);
    out.extend(app);
    out.extend(&u16::try_from(machine.len()).ok()?.to_be_bytes());
    out.extend(machine.as_bytes());
    out.extend(&version.to_be_bytes());
    out.extend(&u32::try_from(secrets.len()).ok()?.to_be_bytes());
    for (name, value) in secrets {
        out.extend(&u16::try_from(name.len()).ok()?.to_be_bytes());
        out.extend(name.as_bytes());
        out.extend(&u32::try_from(value.len()).ok()?.to_be_bytes());
        out.extend(value);
    }
    Some(out.into_inner().into())
}

/// A bundle as a Machine reads it: views into the received bytes, without a copy. `Debug` shows no value.
///
/// # Encoding
/// | field | bytes |
/// |---|---|
/// | version of this encoding | 1, the value 1 |
/// | app id | 16 |
/// | length of the Machine's id, then the id | 2, n |
/// | app version | 8 |
/// | number of secrets | 4 |
/// | for each secret, by ascending name: length of the name, then the name | 2, n |
/// | … length of the value, then the value | 4, n |
///
/// Integers are unsigned and big-endian. Names ascend by their bytes and occur once; nothing follows the last
/// value. Two bundles therefore have the same bytes exactly if they are equal.
pub struct CanonicalBundle<'a> {
    /// The app's id.
    pub app: [u8; 16],
    /// The Machine's id.
    pub machine: &'a str,
    /// The app version.
    pub version: u64,
    secrets: Vec<(&'a str, &'a [u8])>,
}

impl<'a> CanonicalBundle<'a> {
    /// Reads canonical bytes, and refuses everything else.
    pub fn read(bytes: &'a [u8]) -> Result<Self, NotCanonical> {
        let mut rest = bytes;
        if take(&mut rest, 1)? != [VERSION] {
            return Err(NotCanonical);
        }
        let app = array(&mut rest)?;
        let machine_length = u16::from_be_bytes(array(&mut rest)?);
        let machine = text(take(&mut rest, usize::from(machine_length))?)?;
        let version = u64::from_be_bytes(array(&mut rest)?);
        let count = u32::from_be_bytes(array(&mut rest)?);
        let mut secrets: Vec<(&str, &[u8])> = Vec::new();
        for _ in 0..count {
            let name_length = u16::from_be_bytes(array(&mut rest)?);
            let name = text(take(&mut rest, usize::from(name_length))?)?;
            if secrets.last().is_some_and(|(last, _)| *last >= name) {
                return Err(NotCanonical);
            }
            let length = u32::from_be_bytes(array(&mut rest)?);
            let length = usize::try_from(length).map_err(|_| NotCanonical)?;
            secrets.push((name, take(&mut rest, length)?));
        }
        if rest.is_empty() { Ok(Self { app, machine, version, secrets }) } else { Err(NotCanonical) }
    }

    /// Names and values, by name.
    pub fn expose_secrets(&self) -> &[(&'a str, &'a [u8])] {
        &self.secrets
    }
}

impl fmt::Debug for CanonicalBundle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CanonicalBundle")
            .field("machine", &self.machine)
            .field("version", &self.version)
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], NotCanonical> {
    let (front, back) = rest.split_at_checked(length).ok_or(NotCanonical)?;
    *rest = back;
    Ok(front)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], NotCanonical> {
    take(rest, N)?.try_into().map_err(|_| NotCanonical)
}

fn text(bytes: &[u8]) -> Result<&str, NotCanonical> {
    std::str::from_utf8(bytes).map_err(|_| NotCanonical)
}
