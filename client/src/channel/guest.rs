//! The guest's side: blocking, over anything that reads and writes.

use std::fmt;
use std::io::{Read, Write};

use zeroize::Zeroizing;

use super::frame::{self, ACK, BUNDLE, CHALLENGE, DENY, DenyReason, HELLO, Hello, LONGEST_FRAME};
use super::proof::prove;
use crate::canonical::CanonicalBundle;
use crate::error::{GuestError, NotCanonical};

/// How much is read at a time, and so how much is allocated before it is received.
const STEP: usize = 64 * 1024;

/// A Machine's end of its channel. The stream has its own deadline: a read past it is an error.
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
/// The guest sends HELLO, the host answers BUNDLE or DENY, the guest answers BUNDLE with ACK. The host answers
/// DENY to a claim that differs from what the socket is bound to, and to anything that is not HELLO. Both
/// sides read until a deadline, and neither allocates by a stated length alone.
///
/// # Proof
/// `HMAC-SHA-256(key = challenge, "petsem machine channel v1" ‖ nonce ‖ canonical bundle)` (RFC 2104, FIPS
/// 180-4). It shows that the guest has what the host sent in this boot. It does not authenticate the host to
/// the guest: the hypervisor that has the socket has the guest's memory, too.
pub struct GuestChannel<S> {
    stream: S,
}

/// What a guest claims to be. The socket decides; a wrong claim only fails the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims<'a> {
    /// The Machine's id, or nothing.
    pub machine: &'a str,
    /// The app's name or id, or nothing.
    pub app: &'a str,
}

/// The host's answer.
#[derive(Debug)]
pub enum Received {
    /// The secrets. The proof has been sent.
    Bundle(ReceivedBundle),
    /// A refusal.
    Denied {
        /// The reason.
        reason: DenyReason,
        /// The host's text for people.
        text: String,
    },
}

/// Canonical bytes as they were received. Wiped on drop; prints as `ReceivedBundle(..)`.
pub struct ReceivedBundle(Zeroizing<Vec<u8>>);

impl<S: Read + Write> GuestChannel<S> {
    /// A channel over an open port.
    pub fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Sends HELLO, reads the answer, and proves a received bundle. `nonce` is 16 random bytes of this boot.
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
        let mut parts = Vec::new();
        while left > 0 {
            let mut part = Zeroizing::new(vec![0; left.min(STEP)]);
            self.stream.read_exact(&mut part)?;
            left -= part.len();
            parts.push(part);
        }
        let mut payload = Zeroizing::new(Vec::with_capacity(length - 1));
        parts.iter().for_each(|part| payload.extend_from_slice(part));
        Ok((kind, payload))
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
