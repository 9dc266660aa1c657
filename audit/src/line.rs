//! The format of a line, and its link to the line before.
//!
//! A line is `BODY,"chain":"HEX"}` or `BODY,"chain":"HEX","mac":"HEX"}`; BODY begins with
//! `{"n":NUMBER,"node":"HEX",`. All positions are fixed from both ends, so no text in an event can be
//! mistaken for the envelope.

use data_encoding::HEXLOWER;
use petsem_keys::AuditMacKey;
use sha2::{Digest, Sha256};

use crate::event::EVENT_MAXIMUM;

/// Longest line, in bytes, its newline included.
pub(crate) const LINE_MAXIMUM: usize = EVENT_MAXIMUM + ENVELOPE_MAXIMUM;
/// Most bytes of a line without its event (311 with a number of 20 digits).
pub(crate) const ENVELOPE_MAXIMUM: usize = 320;

const CHAIN_FIELD: &[u8] = b",\"chain\":\"";
const MAC_FIELD: &[u8] = b"\",\"mac\":\"";
const NODE_FIELD: &[u8] = b",\"node\":\"";
const END: &[u8] = b"\"}";
const CHECKPOINT_FIELD: &[u8] = b"\"checkpoint\":{";
const RECOVERED: &[u8] = b",\"outcome\":\"recovered\"";
/// Length of a digest as text.
const HEX: usize = 64;

/// The chain before the first line.
pub(crate) fn genesis(node: &[u8; 16]) -> [u8; 32] {
    Sha256::new().chain_update(b"petsem audit log 1").chain_update(node).finalize().into()
}

/// The chain of a line: SHA-256 (FIPS 180-4) over the chain of the line before and the body.
pub(crate) fn link(previous: &[u8; 32], body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(previous).chain_update(body).finalize().into()
}

/// Writes one line with its newline and returns its chain.
pub(crate) fn write_line(
    buffer: &mut Vec<u8>,
    number: u64,
    node: &[u8; 16],
    fields: &[u8],
    previous: &[u8; 32],
    key: Option<&AuditMacKey>,
) -> [u8; 32] {
    let start = buffer.len();
    buffer.extend_from_slice(b"{\"n\":");
    buffer.extend_from_slice(number.to_string().as_bytes());
    buffer.extend_from_slice(NODE_FIELD);
    buffer.extend_from_slice(HEXLOWER.encode(node).as_bytes());
    buffer.extend_from_slice(b"\",");
    buffer.extend_from_slice(fields);
    let chain = link(previous, buffer.get(start..).unwrap_or_default());
    buffer.extend_from_slice(CHAIN_FIELD);
    buffer.extend_from_slice(HEXLOWER.encode(&chain).as_bytes());
    if let Some(key) = key {
        buffer.extend_from_slice(MAC_FIELD);
        buffer.extend_from_slice(HEXLOWER.encode(&key.tag(&chain)).as_bytes());
    }
    buffer.extend_from_slice(END);
    buffer.push(b'\n');
    chain
}

/// A line as read from a file: well-formed, not verified.
pub(crate) struct Line<'a> {
    pub(crate) number: u64,
    pub(crate) node: [u8; 16],
    /// What the chain covers.
    pub(crate) body: &'a [u8],
    pub(crate) chain: [u8; 32],
    pub(crate) mac: Option<[u8; 32]>,
    fields: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its newline.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_suffix(END)?;
        let (rest, last) = split_hex(rest)?;
        let (body, chain, mac) = match rest.strip_suffix(MAC_FIELD) {
            Some(rest) => {
                let (rest, chain) = split_hex(rest)?;
                (rest.strip_suffix(CHAIN_FIELD)?, chain, Some(last))
            }
            None => (rest.strip_suffix(CHAIN_FIELD)?, last, None),
        };
        let rest = body.strip_prefix(b"{\"n\":")?;
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let (number, rest) = rest.split_at_checked(digits)?;
        let rest = rest.strip_prefix(NODE_FIELD)?;
        let (node, rest) = rest.split_at_checked(32)?;
        let fields = rest.strip_prefix(b"\",")?;
        Some(Self {
            number: std::str::from_utf8(number).ok()?.parse().ok()?,
            node: HEXLOWER.decode(node).ok()?.try_into().ok()?,
            body,
            chain,
            mac,
            fields,
        })
    }

    /// Whether it is a checkpoint. The fields of an event begin with its time.
    pub(crate) fn is_checkpoint(&self) -> bool {
        self.fields.starts_with(CHECKPOINT_FIELD)
    }

    /// Whether it was written for a change that a kill had left without a line. Quotes inside a string are
    /// escaped, so only the field can match.
    pub(crate) fn is_recovered(&self) -> bool {
        self.fields.windows(RECOVERED.len()).any(|window| window == RECOVERED)
    }

    /// Its fields as a JSON object.
    pub(crate) fn fields_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.fields.len().saturating_add(2));
        json.push(b'{');
        json.extend_from_slice(self.fields);
        json.push(b'}');
        json
    }

    /// The id of its request.
    pub(crate) fn request_id(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Request {
            request_id: String,
        }
        let request: Request = serde_json::from_slice(&self.fields_json()).ok()?;
        Some(request.request_id)
    }
}

fn split_hex(bytes: &[u8]) -> Option<(&[u8], [u8; 32])> {
    let (rest, text) = bytes.split_at_checked(bytes.len().checked_sub(HEX)?)?;
    Some((rest, HEXLOWER.decode(text).ok()?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::keys;
    use proptest::prelude::*;

    #[test]
    fn a_line_parses_back_to_what_was_written() {
        for key in [None, Some(keys().initial_mac)] {
            let mut buffer = Vec::new();
            let fields = br#""t":"x","request_id":"r\"1","outcome":"recovered""#;
            let chain = write_line(&mut buffer, 7, &[3; 16], fields, &[9; 32], key.as_ref());
            let line = Line::parse(buffer.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!((line.number, line.node, line.chain), (7, [3; 16], chain));
            assert_eq!(link(&[9; 32], line.body), chain);
            assert_eq!(line.mac, key.map(|key| key.tag(&chain)));
            assert_eq!(line.request_id(), Some("r\"1".to_owned()));
            assert_eq!((line.is_recovered(), line.is_checkpoint()), (true, false));
        }
    }

    #[test]
    fn quoted_text_in_an_event_is_not_read_as_its_outcome() {
        let mut buffer = Vec::new();
        let fields = br#""t":"x","detail":"\",\"outcome\":\"recovered\"""#;
        write_line(&mut buffer, 7, &[3; 16], fields, &[9; 32], None);
        let line = Line::parse(buffer.strip_suffix(b"\n").unwrap()).unwrap();
        assert!(!line.is_recovered());
    }

    #[test]
    fn the_envelope_with_the_longest_number_fits() {
        let mut buffer = Vec::new();
        write_line(&mut buffer, u64::MAX, &[3; 16], b"", &[9; 32], Some(&keys().initial_mac));
        assert!(buffer.len() <= ENVELOPE_MAXIMUM, "{}", buffer.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Some(line) = Line::parse(&bytes) {
                prop_assert!(line.body.len() < bytes.len());
            }
        }
    }
}
