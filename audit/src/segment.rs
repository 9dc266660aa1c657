//! Segments: the files of a log. Each is allocated in full before it is used, so that a line never needs
//! more disk space.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags, SeekFrom};
use rustix::io::Errno;

use crate::line::LINE_MAXIMUM;

/// Zeros are compared in blocks of this size.
const BLOCK: usize = 64;
/// Zeros are written in pieces of this size where `fallocate` is not supported.
const PIECE: usize = 1 << 20;
/// Segments are read in pieces of this size, which begin at its multiples. The kernel counts allocated space that was
/// read once as data: with other beginnings, each piece would lead to the next, and a start would read whole segments.
const READ: usize = 256 * 1024;

/// The path of a segment: `audit-00000001.log` …
pub(crate) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("audit-{number:08}.log"))
}

/// The number in the name of a segment.
fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("audit-")?.strip_suffix(".log")?.parse().ok()
}

/// All segments of a directory, oldest first.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(number) = number_of(&path)
            && path == path_of(directory, number)
        {
            segments.push((number, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Whether nothing was ever written to a segment: it is part of the reserve.
pub(crate) fn is_unused(path: &Path) -> io::Result<bool> {
    let mut first = [0];
    Ok(open_to_read(path)?.read(&mut first)? == 0 || first == [0])
}

/// Opens a file without read-ahead: what the kernel read ahead of the allocated space would count as data.
fn open_to_read(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Without it, more is read; a sandbox may not allow it.
    let _advised = rustix::fs::fadvise(&file, 0, None, Advice::Random);
    Ok(file)
}

/// Makes directory entries durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Creates a segment of zeros and allocates all its space. Leaves no file if there is not enough space.
pub(crate) fn create(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let made = allocate(&file, bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| path.parent().map_or(Ok(()), sync_directory));
    if let Err(error) = made {
        // An incomplete segment must not count as part of the reserve.
        let _removed = fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, 0, bytes),
        Err(error) => Err(error.into()),
    }
}

fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE];
    let mut position = from;
    while position < to {
        let length = usize::try_from(to.saturating_sub(position)).unwrap_or(PIECE).min(PIECE);
        file.write_all_at(zeros.get(..length).unwrap_or_default(), position)?;
        position = position.saturating_add(length as u64);
    }
    Ok(())
}

/// Whether an error means that the disk, or a quota on it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The segment that is being written.
pub(crate) struct Segment {
    path: PathBuf,
    file: File,
    /// Size in bytes; all of it is allocated.
    capacity: u64,
    /// Where the next line goes; everything before it is durable.
    position: u64,
}

impl Segment {
    /// Opens a segment whose first `position` bytes are lines.
    pub(crate) fn open(path: PathBuf, position: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let capacity = file.metadata()?.len();
        Ok(Self { path, file, capacity, position })
    }

    /// Wraps a segment that was just created.
    pub(crate) fn fresh(path: PathBuf, file: File, capacity: u64) -> Self {
        Self { path, file, capacity, position: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The number in its name.
    pub(crate) fn number(&self) -> u64 {
        number_of(&self.path).unwrap_or_default()
    }

    /// Where the next line begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.position)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// Writes lines after the durable ones; [`Segment::sync`] makes them durable.
    pub(crate) fn write(&self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all_at(lines, self.position)
    }

    /// Makes the written lines durable, and only then moves the position behind them.
    pub(crate) fn sync(&mut self, length: usize) -> io::Result<()> {
        self.file.sync_data()?;
        self.position = self.position.saturating_add(length as u64);
        Ok(())
    }

    /// Overwrites with zeros what a torn write left after the lines, and returns its size in bytes.
    pub(crate) fn wipe_tail(&self) -> io::Result<u64> {
        let mut end = self.position;
        let mut tail = LineReader::open(&self.path, self.position)?;
        while let Some((offset, byte)) = tail.next_nonzero()? {
            debug_assert_ne!(byte, 0);
            end = offset.saturating_add(1);
        }
        if end > self.position {
            write_zeros(&self.file, self.position, end)?;
            self.file.sync_all()?;
        }
        Ok(end.saturating_sub(self.position))
    }

    /// Ends the segment at its last durable line and makes it read-only.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.file.set_len(self.position)?;
        self.file.set_permissions(fs::Permissions::from_mode(0o400))?;
        self.file.sync_all()?;
        self.capacity = self.position;
        Ok(())
    }

    /// Whether the last durable line is at its position, read back from the file.
    pub(crate) fn ends_with(&self, line: &[u8]) -> io::Result<bool> {
        let Some(start) = self.position.checked_sub(line.len() as u64) else {
            return Ok(false);
        };
        let mut bytes = vec![0; line.len()];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes == line)
    }

    /// Compares the open file with the directory entry of its name.
    pub(crate) fn presence(&self) -> io::Result<Presence> {
        let own = self.file.metadata()?;
        if own.len() < self.capacity {
            return Ok(Presence::Cut);
        }
        match fs::symlink_metadata(&self.path) {
            Ok(shown) if (shown.dev(), shown.ino()) == (own.dev(), own.ino()) => Ok(Presence::Same),
            Ok(_) => Ok(Presence::Replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Presence::Gone),
            Err(error) => Err(error),
        }
    }

    /// Restores the lines under the segment's name, from the file that is still open. A foreign file of that
    /// name is kept with the suffix `.foreign`.
    pub(crate) fn restore(&mut self) -> io::Result<()> {
        let with_suffix = |suffix: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let copy = with_suffix(".restored");
        if fs::symlink_metadata(&copy).is_ok() {
            fs::remove_file(&copy)?;
        }
        let file = create(&copy, self.capacity)?;
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        while offset < self.position {
            let length = usize::try_from(self.position.saturating_sub(offset)).unwrap_or(PIECE).min(PIECE);
            let piece = piece.get_mut(..length).unwrap_or_default();
            self.file.read_exact_at(piece, offset)?;
            file.write_all_at(piece, offset)?;
            offset = offset.saturating_add(length as u64);
        }
        file.sync_all()?;
        if fs::symlink_metadata(&self.path).is_ok() {
            fs::rename(&self.path, with_suffix(".foreign"))?;
        }
        fs::rename(&copy, &self.path)?;
        if let Some(directory) = self.path.parent() {
            sync_directory(directory)?;
        }
        self.file = file;
        Ok(())
    }
}

/// What the directory holds under the name of the segment that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The segment.
    Same,
    /// Another file.
    Replaced,
    /// Nothing.
    Gone,
    /// The segment, shorter than it was created.
    Cut,
}

/// Reads the lines of a segment in bounded memory.
pub(crate) struct LineReader {
    reader: BufReader<File>,
    offset: u64,
    line: Vec<u8>,
}

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A line, without its newline.
    Line(&'a [u8]),
    /// Zeros up to the end, or the end.
    End,
    /// Something without a newline that is not the unused end of a segment.
    Fragment,
}

impl LineReader {
    /// Reads from `offset`.
    pub(crate) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut reader = Self {
            reader: BufReader::with_capacity(READ, open_to_read(path)?),
            offset: piece_of(offset),
            line: Vec::new(),
        };
        rustix::fs::seek(reader.reader.get_ref(), SeekFrom::Start(reader.offset))?;
        let before = offset.saturating_sub(reader.offset);
        io::copy(&mut reader.reader.by_ref().take(before), &mut io::sink())?;
        reader.offset = offset;
        Ok(reader)
    }

    /// Where the next line begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line.
    pub(crate) fn read_next(&mut self) -> io::Result<Next<'_>> {
        self.line.clear();
        let limit = LINE_MAXIMUM as u64;
        let length = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line)? as u64;
        if self.line.last() != Some(&b'\n') {
            let begin = self.offset;
            self.offset = begin.saturating_add(length);
            let has_more = self.line.iter().any(|byte| *byte != 0) || self.next_nonzero()?.is_some();
            self.offset = begin;
            return Ok(if has_more { Next::Fragment } else { Next::End });
        }
        self.offset = self.offset.saturating_add(length);
        self.line.pop();
        Ok(Next::Line(&self.line))
    }

    /// Position and value of the next byte that is not zero.
    fn next_nonzero(&mut self) -> io::Result<Option<(u64, u8)>> {
        loop {
            if self.reader.buffer().is_empty() {
                // Allocated and never written: the rest of a segment is only that, and megabytes long.
                let file = self.reader.get_ref();
                match rustix::fs::seek(file, SeekFrom::Data(self.offset)) {
                    Ok(data) => {
                        self.offset = self.offset.max(piece_of(data));
                        rustix::fs::seek(file, SeekFrom::Start(self.offset))?;
                    }
                    Err(Errno::NXIO) => return Ok(None),
                    // Not every file system knows; then it is all read.
                    Err(_) => {}
                }
            }
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let found = first_nonzero(buffer);
            let passed = found.map_or(buffer.len(), |(index, _)| index.saturating_add(1));
            self.reader.consume(passed);
            self.offset = self.offset.saturating_add(passed as u64);
            if let Some((_, byte)) = found {
                return Ok(Some((self.offset.saturating_sub(1), byte)));
            }
        }
    }
}

/// The beginning of the piece with this offset.
fn piece_of(offset: u64) -> u64 {
    offset - offset % READ as u64
}

/// Place and value of the first byte that is not zero, by blocks, which are compared many bytes at a time.
fn first_nonzero(bytes: &[u8]) -> Option<(usize, u8)> {
    let is_zero = |block: &&[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
    let zeros = bytes.chunks(BLOCK).take_while(is_zero).count().saturating_mul(BLOCK);
    bytes.iter().copied().enumerate().skip(zeros).find(|(_, byte)| *byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_is_not_zero_is_found_wherever_it_is() {
        for place in [0, 1, 63, 64, 65, 4095, 4096, 9_999] {
            let mut bytes = vec![0; 10_000];
            bytes[place] = 7;
            assert_eq!(first_nonzero(&bytes), Some((place, 7)));
            bytes.truncate(place);
            assert_eq!(first_nonzero(&bytes), None);
        }
    }

    #[test]
    fn a_written_byte_far_behind_the_lines_is_found_and_wiped() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(directory.path(), 1);
        let file = create(&path, 8 << 20).unwrap();
        file.write_all_at(b"line\n", 0).unwrap();
        let segment = Segment::open(path.clone(), 5).unwrap();
        assert_eq!(segment.wipe_tail().unwrap(), 0);
        for at in [6, 100_000, (8 << 20) - 1] {
            file.write_all_at(b"x", at).unwrap();
            let mut reader = LineReader::open(&path, 5).unwrap();
            assert_eq!(reader.next_nonzero().unwrap(), Some((at, b'x')));
            assert_eq!(segment.wipe_tail().unwrap(), at + 1 - 5);
            assert_eq!(LineReader::open(&path, 5).unwrap().read_next().unwrap(), Next::End);
        }
    }

    #[test]
    fn a_look_for_the_end_reads_no_more_than_one_piece_of_the_unused_space() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(directory.path(), 1);
        let file = create(&path, 8 << 20).unwrap();
        let line = [b"a".repeat(999), b"\n".to_vec()].concat();
        for number in 0..300 {
            file.write_all_at(&line, number * 1000).unwrap();
        }
        file.sync_all().unwrap();
        for lines in [300, 299, 1, 0] {
            assert!(!is_unused(&path).unwrap());
            let mut reader = LineReader::open(&path, lines * 1000).unwrap();
            for _ in lines..300 {
                assert_eq!(reader.read_next().unwrap(), Next::Line(&line[..999]));
            }
            assert_eq!(reader.read_next().unwrap(), Next::End);
            assert_eq!(Segment::open(path.clone(), 300_000).unwrap().wipe_tail().unwrap(), 0);
        }
        // What was read counts as data; the lines end in the second piece.
        assert_eq!(rustix::fs::seek(&file, SeekFrom::Data(2 * READ as u64)), Err(Errno::NXIO));
    }
}
