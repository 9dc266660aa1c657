//! `petsem operator audit verify`: finds any changed, cut, swapped or missing line, and reports the range of
//! lines that it verified.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use petsem_keys::AuditMacKey;

use crate::checkpoint::{Checkpoint, Revision};
use crate::error::{Fault, Finding};
use crate::log::KnownCheckpoint;
use crate::segment::{self, LineReader, Next};
use crate::walker::Walker;

/// Lines with the outcome `recovered` that a report lists.
const RECOVERED_MAXIMUM: usize = 10_000;
/// How often an incomplete line is read again: the node may be writing it.
const LOOKS_MAXIMUM: usize = 5;

/// What a verification uses in addition to the files. Without any of it, only the chain is verified. That
/// detects accidents, but not an attacker who computes a new chain.
#[derive(Default)]
pub struct VerifyKeys {
    /// The log's first MAC key.
    pub initial_mac: Option<AuditMacKey>,
    /// The node's public key for checkpoints.
    pub public: Option<[u8; 32]>,
    /// The last checkpoint of the node in the store: reveals a truncated log.
    pub expect_at_least: Option<KnownCheckpoint>,
    /// Whether lines without a MAC are accepted, because the node was sealed at times.
    pub sealed_lines: bool,
}

impl fmt::Debug for VerifyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyKeys")
            .field("initial_mac", &self.initial_mac.is_some())
            .field("public", &self.public.is_some())
            .field("expect_at_least", &self.expect_at_least.map(|known| known.line))
            .field("sealed_lines", &self.sealed_lines)
            .finish()
    }
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The node that the log belongs to; `None` if there is no line.
    pub node: Option<[u8; 16]>,
    /// First line that was verified; later than 1 if older files were moved.
    pub first_line: u64,
    /// Last line that was verified; 0 if there is none.
    pub last_line: u64,
    /// Chain of the last line; zeros if there is none.
    pub head: [u8; 32],
    /// Checkpoints among the lines.
    pub checkpoints: u64,
    /// Lines that have no MAC, because the node was sealed.
    pub without_mac: u64,
    /// Numbers of the lines with the outcome `recovered`: a kill had left their changes without a line. At
    /// most the first 10 000.
    pub recovered: Vec<u64>,
    /// Whether MACs were compared.
    pub macs_verified: bool,
    /// Whether signatures were compared.
    pub signatures_verified: bool,
    /// The newest revision of the store that a checkpoint names.
    pub seen_revision: Option<Revision>,
}

impl Report {
    /// How many lines were verified.
    pub fn lines(&self) -> u64 {
        match self.last_line {
            0 => 0,
            last => last.saturating_sub(self.first_line).saturating_add(1),
        }
    }
}

/// Verifies all segments of a directory, even while the log is being written.
///
/// Bounded memory; reads every byte once.
///
/// # Errors
/// The first line that was changed or is missing, and its file.
pub fn verify_log(directory: &Path, keys: VerifyKeys) -> Result<Report, Finding> {
    verify_lines(directory, keys, &mut |_| ())
}

/// A verified line.
#[derive(Debug)]
pub enum VerifiedLine<'a> {
    /// An event, as a JSON object, with the number of its line.
    Event(u64, &'a [u8]),
    /// A checkpoint.
    Checkpoint(&'a Checkpoint),
}

/// [`verify_log`], which also passes each event as JSON to `show` once it is verified.
///
/// # Errors
/// As [`verify_log`]; the lines before it were passed to `show`.
pub fn verify_lines(
    directory: &Path,
    keys: VerifyKeys,
    show: &mut dyn FnMut(&[u8]),
) -> Result<Report, Finding> {
    let mut events = |line: VerifiedLine<'_>| {
        if let VerifiedLine::Event(_, json) = line {
            show(json);
        }
    };
    verify_all_lines(directory, keys, &mut events)
}

/// [`verify_lines`], which passes checkpoints, too.
///
/// # Errors
/// As [`verify_lines`].
pub fn verify_all_lines(
    directory: &Path,
    keys: VerifyKeys,
    show: &mut dyn FnMut(VerifiedLine<'_>),
) -> Result<Report, Finding> {
    let unreadable =
        |source| Finding { file: directory.to_owned(), line: 0, fault: Fault::Unreadable(source) };
    let mut used = Vec::new();
    let listed = match segment::list(directory) {
        // As if it were empty: the store knows that lines are missing.
        Err(error) if error.kind() == io::ErrorKind::NotFound && keys.expect_at_least.is_some() => Vec::new(),
        listed => listed.map_err(unreadable)?,
    };
    for (_, path) in listed {
        if !segment::is_unused(&path).map_err(unreadable)? {
            used.push(path);
        }
    }
    let macs_verified = keys.initial_mac.is_some();
    let signatures_verified = keys.public.is_some();
    let mut walker =
        Walker::new(None, keys.public, keys.initial_mac, keys.expect_at_least, keys.sealed_lines);
    let mut recovered = Vec::new();
    for (index, path) in used.iter().enumerate() {
        let is_last = index.saturating_add(1) == used.len();
        let end = read_segment(path, is_last, &mut walker, &mut recovered, show);
        end.map_err(|fault| Finding { file: path.clone(), line: walker.expected(), fault })?;
    }
    let file = || used.last().cloned().unwrap_or_else(|| PathBuf::from(directory));
    walker.finish().map_err(|fault| Finding { file: file(), line: walker.expected(), fault })?;
    let (last_line, head) = walker.position().unwrap_or((0, [0; 32]));
    Ok(Report {
        node: walker.node(),
        first_line: walker.first,
        last_line,
        head,
        checkpoints: walker.checkpoints,
        without_mac: walker.without_mac,
        recovered,
        macs_verified,
        signatures_verified,
        seen_revision: walker.seen.revision,
    })
}

fn read_segment(
    path: &Path,
    is_last: bool,
    walker: &mut Walker,
    recovered: &mut Vec<u64>,
    show: &mut dyn FnMut(VerifiedLine<'_>),
) -> Result<(), Fault> {
    let mut reader = LineReader::open(path, 0).map_err(Fault::Unreadable)?;
    let mut looks = 0;
    loop {
        let offset = reader.offset();
        match reader.read_next().map_err(Fault::Unreadable)? {
            Next::Line(bytes) => {
                let line = walker.step(bytes)?;
                match Checkpoint::of(&line) {
                    Some(checkpoint) => show(VerifiedLine::Checkpoint(&checkpoint)),
                    None => show(VerifiedLine::Event(line.number, &line.fields_json())),
                }
                if line.is_recovered() && recovered.len() < RECOVERED_MAXIMUM {
                    recovered.push(line.number);
                }
            }
            // A finished segment ends with its last line.
            Next::End if !is_last && has_more(path, offset).map_err(Fault::Unreadable)? => {
                return Err(Fault::Torn);
            }
            Next::End => return Ok(()),
            Next::Fragment if is_last && looks < LOOKS_MAXIMUM => {
                looks = looks.saturating_add(1);
                reader = LineReader::open(path, offset).map_err(Fault::Unreadable)?;
            }
            Next::Fragment => return Err(Fault::Torn),
        }
    }
}

fn has_more(path: &Path, offset: u64) -> io::Result<bool> {
    Ok(fs::metadata(path)?.len() > offset)
}
