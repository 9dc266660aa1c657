//! Disk that is kept for the log: segments made ahead, so that it goes on when the disk is full.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use crate::segment::{self, Segment};

/// Names that are tried when a file that petsem did not make stands in the way.
const TRIES: usize = 16;

/// Segments that wait to be used, in the order of their numbers.
pub(crate) struct Reserve {
    directory: PathBuf,
    segment_bytes: u64,
    target_bytes: u64,
    unused: VecDeque<(PathBuf, u64)>,
    next_number: u64,
}

impl Reserve {
    /// A reserve of `unused` segments, each with its bytes; `next_number` is the first free one.
    pub(crate) fn new(
        directory: PathBuf,
        segment_bytes: u64,
        target_bytes: u64,
        unused: VecDeque<(PathBuf, u64)>,
        next_number: u64,
    ) -> Self {
        Self { directory, segment_bytes, target_bytes, unused, next_number }
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.unused.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Whether less waits than should.
    pub(crate) fn is_short(&self) -> bool {
        self.bytes() < self.target_bytes
    }

    /// Makes one more segment.
    pub(crate) fn add_one(&mut self) -> io::Result<()> {
        let (path, _) = self.make()?;
        self.unused.push_back((path, self.segment_bytes));
        Ok(())
    }

    /// The next segment to write: one that waits, else one that is made now.
    pub(crate) fn take(&mut self) -> io::Result<Segment> {
        while let Some((path, bytes)) = self.unused.front() {
            match Segment::open(path.clone(), 0) {
                Ok(segment) if segment.room() == *bytes && segment::is_unused(path)? => {
                    self.unused.pop_front();
                    return Ok(segment);
                }
                // Someone took it away or wrote to it: it is no longer of the reserve.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.unused.pop_front();
        }
        let (path, file) = self.make()?;
        Ok(Segment::fresh(path, file, self.segment_bytes))
    }

    /// Gives back a segment that was taken and not written.
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
