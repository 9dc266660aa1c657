//! Verifies a log line by line, and finds the first line that differs from what was written.
//!
//! The start of a node and `audit verify` use the same code. It always verifies the chain, and verifies MACs
//! and signatures if it has the keys.

use petsem_keys::AuditMacKey;

use crate::checkpoint::{Checkpoint, StorePosition};
use crate::error::Fault;
use crate::line::{self, Line};
use crate::log::KnownCheckpoint;

/// The position of a verification, and what it found so far.
pub(crate) struct Walker {
    node: Option<[u8; 16]>,
    public: Option<[u8; 32]>,
    mac: Option<AuditMacKey>,
    known: Option<KnownCheckpoint>,
    /// Number and chain of the last line; `None` before the first one.
    position: Option<(u64, [u8; 32])>,
    /// First line that was verified.
    pub(crate) first: u64,
    /// Signed checkpoints in the log up to here, including those before the first verified line.
    pub(crate) signed: u64,
    /// How often the MAC key was replaced.
    pub(crate) ratchet_steps: u64,
    /// The checkpoint to begin with: its number, and the MAC key after it.
    resume: Option<(u64, AuditMacKey)>,
    /// Checkpoints among the verified lines.
    pub(crate) checkpoints: u64,
    /// The newest store position that any of them names. A checkpoint that was written before the store was
    /// read names none, and must not hide an earlier one.
    pub(crate) seen: StorePosition,
    /// Lines without a MAC.
    pub(crate) without_mac: u64,
    /// Whether lines without a MAC are accepted, because the node may have been sealed. Anyone who can write
    /// to the disk can write such lines too.
    sealed_lines: bool,
    /// Whether the last line had a MAC.
    had_mac: Option<bool>,
}

/// More signed checkpoints than a log ever has: one a second for eight years.
const CHECKPOINTS_MAXIMUM: u64 = 1 << 28;

impl Walker {
    /// A walker before the first line. `mac` is the log's first MAC key.
    pub(crate) fn new(
        node: Option<[u8; 16]>,
        public: Option<[u8; 32]>,
        mac: Option<AuditMacKey>,
        known: Option<KnownCheckpoint>,
        sealed_lines: bool,
    ) -> Self {
        Self {
            node,
            public,
            mac,
            known,
            position: None,
            first: 1,
            signed: 0,
            ratchet_steps: 0,
            resume: None,
            checkpoints: 0,
            seen: StorePosition::default(),
            without_mac: 0,
            sealed_lines,
            had_mac: None,
        }
    }

    /// A walker before the checkpoint that the store knows, which has this number. `mac` is the MAC key after it. The
    /// line of the checkpoint has no MAC that this key verifies, but its signature and its place in the chain do.
    pub(crate) fn resumed(
        node: [u8; 16],
        public: [u8; 32],
        known: KnownCheckpoint,
        (number, mac): (u64, AuditMacKey),
    ) -> Self {
        let walker = Self::new(Some(node), Some(public), None, Some(known), true);
        Self { resume: Some((number, mac)), ..walker }
    }

    /// Number of the line that must come next.
    pub(crate) fn expected(&self) -> u64 {
        let before = match (self.position, &self.resume, self.known) {
            (Some((number, _)), _, _) => number,
            (None, Some(_), Some(known)) => known.line,
            _ => 0,
        };
        before.saturating_add(1)
    }

    /// Number and chain of the last line.
    pub(crate) fn position(&self) -> Option<(u64, [u8; 32])> {
        self.position
    }

    /// The node that the log belongs to.
    pub(crate) fn node(&self) -> Option<[u8; 16]> {
        self.node
    }

    /// The MAC key of the next line.
    pub(crate) fn into_mac(self) -> Option<AuditMacKey> {
        self.mac
    }

    /// Verifies the next line, given without its newline.
    pub(crate) fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Line<'a>, Fault> {
        let line = Line::parse(bytes).ok_or(Fault::Malformed)?;
        if *self.node.get_or_insert(line.node) != line.node {
            return Err(Fault::OtherNode);
        }
        let checkpoint = if line.is_checkpoint() {
            Some(Checkpoint::decode(line.node, &line.fields_json()).ok_or(Fault::Malformed)?)
        } else {
            None
        };
        let (last, head) = match self.position {
            Some(position) => position,
            None => self.begin(&line, checkpoint.as_ref())?,
        };
        if line.number != last.saturating_add(1) {
            return Err(Fault::Number { found: line.number });
        }
        if line::link(&head, line.body) != line.chain {
            return Err(Fault::Chain);
        }
        self.verify_mac(&line)?;
        if let Some(checkpoint) = &checkpoint {
            self.pass(checkpoint, last, &head)?;
        }
        if self.known.is_some_and(|known| known.line == line.number && known.head != line.chain) {
            return Err(Fault::OtherHistory);
        }
        self.position = Some((line.number, line.chain));
        Ok(line)
    }

    /// Checks that the log reaches the checkpoint that the store knows.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        let last = self.position.map_or(0, |(number, _)| number);
        match self.known {
            Some(known) if known.line > last => Err(Fault::Cut { expected: known.line }),
            _ => Ok(()),
        }
    }

    /// The position before the first existing line: the beginning of the log, or the one that its checkpoint
    /// names.
    fn begin(&mut self, line: &Line<'_>, checkpoint: Option<&Checkpoint>) -> Result<(u64, [u8; 32]), Fault> {
        self.first = line.number;
        if let (Some((number, _)), Some(known)) = (&self.resume, self.known) {
            if checkpoint.is_none_or(|checkpoint| checkpoint.signature.is_none()) {
                return Err(Fault::Checkpoint);
            }
            self.signed = number.saturating_sub(1);
            return Ok((known.line, known.head));
        }
        if line.number == 1 {
            return Ok((0, line::genesis(&line.node)));
        }
        let checkpoint = checkpoint.ok_or(Fault::NoStart)?;
        if let (Some(public), Some(_)) = (&self.public, &checkpoint.signature) {
            checkpoint.verify(public)?;
        }
        if checkpoint.number > CHECKPOINTS_MAXIMUM {
            return Err(Fault::Checkpoint);
        }
        self.signed = checkpoint.number.saturating_sub(u64::from(checkpoint.signature.is_some()));
        for _ in 0..self.signed {
            self.ratchet();
        }
        Ok((checkpoint.line, checkpoint.head))
    }

    fn ratchet(&mut self) {
        if let Some(mac) = self.mac.take() {
            self.mac = Some(mac.ratchet());
            self.ratchet_steps = self.ratchet_steps.saturating_add(1);
        }
    }

    fn verify_mac(&mut self, line: &Line<'_>) -> Result<(), Fault> {
        let has_mac = line.mac.is_some();
        // Sealing and unsealing both begin with a checkpoint.
        if self.had_mac.is_some_and(|had_mac| had_mac != has_mac) && !line.is_checkpoint() {
            return Err(Fault::Mac);
        }
        self.had_mac = Some(has_mac);
        match (&self.mac, &line.mac) {
            (Some(_), None) if !self.sealed_lines => return Err(Fault::NoMac),
            (_, None) => self.without_mac = self.without_mac.saturating_add(1),
            (Some(key), Some(mac)) => key.verify(&line.chain, mac).map_err(|_| Fault::Mac)?,
            (None, Some(_)) => {}
        }
        Ok(())
    }

    fn pass(&mut self, checkpoint: &Checkpoint, last: u64, head: &[u8; 32]) -> Result<(), Fault> {
        let signed = checkpoint.signature.is_some();
        if self.had_mac.is_some_and(|had_mac| had_mac != signed) {
            return Err(Fault::Checkpoint);
        }
        let number = self.signed.saturating_add(u64::from(signed));
        if checkpoint.line != last || checkpoint.head != *head || checkpoint.number != number {
            return Err(Fault::Checkpoint);
        }
        if signed {
            if let Some(public) = &self.public {
                checkpoint.verify(public)?;
            }
            match self.resume.take() {
                Some((_, mac)) => self.mac = Some(mac),
                None => self.ratchet(),
            }
        }
        self.signed = number;
        self.checkpoints = self.checkpoints.saturating_add(1);
        self.seen.pass(checkpoint);
        Ok(())
    }
}
