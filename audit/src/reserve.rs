//! The reserve: segments that are created in advance, so that the log continues when the disk is full.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use crate::segment::{self, Segment};

/// Names that are tried when a file that petsem did not create has the name of the next segment.
const TRIES: usize = 16;

/// Unused segments, in the order of their numbers.
pub(crate) struct Reserve {
    directory: PathBuf,
    segment_bytes: u64,
    target_bytes: u64,
    unused: VecDeque<(PathBuf, u64)>,
    next_number: u64,
}

impl Reserve {
    /// A reserve of `unused` segments, each with its size in bytes; `next_number` is the first free number.
    pub(crate) fn new(
        directory: PathBuf,
        segment_bytes: u64,
        target_bytes: u64,
        unused: VecDeque<(PathBuf, u64)>,
        next_number: u64,
    ) -> Self {
        Self { directory, segment_bytes, target_bytes, unused, next_number }
    }

    /// Bytes in the reserve.
    pub(crate) fn bytes(&self) -> u64 {
        self.unused.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Whether the reserve is smaller than configured.
    pub(crate) fn is_short(&self) -> bool {
        self.bytes() < self.target_bytes
    }

    /// Creates one more segment.
    pub(crate) fn add_one(&mut self) -> io::Result<()> {
        let (path, _) = self.make()?;
        self.unused.push_back((path, self.segment_bytes));
        Ok(())
    }

    /// The next segment to write: one of the reserve, or else a new one.
    pub(crate) fn take(&mut self) -> io::Result<Segment> {
        while let Some((path, bytes)) = self.unused.front() {
            match Segment::open(path.clone(), 0) {
                Ok(segment) if segment.room() == *bytes && segment::is_unused(path)? => {
                    self.unused.pop_front();
                    return Ok(segment);
                }
                // It was removed or written by another process, so it is not part of the reserve any more.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.unused.pop_front();
        }
        let (path, file) = self.make()?;
        Ok(Segment::fresh(path, file, self.segment_bytes))
    }

    /// Returns a segment that was taken and not written.
    pub(crate) fn put_back(&mut self, segment: &Segment) {
        self.unused.push_front((segment.path().to_owned(), segment.room()));
    }

    fn make(&mut self) -> io::Result<(PathBuf, std::fs::File)> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..TRIES {
            let path = segment::path_of(&self.directory, self.next_number);
            match segment::create(&path, self.segment_bytes) {
                Ok(file) => {
                    self.next_number = self.next_number.saturating_add(1);
                    return Ok((path, file));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.next_number = self.next_number.saturating_add(1);
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}
