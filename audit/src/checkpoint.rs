//! Checkpoints: signed statements of the node about its log, kept in the log and in the store.

use std::fmt;

use data_encoding::HEXLOWER;
use petsem_keys::{AuditSigningKey, verify_checkpoint};
use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::event::rfc3339_text;
use crate::line::Line;

/// The store's revision and mark, as one pair (design §5, rollback).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Number of the last write transaction that the node saw.
    pub revision: u64,
    /// The random mark that this transaction left.
    pub mark: [u8; 16],
}

/// How far the node saw the store, by the checkpoints of its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorePosition {
    /// The last revision.
    pub revision: Option<Revision>,
    /// The number of the last control change.
    pub feed: Option<u64>,
}

impl StorePosition {
    /// Goes on to what a checkpoint names.
    pub fn pass(&mut self, checkpoint: &Checkpoint) {
        self.revision = checkpoint.revision.or(self.revision);
        self.feed = checkpoint.feed.or(self.feed);
    }
}

/// The end of a node's log at one point in time.
///
/// It is itself the line `line + 1`, and covers all lines before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The node that the log belongs to.
    pub node: [u8; 16],
    /// How many signed checkpoints the log has, including this one. The MAC key of the next line was
    /// replaced as many times.
    pub number: u64,
    /// Number of the last line before it; 0 at the beginning.
    pub line: u64,
    /// Chain of that line.
    pub head: [u8; 32],
    /// When, in Unix milliseconds.
    pub time_ms: u64,
    /// The last revision of the store that the node saw.
    pub revision: Option<Revision>,
    /// Number of the last control change that the node applied.
    pub feed: Option<u64>,
    /// Ed25519 over [`Checkpoint::message`]; `None` while the node is sealed.
    pub signature: Option<[u8; 64]>,
}

impl Checkpoint {
    /// The signed bytes: `0x01`, node 16, number, line, head 32, time; then `0x01`, revision and mark 16, or
    /// as many zeros; then `0x01` and feed, or as many zeros. Integers are eight bytes, big-endian.
    pub fn message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(107);
        message.push(1);
        message.extend_from_slice(&self.node);
        message.extend_from_slice(&self.number.to_be_bytes());
        message.extend_from_slice(&self.line.to_be_bytes());
        message.extend_from_slice(&self.head);
        message.extend_from_slice(&self.time_ms.to_be_bytes());
        message.push(u8::from(self.revision.is_some()));
        let revision = self.revision.unwrap_or(Revision { revision: 0, mark: [0; 16] });
        message.extend_from_slice(&revision.revision.to_be_bytes());
        message.extend_from_slice(&revision.mark);
        message.push(u8::from(self.feed.is_some()));
        message.extend_from_slice(&self.feed.unwrap_or(0).to_be_bytes());
        message
    }

    /// Verifies the signature with the node's public key (RFC 8032, strict).
    ///
    /// # Errors
    /// [`Fault::Signature`] if there is none, or it does not verify.
    pub fn verify(&self, public: &[u8; 32]) -> Result<(), Fault> {
        let signature = self.signature.as_ref().ok_or(Fault::Signature)?;
        verify_checkpoint(public, &self.message(), signature).map_err(|_| Fault::Signature)
    }

    pub(crate) fn sign(&mut self, key: &AuditSigningKey) {
        self.signature = Some(key.sign(&self.message()));
    }

    /// Its fields as a JSON object without braces.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let body = Body {
            number: self.number,
            line: self.line,
            head: HEXLOWER.encode(&self.head),
            time_ms: self.time_ms,
            revision: self.revision.map(|pair| pair.revision),
            mark: self.revision.map(|pair| HEXLOWER.encode(&pair.mark)),
            feed: self.feed,
        };
        let wire = Wire {
            checkpoint: body,
            signature: self.signature.map(|signature| HEXLOWER.encode(&signature)),
            t: rfc3339_text(self.time_ms),
        };
        // Strings and integers always have a JSON form.
        let json = serde_json::to_vec(&wire).unwrap_or_default();
        json.strip_prefix(b"{").and_then(|inside| inside.strip_suffix(b"}")).unwrap_or_default().to_vec()
    }

    /// The checkpoint that a verified line is.
    pub(crate) fn of(line: &Line<'_>) -> Option<Self> {
        line.is_checkpoint().then(|| Self::decode(line.node, &line.fields_json())).flatten()
    }

    /// Parses the JSON object of its fields.
    pub(crate) fn decode(node: [u8; 16], json: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(json).ok()?;
        let revision = match (wire.checkpoint.revision, wire.checkpoint.mark) {
            (Some(revision), Some(mark)) => Some(Revision { revision, mark: fixed(&mark)? }),
            (None, None) => None,
            _ => return None,
        };
        let signature = match wire.signature {
            Some(signature) => Some(fixed(&signature)?),
            None => None,
        };
        Some(Self {
            node,
            number: wire.checkpoint.number,
            line: wire.checkpoint.line,
            head: fixed(&wire.checkpoint.head)?,
            time_ms: wire.checkpoint.time_ms,
            revision,
            feed: wire.checkpoint.feed,
            signature,
        })
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("node", &HEXLOWER.encode(&self.node))
            .field("number", &self.number)
            .field("line", &self.line)
            .field("head", &HEXLOWER.encode(&self.head))
            .field("time_ms", &self.time_ms)
            .field("revision", &self.revision.map(|pair| pair.revision))
            .field("feed", &self.feed)
            .field("signed", &self.signature.is_some())
            .finish()
    }
}

/// Lower-case hexadecimal of exactly this length.
pub(crate) fn fixed<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[derive(Serialize, Deserialize)]
struct Wire {
    checkpoint: Body,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    t: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    number: u64,
    line: u64,
    head: String,
    time_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feed: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_decodes_to_what_was_encoded() {
        for revision in [None, Some(Revision { revision: 9, mark: [7; 16] })] {
            for feed in [None, Some(3)] {
                for signature in [None, Some([5; 64])] {
                    let checkpoint = Checkpoint {
                        node: [1; 16],
                        number: 4,
                        line: 12,
                        head: [2; 32],
                        time_ms: 1_700_000_000_000,
                        revision,
                        feed,
                        signature,
                    };
                    let json = [b"{".as_slice(), &checkpoint.encode(), b"}"].concat();
                    assert_eq!(Checkpoint::decode([1; 16], &json), Some(checkpoint));
                }
            }
        }
    }

    #[test]
    fn every_field_is_in_the_signed_message() {
        let checkpoint = Checkpoint {
            node: [1; 16],
            number: 4,
            line: 12,
            head: [2; 32],
            time_ms: 99,
            revision: Some(Revision { revision: 9, mark: [7; 16] }),
            feed: Some(3),
            signature: None,
        };
        let message = checkpoint.message();
        assert_eq!(message.len(), 107);
        let others = [
            Checkpoint { node: [0; 16], ..checkpoint.clone() },
            Checkpoint { number: 5, ..checkpoint.clone() },
            Checkpoint { line: 13, ..checkpoint.clone() },
            Checkpoint { head: [3; 32], ..checkpoint.clone() },
            Checkpoint { time_ms: 98, ..checkpoint.clone() },
            Checkpoint { revision: None, ..checkpoint.clone() },
            Checkpoint { revision: Some(Revision { revision: 9, mark: [8; 16] }), ..checkpoint.clone() },
            Checkpoint { feed: None, ..checkpoint.clone() },
            Checkpoint { feed: Some(4), ..checkpoint.clone() },
        ];
        for other in others {
            assert_ne!(other.message(), message, "{other:?}");
        }
    }

    #[test]
    fn invalid_bytes_decode_to_none() {
        for json in [b"".as_slice(), b"{}", b"{\"checkpoint\":1}", b"\xff\x00", b"[[[[[[[["] {
            assert_eq!(Checkpoint::decode([0; 16], json), None);
        }
    }
}
