//! The guest's side: blocking, over anything that reads and writes.

use std::fmt;
use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use super::frame::{self, ACK, BUNDLE, CHALLENGE, DENY, DenyReason, HELLO, Hello, LONGEST_FRAME};
use super::proof::prove;
use crate::canonical::{CanonicalBundle, NotCanonical};
use crate::wiped::WipedBuffer;

/// How much is read at a time, and so how much is allocated ahead of what came.
const STEP: usize = 64 * 1024;

/// A Machine's end of its channel. The stream brings its own deadline: a read past it is an error.
///
/// # Frames
/// A frame is a length (u32, big-endian: type and payload together, 1 to 2 MiB), a type (u8), a payload.
///
/// | type | direction | payload |
/// |---|---|---|
/// | 1 HELLO | guest → host | version (u8, 1), nonce (16, the guest's own choice), claimed Machine (length u8, text), claimed app (length u8, text; name or id). A claim may be empty |
/// | 2 BUNDLE | host → guest | challenge (32, random for this boot), [canonical bundle](crate::CanonicalBundle) |
/// | 3 DENY | host → guest | reason (u8), text for people (at most 200 bytes of UTF-8, nothing secret) |
/// | 4 ACK | guest → host | proof (32) |
/// | 5 UPDATE | host → guest | reserved for rotation; unknown to this version, and refused like every other type |
///
/// The guest says HELLO, the host answers BUNDLE or DENY, the guest answers BUNDLE with ACK. A claim that
/// differs from what the socket is bound to is answered DENY, and so is anything that is not HELLO. Both
/// sides read to a deadline, and neither allocates by a length that it has only been told.
///
/// # Proof
/// `HMAC-SHA-256(key = challenge, "petsem machine channel v1" ‖ nonce ‖ canonical bundle)` (RFC 2104, FIPS
/// 180-4). It shows that what the guest holds is what the host sent, in this boot. It does not authenticate
/// the host to the guest: the hypervisor that holds the socket holds the guest's memory too.
pub struct GuestChannel<S> {
    stream: S,
}

/// What a guest says of itself. The host knows better; a claim can only spoil the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims<'a> {
    /// The Machine's id, or nothing.
    pub machine: &'a str,
    /// The app's name or id, or nothing.
    pub app: &'a str,
}

/// What the host answered.
#[derive(Debug)]
pub enum Received {
    /// The secrets. The proof has been sent.
    Bundle(ReceivedBundle),
    /// No, and why.
    Denied {
        /// The reason.
        reason: DenyReason,
        /// The host's words.
        text: String,
    },
}

/// Canonical bytes as they came. Wiped on drop; prints as `ReceivedBundle(..)`.
pub struct ReceivedBundle(Zeroizing<Vec<u8>>);

impl<S: Read + Write> GuestChannel<S> {
    /// A channel over an open port.
    pub fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Says HELLO, takes the answer, and proves a bundle that came. `nonce` is 16 random bytes of this boot.
    pub fn receive(mut self, claims: Claims<'_>, nonce: [u8; 16]) -> Result<Received, GuestError> {
        let hello = Hello { nonce, machine: claims.machine.to_owned(), app: claims.app.to_owned() };
        let payload = hello.encode().ok_or(GuestError::LongClaim)?;
        self.write(HELLO, &payload)?;
        let (kind, payload) = self.read()?;
        match kind {
            BUNDLE => {
                let (challenge, canonical) =
                    payload.split_first_chunk::<CHALLENGE>().ok_or(GuestError::Malformed)?;
                self.write(ACK, &prove(challenge, &nonce, canonical))?;
                Ok(Received::Bundle(ReceivedBundle(Zeroizing::new(canonical.to_vec()))))
            }
            DENY => {
                let (reason, text) = frame::read_denial(&payload).ok_or(GuestError::Malformed)?;
                Ok(Received::Denied { reason, text })
            }
            _ => Err(GuestError::Malformed),
        }
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> Result<(), GuestError> {
        let length = u32::try_from(payload.len() + 1).map_err(|_| GuestError::Malformed)?;
        let mut whole = Vec::with_capacity(payload.len() + 5);
        whole.extend_from_slice(&length.to_be_bytes());
        whole.push(kind);
        whole.extend_from_slice(payload);
        self.stream.write_all(&whole)?;
        Ok(self.stream.flush()?)
    }

    fn read(&mut self) -> Result<(u8, Zeroizing<Vec<u8>>), GuestError> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, d, kind] = head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| GuestError::Malformed)?;
        if !(1..=LONGEST_FRAME).contains(&length) {
            return Err(GuestError::Malformed);
        }
        let mut left = length - 1;
        let mut payload = WipedBuffer::with_capacity(left.min(STEP));
        let mut step = Zeroizing::new(vec![0; left.min(STEP)]);
        while left > 0 {
            let part = step.get_mut(..left.min(STEP)).ok_or(GuestError::Malformed)?;
            self.stream.read_exact(part)?;
            payload.extend(part);
            left -= part.len();
        }
        Ok((kind, payload.into_inner()))
    }
}

impl ReceivedBundle {
    /// The canonical bytes: to read them, and to prove them over another challenge.
    pub fn expose_canonical(&self) -> &[u8] {
        &self.0
    }

    /// The bundle in them.
    pub fn read(&self) -> Result<CanonicalBundle<'_>, NotCanonical> {
        CanonicalBundle::read(&self.0)
    }
}

impl<S> fmt::Debug for GuestChannel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestChannel(..)")
    }
}

impl fmt::Debug for ReceivedBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceivedBundle(..)")
    }
}

/// Why a guest has neither a bundle nor a DENY.
#[derive(Debug)]
#[non_exhaustive]
pub enum GuestError {
    /// The stream broke, ended or timed out.
    Stream(io::Error),
    /// The host did not speak this protocol.
    Malformed,
    /// A claim is over 255 bytes.
    LongClaim,
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(source) => {
                write!(f, "the channel ended before an answer ({source}): look at the host's agent")
            }
            Self::Malformed => {
                f.write_str("the host does not speak this protocol: use one release on both sides")
            }
            Self::LongClaim => f.write_str("a claim is longer than 255 bytes: claim nothing instead"),
        }
    }
}

impl std::error::Error for GuestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stream(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for GuestError {
    fn from(source: io::Error) -> Self {
        Self::Stream(source)
    }
}
