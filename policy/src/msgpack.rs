//! The canonical subset of msgpack that the macaroon format writes (macaroon-format §2.1), and no more.
//!
//! The reader takes exactly what the writer makes: shortest integers and lengths, str for text, bin for
//! bytes. So whatever was read is its own re-encoding, and MACs may run over the received bytes. Nothing is
//! allocated by a length header, and values of unknown types are walked with a bounded stack.

use std::fmt;

/// Arrays and maps inside the body of an unknown caveat type may nest this deep.
pub(crate) const MAX_BODY_DEPTH: usize = 32;

/// Why bytes are no canonical value of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a value.
    Truncated,
    /// Bytes follow the value.
    TrailingBytes,
    /// Another msgpack type stands where this format has a fixed one.
    WrongType,
    /// The value is right, but not in its one canonical form (width, order, duplicates).
    NotCanonical,
    /// A number is larger than its field.
    OutOfRange,
    /// A struct has another number of fields.
    FieldCount,
    /// A caveat set has a type without a body.
    OddCaveatSet,
    /// Text is not UTF-8.
    NotUtf8,
    /// The body of an unknown caveat is nil, which cannot be written again.
    NilBody,
    /// A map has an array, a map or bytes as a key.
    MapKey,
    /// The byte 0xc1, or an extension that is no timestamp.
    ForbiddenValue,
    /// `IfPresent`, or the body of an unknown caveat, nests deeper than allowed.
    TooDeep,
    /// More caveats than allowed.
    TooManyCaveats,
    /// More bytes than a token may have.
    TooLong,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(crate::text::decode_error(*self))
    }
}

impl std::error::Error for DecodeError {}

/// Reads canonical values one after the other.
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Fails when anything is left.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    /// What was read since `start`.
    pub(crate) fn since(&self, start: usize) -> &'b [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(crate) fn uint(&mut self) -> Result<u64, DecodeError> {
        match self.byte()? {
            small @ 0..=0x7f => Ok(u64::from(small)),
            0xcc => shortest(u64::from(u8::from_be_bytes(self.fixed()?)), 0x7f),
            0xcd => shortest(u64::from(u16::from_be_bytes(self.fixed()?)), 0xff),
            0xce => shortest(u64::from(u32::from_be_bytes(self.fixed()?)), 0xffff),
            0xcf => shortest(u64::from_be_bytes(self.fixed()?), 0xffff_ffff),
            _ => Err(DecodeError::WrongType),
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        u16::try_from(self.uint()?).map_err(|_| DecodeError::OutOfRange)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.uint()?).map_err(|_| DecodeError::OutOfRange)
    }

    pub(crate) fn int(&mut self) -> Result<i64, DecodeError> {
        let start = self.at;
        let (value, ceiling) = match self.byte()? {
            small @ 0xe0..=0xff => return Ok(i64::from(i8::from_be_bytes([small]))),
            0xd0 => (i64::from(i8::from_be_bytes(self.fixed()?)), -32),
            0xd1 => (i64::from(i16::from_be_bytes(self.fixed()?)), i64::from(i8::MIN)),
            0xd2 => (i64::from(i32::from_be_bytes(self.fixed()?)), i64::from(i16::MIN)),
            0xd3 => (i64::from_be_bytes(self.fixed()?), i64::from(i32::MIN)),
            _ => {
                self.at = start;
                return i64::try_from(self.uint()?).map_err(|_| DecodeError::OutOfRange);
            }
        };
        if value < ceiling { Ok(value) } else { Err(DecodeError::NotCanonical) }
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(DecodeError::WrongType),
        }
    }

    /// Takes a nil if one is next.
    pub(crate) fn nil(&mut self) -> bool {
        let found = self.bytes.get(self.at) == Some(&0xc0);
        if found {
            self.at += 1;
        }
        found
    }

    pub(crate) fn str(&mut self) -> Result<&'b str, DecodeError> {
        let length = match self.byte()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            0xd9 => shortest_length(u32::from(u8::from_be_bytes(self.fixed()?)), 31)?,
            0xda => shortest_length(u32::from(u16::from_be_bytes(self.fixed()?)), 0xff)?,
            0xdb => shortest_length(u32::from_be_bytes(self.fixed()?), 0xffff)?,
            _ => return Err(DecodeError::WrongType),
        };
        std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::NotUtf8)
    }

    pub(crate) fn bin(&mut self) -> Result<&'b [u8], DecodeError> {
        let length = match self.byte()? {
            0xc4 => usize::from(u8::from_be_bytes(self.fixed()?)),
            0xc5 => shortest_length(u32::from(u16::from_be_bytes(self.fixed()?)), 0xff)?,
            0xc6 => shortest_length(u32::from_be_bytes(self.fixed()?), 0xffff)?,
            _ => return Err(DecodeError::WrongType),
        };
        self.take(length)
    }

    /// The header of an array. The number is a claim of the sender: never allocate by it.
    pub(crate) fn array(&mut self) -> Result<usize, DecodeError> {
        match self.byte()? {
            short @ 0x90..=0x9f => Ok(usize::from(short & 0x0f)),
            0xdc => shortest_length(u32::from(u16::from_be_bytes(self.fixed()?)), 15),
            0xdd => shortest_length(u32::from_be_bytes(self.fixed()?), 0xffff),
            _ => Err(DecodeError::WrongType),
        }
    }

    /// The header of a struct with exactly `fields` fields.
    pub(crate) fn fields(&mut self, fields: usize) -> Result<(), DecodeError> {
        if self.array()? == fields { Ok(()) } else { Err(DecodeError::FieldCount) }
    }

    /// The header of a map, as [`Self::array`].
    pub(crate) fn map(&mut self) -> Result<usize, DecodeError> {
        match self.byte()? {
            short @ 0x80..=0x8f => Ok(usize::from(short & 0x0f)),
            0xde => shortest_length(u32::from(u16::from_be_bytes(self.fixed()?)), 15),
            0xdf => shortest_length(u32::from_be_bytes(self.fixed()?), 0xffff),
            _ => Err(DecodeError::WrongType),
        }
    }

    /// Steps over one value of any type and width, as the body of an unknown caveat may be
    /// (macaroon-format §4.3), and returns its bytes.
    pub(crate) fn any(&mut self) -> Result<&'b [u8], DecodeError> {
        let start = self.at;
        // What is still to come at each level: values, and whether the next one is a map key.
        let mut open = [(0_u64, false); MAX_BODY_DEPTH];
        let mut depth = 0_usize;
        loop {
            let is_key = match depth.checked_sub(1).and_then(|top| open.get(top)) {
                Some((left, is_map)) => *is_map && left % 2 == 0,
                None => false,
            };
            if let Some((items, is_map)) = self.any_header(is_key)? {
                let slot = open.get_mut(depth).ok_or(DecodeError::TooDeep)?;
                *slot = (items, is_map);
                depth += 1;
            } else if let Some((left, _)) = depth.checked_sub(1).and_then(|top| open.get_mut(top)) {
                *left -= 1;
            }
            // A finished container is one finished value of the level above.
            while let Some(top) = depth.checked_sub(1) {
                if open.get(top).is_some_and(|(left, _)| *left > 0) {
                    break;
                }
                depth = top;
                if let Some((left, _)) = depth.checked_sub(1).and_then(|above| open.get_mut(above)) {
                    *left -= 1;
                }
            }
            if depth == 0 {
                return Ok(self.since(start));
            }
        }
    }

    /// One header with its scalar content; for a container, how many values follow and if it is a map.
    fn any_header(&mut self, is_key: bool) -> Result<Option<(u64, bool)>, DecodeError> {
        let first = self.byte()?;
        let container = |items: u64, is_map: bool| {
            if is_key { Err(DecodeError::MapKey) } else { Ok(Some((items, is_map))) }
        };
        let skip = match first {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 0,
            0x80..=0x8f => return container(2 * u64::from(first & 0x0f), true),
            0x90..=0x9f => return container(u64::from(first & 0x0f), false),
            0xa0..=0xbf => usize::from(first & 0x1f),
            0xc1 => return Err(DecodeError::ForbiddenValue),
            0xc4..=0xc6 if is_key => return Err(DecodeError::MapKey),
            0xc4 | 0xd9 => usize::from(u8::from_be_bytes(self.fixed()?)),
            0xc5 | 0xda => usize::from(u16::from_be_bytes(self.fixed()?)),
            0xc6 | 0xdb => to_usize(u32::from_be_bytes(self.fixed()?)),
            0xc7 => timestamp(u32::from(u8::from_be_bytes(self.fixed()?)), self.byte()?)?,
            0xc8 => timestamp(u32::from(u16::from_be_bytes(self.fixed()?)), self.byte()?)?,
            0xc9 => timestamp(u32::from_be_bytes(self.fixed()?), self.byte()?)?,
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 => 2,
            0xca | 0xce | 0xd2 => 4,
            0xcb | 0xcf | 0xd3 => 8,
            0xd4 => timestamp(1, self.byte()?)?,
            0xd5 => timestamp(2, self.byte()?)?,
            0xd6 => timestamp(4, self.byte()?)?,
            0xd7 => timestamp(8, self.byte()?)?,
            0xd8 => timestamp(16, self.byte()?)?,
            0xdc => return container(u64::from(u16::from_be_bytes(self.fixed()?)), false),
            0xdd => return container(u64::from(u32::from_be_bytes(self.fixed()?)), false),
            0xde => return container(2 * u64::from(u16::from_be_bytes(self.fixed()?)), true),
            0xdf => return container(2 * u64::from(u32::from_be_bytes(self.fixed()?)), true),
        };
        self.take(skip)?;
        Ok(None)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.fixed()?;
        Ok(byte)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], DecodeError> {
        let end = self.at.checked_add(length).ok_or(DecodeError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(DecodeError::Truncated)?;
        self.at = end;
        Ok(taken)
    }
}

/// Appends canonical values to a buffer.
pub(crate) trait Write {
    fn uint(&mut self, value: u64);
    fn int(&mut self, value: i64);
    fn bool(&mut self, value: bool);
    fn nil(&mut self);
    fn str(&mut self, value: &str);
    fn bin(&mut self, value: &[u8]);
    fn array(&mut self, items: usize);
    fn map(&mut self, entries: usize);
}

impl Write for Vec<u8> {
    fn uint(&mut self, value: u64) {
        let bytes = value.to_be_bytes();
        let [.., b4, b5, b6, b7] = bytes;
        match value {
            0..=0x7f => self.push(b7),
            0x80..=0xff => self.extend_from_slice(&[0xcc, b7]),
            0x100..=0xffff => self.extend_from_slice(&[0xcd, b6, b7]),
            0x1_0000..=0xffff_ffff => self.extend_from_slice(&[0xce, b4, b5, b6, b7]),
            _ => {
                self.push(0xcf);
                self.extend_from_slice(&bytes);
            }
        }
    }

    fn int(&mut self, value: i64) {
        if let Ok(unsigned) = u64::try_from(value) {
            return self.uint(unsigned);
        }
        if let Ok(small) = i8::try_from(value) {
            if small < -32 {
                self.push(0xd0);
            }
            self.extend_from_slice(&small.to_be_bytes());
        } else if let Ok(small) = i16::try_from(value) {
            self.push(0xd1);
            self.extend_from_slice(&small.to_be_bytes());
        } else if let Ok(small) = i32::try_from(value) {
            self.push(0xd2);
            self.extend_from_slice(&small.to_be_bytes());
        } else {
            self.push(0xd3);
            self.extend_from_slice(&value.to_be_bytes());
        }
    }

    fn bool(&mut self, value: bool) {
        self.push(if value { 0xc3 } else { 0xc2 });
    }

    fn nil(&mut self) {
        self.push(0xc0);
    }

    fn str(&mut self, value: &str) {
        header(self, value.len(), 0xa0, 31, Some(0xd9), 0xda, 0xdb);
        self.extend_from_slice(value.as_bytes());
    }

    fn bin(&mut self, value: &[u8]) {
        match u8::try_from(value.len()) {
            Ok(length) => self.extend_from_slice(&[0xc4, length]),
            Err(_) => wide_header(self, value.len(), 0xc5, 0xc6),
        }
        self.extend_from_slice(value);
    }

    fn array(&mut self, items: usize) {
        header(self, items, 0x90, 15, None, 0xdc, 0xdd);
    }

    fn map(&mut self, entries: usize) {
        header(self, entries, 0x80, 15, None, 0xde, 0xdf);
    }
}

fn header(out: &mut Vec<u8>, length: usize, short: u8, short_max: u8, one: Option<u8>, two: u8, four: u8) {
    match (u8::try_from(length), one) {
        (Ok(length), _) if length <= short_max => out.push(short | length),
        (Ok(length), Some(one)) => out.extend_from_slice(&[one, length]),
        _ => wide_header(out, length, two, four),
    }
}

/// Lengths beyond 32 bits are cut; nothing that long can be written within the limits of a token, and a
/// reader would refuse it.
fn wide_header(out: &mut Vec<u8>, length: usize, two: u8, four: u8) {
    match u16::try_from(length) {
        Ok(length) => {
            out.push(two);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            out.push(four);
            out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

/// A value that a narrower form could have held is not canonical.
fn shortest(value: u64, narrower: u64) -> Result<u64, DecodeError> {
    if value > narrower { Ok(value) } else { Err(DecodeError::NotCanonical) }
}

fn shortest_length(length: u32, narrower: u32) -> Result<usize, DecodeError> {
    if length > narrower { Ok(to_usize(length)) } else { Err(DecodeError::NotCanonical) }
}

fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Timestamps (type -1) are the only extension that the format's other readers take.
fn timestamp(length: u32, kind: u8) -> Result<usize, DecodeError> {
    match (length, kind) {
        (4 | 8 | 12, 0xff) => Ok(to_usize(length)),
        _ => Err(DecodeError::ForbiddenValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_of(bytes: &[u8]) -> Result<usize, DecodeError> {
        Reader::new(bytes).any().map(<[u8]>::len)
    }

    #[test]
    fn unknown_values_nest_to_the_limit_and_not_beyond() {
        let nested = |levels: usize| {
            let mut bytes = vec![0x91; levels];
            bytes.push(0x01);
            bytes
        };
        assert_eq!(any_of(&nested(MAX_BODY_DEPTH)), Ok(MAX_BODY_DEPTH + 1));
        assert_eq!(any_of(&nested(MAX_BODY_DEPTH + 1)), Err(DecodeError::TooDeep));
        assert_eq!(any_of(&nested(1_000_000)), Err(DecodeError::TooDeep));
    }

    #[test]
    fn a_container_as_map_key_is_refused_and_as_map_value_taken() {
        assert_eq!(any_of(&[0x81, 0x90, 0x01]), Err(DecodeError::MapKey));
        assert_eq!(any_of(&[0x81, 0xc4, 0x00, 0x01]), Err(DecodeError::MapKey));
        assert_eq!(any_of(&[0x82, 0xa1, b'a', 0x91, 0x01, 0x02, 0xc4, 0x00]), Ok(8));
        assert_eq!(any_of(&[0x82, 0xa1, b'a', 0x91, 0x01, 0x80, 0x01]), Err(DecodeError::MapKey));
    }

    #[test]
    fn a_length_header_without_data_is_truncated() {
        assert_eq!(any_of(&[0xdd, 0xff, 0xff, 0xff, 0xfe]), Err(DecodeError::Truncated));
        assert_eq!(any_of(&[0xdf, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Truncated));
        assert_eq!(any_of(&[0xc6, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn integers_come_back_as_they_were_written(unsigned: u64, shift in 0_u32..64, signed: i64) {
            let (unsigned, signed) = (unsigned >> shift, signed >> shift);
            let mut bytes = Vec::new();
            bytes.uint(unsigned);
            bytes.int(signed);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.uint(), Ok(unsigned));
            prop_assert_eq!(reader.int(), Ok(signed));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn arbitrary_bytes_never_step_past_the_end(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(length) = any_of(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
