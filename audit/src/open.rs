//! Opens a log: finds its end, also after a kill or power cut, and starts the writer.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use petsem_keys::AuditSigningKey;
use tokio::sync::mpsc;

use crate::checkpoint::{Checkpoint, StorePosition};
use crate::error::{AuditError, AuditOpenError, Fault, Finding};
use crate::line::{self, Line};
use crate::lock::DirectoryLock;
use crate::log::{AuditKeys, AuditLog, AuditSettings, Clock, KnownCheckpoint, Opened, Resume, Tail};
use crate::queue::Shared;
use crate::reserve::Reserve;
use crate::segment::{self, LineReader, Next, Segment};
use crate::walker::Walker;
use crate::writer::{Condition, CurrentKeys, Writer};

/// Smallest segment: room for two checkpoints and lines between them.
const SEGMENT_MINIMUM: u64 = 64 * 1024;
/// Segments that are verified at start if the store has no checkpoint: about a second of work at the default size.
const SEGMENTS_VERIFIED: usize = 4;
/// Checkpoints that wait for the store.
const CHECKPOINTS_WAITING: usize = 64;
/// The most bytes that one write can leave after a power cut: a group of lines, with a margin.
const TORN_MAXIMUM: u64 = 64 << 20;

pub(crate) fn open(
    settings: AuditSettings,
    node: [u8; 16],
    keys: Option<AuditKeys>,
    known: Option<KnownCheckpoint>,
    clock: Clock,
) -> Result<Opened, AuditOpenError> {
    if settings.segment_bytes < SEGMENT_MINIMUM {
        return Err(AuditOpenError::Settings { reason: "segment_bytes must be at least 65536" });
    }
    if settings.checkpoint_lines == 0 {
        return Err(AuditOpenError::Settings { reason: "checkpoint_lines must be at least 1" });
    }
    let lock = claim(&settings.directory)?;
    let Files { used, unused, next_number } = sort_out(&settings)?;
    let used = Used { directory: settings.directory.clone(), files: used };
    let (found, signing) = used.verified(node, keys, known)?;
    let mut reserve = Reserve::new(
        settings.directory.clone(),
        settings.segment_bytes,
        settings.reserve_bytes,
        unused,
        next_number,
    );

    let (line, head) = found.walker.position().unwrap_or((0, line::genesis(&node)));
    let segment = match used.last() {
        Some(path) => at_path(path, Segment::open(path.clone(), found.position))?,
        None => reserve.take().map_err(|source| {
            let path = settings.directory.clone();
            if segment::is_full(&source) {
                AuditOpenError::Full { path }
            } else {
                AuditOpenError::Segment { path, source }
            }
        })?,
    };
    let cut_bytes = at_path(segment.path(), segment.wipe_tail())?;

    let tail = Tail {
        line,
        head,
        verified_from: found.walker.first,
        ratchet_steps: found.walker.ratchet_steps,
        cut_bytes,
        seen: found.walker.seen,
        request_ids: found.request_ids,
    };
    let (sender, checkpoints) = mpsc::channel(CHECKPOINTS_WAITING);
    let (append_timeout, directory) = (settings.append_timeout, settings.directory.clone());
    let shared = Arc::new(Shared::default());
    // Until the store was read, the first checkpoint repeats the position of an earlier one.
    *shared.position() = found.walker.seen;
    let mut writer = Writer {
        shared: Arc::clone(&shared),
        settings,
        clock,
        node,
        segment,
        reserve,
        line,
        head,
        signed: found.walker.signed,
        keys: signing.map(|signing| CurrentKeys { mac: found.walker.into_mac(), signing }),
        checkpoints: sender,
        lock,
        last_line: found.last_line,
        condition: Condition { checkpoint_first: true, ..Condition::default() },
    };
    begin(&mut writer, cut_bytes)?;
    let thread = thread::Builder::new()
        .name("audit".into())
        .spawn(move || writer.run())
        .map_err(AuditOpenError::Thread)?;
    Ok(Opened { log: AuditLog::new(shared, thread, append_timeout, directory), tail, checkpoints })
}

/// Writes the first checkpoint and fills the reserve. A node also starts on a full disk; it then refuses
/// requests until there is space.
fn begin(writer: &mut Writer, cut_bytes: u64) -> Result<(), AuditOpenError> {
    let mut started = writer.ready(0);
    if started.is_ok() && cut_bytes > 0 {
        let detail =
            format!("{cut_bytes} bytes of a torn write were removed; its lines were never acknowledged");
        started = writer.write_notice("audit.cut", detail);
    }
    match started {
        Ok(()) | Err(AuditError::Full) => {}
        Err(error) => return Err(AuditOpenError::Checkpoint(error)),
    }
    while writer.reserve_is_short() && writer.fill_reserve() {}
    Ok(())
}

/// Creates the directory, or checks that only petsem can access it, and locks it against other processes.
pub(crate) fn claim(directory: &Path) -> Result<DirectoryLock, AuditOpenError> {
    let failed = |source| AuditOpenError::Directory { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    check_private(directory).map_err(failed)?;
    match DirectoryLock::acquire(directory) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(AuditOpenError::InUse { path: directory.to_owned() }),
        Err(error) => Err(failed(error)),
    }
}

/// Refuses a directory that other users can reach.
fn check_private(directory: &Path) -> io::Result<()> {
    match fs::metadata(directory)?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "other users have access to it")),
    }
}

/// Creates a directory for a log, and checks that it can have one: only petsem can access it, and no other process does.
///
/// # Errors
/// [`AuditOpenError::Directory`] or [`AuditOpenError::InUse`].
pub fn check_directory(directory: &Path) -> Result<(), AuditOpenError> {
    claim(directory).map(drop)
}

/// Checks that a log can be continued: its directory is private, it has the checkpoint that the store knows, and what
/// follows it is unchanged. Nothing is written. Returns how far the node saw the store.
///
/// # Errors
/// [`AuditOpenError`]: the files cannot be read, others can read them, or the log is missing or broken.
pub fn check_end(
    directory: &Path,
    node: [u8; 16],
    keys: AuditKeys,
    known: Option<KnownCheckpoint>,
) -> Result<StorePosition, AuditOpenError> {
    let mut files = match segment::list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => {
            let files = at_path(directory, listed)?;
            let failed = |source| AuditOpenError::Directory { path: directory.to_owned(), source };
            check_private(directory).map_err(failed)?;
            files
        }
    };
    while let Some((_, path)) = files.last()
        && at_path(path, segment::is_unused(path))?
    {
        files.pop();
    }
    Used { directory: directory.to_owned(), files }
        .verified(node, Some(keys), known)
        .map(|(end, _)| end.walker.seen)
}

/// The node whose log is in a directory; `None` if there is no line.
///
/// # Errors
/// The files cannot be read.
pub fn logged_node(directory: &Path) -> io::Result<Option<[u8; 16]>> {
    let all = match segment::list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        listed => listed?,
    };
    for (_, path) in all.iter().rev() {
        if let Next::Line(bytes) = LineReader::open(path, 0)?.read_next()? {
            return Ok(Line::parse(bytes).map(|line| line.node));
        }
    }
    Ok(None)
}

struct Files {
    /// The newest segment with lines and all before it, oldest first. Some of those may be unused: they were skipped.
    used: Vec<(u64, PathBuf)>,
    /// The reserve.
    unused: VecDeque<(PathBuf, u64)>,
    /// Number of the next segment to create.
    next_number: u64,
}

fn sort_out(settings: &AuditSettings) -> Result<Files, AuditOpenError> {
    let directory = &settings.directory;
    let mut used = at_path(directory, segment::list(directory))?;
    let after_all = used.last().map_or(1, |(number, _)| number.saturating_add(1));
    let next_number = after_all.max(settings.first_segment);
    let mut after = VecDeque::new();
    // Only from the end: an old log has many segments.
    while let Some((_, path)) = used.last()
        && at_path(path, segment::is_unused(path))?
        && let Some((_, path)) = used.pop()
    {
        after.push_front(path);
    }
    let mut unused = VecDeque::new();
    for path in after {
        let bytes = at_path(&path, fs::metadata(&path))?.len();
        if bytes == settings.segment_bytes {
            if unused.is_empty() {
                // A power cut may have lost the first page of its first lines, and kept a later one.
                at_path(&path, Segment::open(path.clone(), 0).and_then(|segment| segment.wipe_tail()))?;
            }
            unused.push_back((path, bytes));
        } else {
            // Its size differs: the settings changed, or its creation was interrupted.
            at_path(&path, fs::remove_file(&path))?;
        }
    }
    Ok(Files { used, unused, next_number })
}

/// The end of the lines, and the results of reading up to it.
struct End {
    walker: Walker,
    /// Bytes of lines in the last segment.
    position: u64,
    last_line: Vec<u8>,
    request_ids: HashSet<String>,
}

/// The segments that may have lines, oldest first; the last one has some.
struct Used {
    directory: PathBuf,
    files: Vec<(u64, PathBuf)>,
}

/// Where verification begins.
struct Place {
    /// Index of the segment.
    file: usize,
    /// Where in it, in bytes.
    offset: u64,
    /// What verifies from there.
    walker: Walker,
}

impl Used {
    fn last(&self) -> Option<&PathBuf> {
        self.files.last().map(|(_, path)| path)
    }

    /// The end of the log, verified from the checkpoint that the store knows, and the key that signs the next one.
    fn verified(
        &self,
        node: [u8; 16],
        keys: Option<AuditKeys>,
        known: Option<KnownCheckpoint>,
    ) -> Result<(End, Option<AuditSigningKey>), AuditOpenError> {
        if let (None, Some(known)) = (self.last(), known) {
            // The line after it is the checkpoint itself.
            let line = known.line.saturating_add(1);
            return Err(AuditOpenError::Missing { directory: self.directory.clone(), line });
        }
        let (mac, signing, resume) =
            keys.map_or((None, None, None), |keys| (Some(keys.initial_mac), Some(keys.signing), keys.resume));
        let public = signing.as_ref().map(AuditSigningKey::public);
        let place = match (known, public, resume) {
            (Some(known), Some(public), Some(resume)) => self.resumed(node, public, known, resume)?,
            _ => None,
        };
        let from = match place {
            Some(place) => place,
            None => Place {
                file: self.newest_from(known)?,
                offset: 0,
                walker: Walker::new(Some(node), public, mac, known, true),
            },
        };
        Ok((find_end(self, from, known)?, signing))
    }

    /// The place of the checkpoint that the store knows, if the log has it there. Otherwise the lines up to it say what
    /// happened to it.
    fn resumed(
        &self,
        node: [u8; 16],
        public: [u8; 32],
        known: KnownCheckpoint,
        resume: Resume,
    ) -> Result<Option<Place>, AuditOpenError> {
        let Ok(file) = self.files.binary_search_by_key(&resume.segment, |(number, _)| *number) else {
            return Ok(None);
        };
        let Some((_, path)) = self.files.get(file) else { return Ok(None) };
        let mut reader = at_path(path, LineReader::open(path, resume.offset))?;
        let Next::Line(bytes) = at_path(path, reader.read_next())? else { return Ok(None) };
        let is_it = Line::parse(bytes).is_some_and(|line| {
            line.is_checkpoint()
                && Checkpoint::decode(node, &line.fields_json()).is_some_and(|checkpoint| {
                    (checkpoint.number, checkpoint.line, checkpoint.head)
                        == (resume.number, known.line, known.head)
                })
        });
        let walker = || Walker::resumed(node, public, known, (resume.number, resume.mac.into_mac()));
        Ok(is_it.then(|| Place { file, offset: resume.offset, walker: walker() }))
    }

    /// The newest segment that begins at or before the line that the store knows; if it knows none, the last but three.
    fn newest_from(&self, known: Option<KnownCheckpoint>) -> Result<usize, AuditOpenError> {
        let Some(known) = known else {
            let mut left = SEGMENTS_VERIFIED;
            for (index, (_, path)) in self.files.iter().enumerate().rev() {
                left -= usize::from(!at_path(path, segment::is_unused(path))?);
                if left == 0 {
                    return Ok(index);
                }
            }
            return Ok(0);
        };
        for (index, (_, path)) in self.files.iter().enumerate().rev() {
            let mut reader = at_path(path, LineReader::open(path, 0))?;
            if let Next::Line(bytes) = at_path(path, reader.read_next())?
                && Line::parse(bytes).is_some_and(|line| line.number <= known.line)
            {
                return Ok(index);
            }
        }
        Ok(0)
    }
}

fn find_end(used: &Used, from: Place, known: Option<KnownCheckpoint>) -> Result<End, AuditOpenError> {
    let Place { file: first, mut offset, mut walker } = from;
    let mut recent = Recent { known: known.map(|known| known.line), ..Recent::default() };
    let mut position = 0;
    let mut last_line = Vec::new();
    for (index, (_, path)) in used.files.iter().enumerate().skip(first) {
        let broken = |walker: &Walker, fault| {
            AuditOpenError::Broken(Finding { file: path.clone(), line: walker.expected(), fault })
        };
        let mut reader = at_path(path, LineReader::open(path, std::mem::take(&mut offset)))?;
        last_line.clear();
        loop {
            position = reader.offset();
            let has_torn_end = match at_path(path, reader.read_next())? {
                Next::End => break,
                Next::Fragment => true,
                Next::Line(bytes) => match walker.step(bytes) {
                    Ok(line) => {
                        recent.see(&line);
                        last_line.clear();
                        last_line.extend_from_slice(bytes);
                        last_line.push(b'\n');
                        continue;
                    }
                    // A power cut can lose a page of the last write and keep a later one.
                    Err(fault) if !bytes.contains(&0) => return Err(broken(&walker, fault)),
                    Err(_) => false,
                },
            };
            let is_last = index.saturating_add(1) == used.files.len();
            let rest = at_path(path, fs::metadata(path))?.len().saturating_sub(position);
            if !is_last || (!has_torn_end && rest > TORN_MAXIMUM) {
                return Err(broken(&walker, Fault::Torn));
            }
            break;
        }
    }
    if let Err(fault) = walker.finish() {
        let file = used.last().cloned().unwrap_or_else(|| used.directory.clone());
        return Err(AuditOpenError::Broken(Finding { file, line: walker.expected(), fault }));
    }
    Ok(End { walker, position, last_line, request_ids: recent.into_ids() })
}

/// Collects the request ids of lines that the store may not know yet.
#[derive(Default)]
struct Recent {
    known: Option<u64>,
    before_last: HashSet<String>,
    after_last: HashSet<String>,
}

impl Recent {
    fn see(&mut self, line: &line::Line<'_>) {
        if line.is_checkpoint() {
            if self.known.is_none() {
                self.before_last = std::mem::take(&mut self.after_last);
            }
        } else if self.known.is_none_or(|known| line.number > known)
            && let Some(id) = line.request_id()
        {
            self.after_last.insert(id);
        }
    }

    fn into_ids(mut self) -> HashSet<String> {
        self.after_last.extend(self.before_last);
        self.after_last
    }
}

pub(crate) fn at_path<T>(path: &Path, result: io::Result<T>) -> Result<T, AuditOpenError> {
    result.map_err(|source| AuditOpenError::Segment { path: path.to_owned(), source })
}
