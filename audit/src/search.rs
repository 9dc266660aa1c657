//! Searches the log for requests, from its end back. Nothing is verified here: `verify` finds changes to the log.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::line::Line;
use crate::segment::{self, LineReader, Next};

/// The requests that a search found, and how far it went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// Those of the wanted ids that have a line.
    pub found: HashSet<String>,
    /// Lines since this time were read, in Unix milliseconds; 0 if the log was read to its beginning.
    pub since_ms: u64,
}

/// Searches for the requests with these ids in the lines since a time, in Unix milliseconds.
pub(crate) fn search(directory: &Path, wanted: &HashSet<String>, since_ms: u64) -> io::Result<Searched> {
    let mut searched = Searched { found: HashSet::new(), since_ms: u64::MAX };
    for (_, path) in segment::list(directory)?.into_iter().rev() {
        if segment::is_unused(&path)? {
            continue;
        }
        let (mut begins_ms, mut first) = (None, None);
        let mut reader = LineReader::open(&path, 0)?;
        while let Next::Line(bytes) = reader.read_next()? {
            let Some(line) = Line::parse(bytes) else { continue };
            first.get_or_insert(line.number);
            if line.is_checkpoint() {
                // A segment begins with one.
                let checkpoint = Checkpoint::decode(line.node, &line.fields_json());
                begins_ms = begins_ms.or(checkpoint.map(|checkpoint| checkpoint.time_ms));
            } else if let Some(id) = line.request_id().filter(|id| wanted.contains(id)) {
                searched.found.insert(id);
            }
        }
        // Line 1 begins a chain: what it lacks has no line.
        searched.since_ms =
            if first == Some(1) { 0 } else { searched.since_ms.min(begins_ms.unwrap_or(u64::MAX)) };
        if searched.since_ms <= since_ms {
            break;
        }
    }
    Ok(searched)
}
