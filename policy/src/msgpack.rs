//! The canonical subset of MessagePack that the macaroon format writes (macaroon-format §2.1).
//!
//! This is our own code, because a MAC covers exact bytes. A general library accepts several encodings of one
//! value, and chooses one when it writes. This reader accepts only what the writer produces: the shortest
//! integers and lengths, str for text, bin for bytes. Every decoded value therefore re-encodes to the received
//! bytes, and tokens have one form. A length header never causes an allocation, and values of unknown types are
//! skipped with a bounded stack.

use crate::text::DecodeError;

/// Deepest nesting of arrays and maps in the body of an unknown caveat type.
pub(crate) const MAX_BODY_DEPTH: usize = 32;

/// Reads canonical values one after the other.
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The number of bytes read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Fails if bytes remain.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    /// The bytes read since `start`.
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

    /// Consumes a nil if one is next.
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

    /// The header of an array. Never allocate by this number: the sender chose it.
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

    /// The header of a map; as for [`Self::array`].
    pub(crate) fn map(&mut self) -> Result<usize, DecodeError> {
        match self.byte()? {
            short @ 0x80..=0x8f => Ok(usize::from(short & 0x0f)),
            0xde => shortest_length(u32::from(u16::from_be_bytes(self.fixed()?)), 15),
            0xdf => shortest_length(u32::from_be_bytes(self.fixed()?), 0xffff),
            _ => Err(DecodeError::WrongType),
        }
    }

    /// Skips one value of any type and width, such as the body of an unknown caveat (macaroon-format §4.3), and
    /// returns its bytes.
    pub(crate) fn any(&mut self) -> Result<&'b [u8], DecodeError> {
        let start = self.at;
        // For each open container: how many values remain, and whether it is a map.
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
            // A finished container counts as one value of its parent.
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

    /// Reads a header and its scalar content. For a container: how many values follow, and whether it is a map.
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

/// Lengths over 32 bits are truncated. The limits of a token exclude them, and a reader would refuse the result.
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

/// A value that fits a narrower form is not canonical.
fn shortest(value: u64, narrower: u64) -> Result<u64, DecodeError> {
    if value > narrower { Ok(value) } else { Err(DecodeError::NotCanonical) }
}

fn shortest_length(length: u32, narrower: u32) -> Result<usize, DecodeError> {
    if length > narrower { Ok(to_usize(length)) } else { Err(DecodeError::NotCanonical) }
}

fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Timestamps (type -1) are the only extension that other implementations of the format accept.
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
    fn unknown_values_nest_up_to_the_limit() {
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
    fn a_container_is_refused_as_map_key_and_accepted_as_map_value() {
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
        fn integers_round_trip(unsigned: u64, shift in 0_u32..64, signed: i64) {
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
        fn arbitrary_bytes_hold_one_value_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(length) = any_of(&bytes) {
                prop_assert_eq!(any_of(&bytes[..length]), Ok(length));
                for shorter in 0..length {
                    prop_assert_eq!(any_of(&bytes[..shorter]), Err(DecodeError::Truncated));
                }
            }
        }

        #[test]
        fn skipping_a_value_agrees_with_its_encoding(value in value(4), suffix in any::<u8>()) {
            let mut bytes = Vec::new();
            value.write(&mut bytes);
            prop_assert_eq!(any_of(&bytes), Ok(bytes.len()));
            for length in 0..bytes.len() {
                prop_assert_eq!(any_of(&bytes[..length]), Err(DecodeError::Truncated));
            }
            let length = bytes.len();
            bytes.push(suffix);
            prop_assert_eq!(any_of(&bytes), Ok(length));
        }
    }

    /// A model of the values that [`Write`] produces.
    #[derive(Debug, Clone)]
    enum Value {
        Uint(u64),
        Int(i64),
        Bool(bool),
        Nil,
        Str(String),
        Bin(Vec<u8>),
        Array(Vec<Value>),
        Map(Vec<(u64, Value)>),
    }

    impl Value {
        fn write(&self, out: &mut Vec<u8>) {
            match self {
                Self::Uint(value) => out.uint(*value),
                Self::Int(value) => out.int(*value),
                Self::Bool(value) => out.bool(*value),
                Self::Nil => out.nil(),
                Self::Str(text) => out.str(text),
                Self::Bin(bytes) => out.bin(bytes),
                Self::Array(items) => {
                    out.array(items.len());
                    items.iter().for_each(|item| item.write(out));
                }
                Self::Map(entries) => {
                    out.map(entries.len());
                    for (key, item) in entries {
                        out.uint(*key);
                        item.write(out);
                    }
                }
            }
        }
    }

    fn value(depth: u32) -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::Uint),
            any::<i64>().prop_map(Value::Int),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::Nil),
            ".{0,40}".prop_map(Value::Str),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bin),
        ];
        leaf.prop_recursive(depth, 64, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
                proptest::collection::vec((any::<u64>(), inner), 0..20).prop_map(Value::Map),
            ]
        })
    }
}
