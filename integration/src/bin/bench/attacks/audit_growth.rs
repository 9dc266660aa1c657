//! What a phase adds to the audit log, by what the lines say. Only the lines that the attacker caused count against it:
//! boots have their own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Lines and bytes, by action and outcome.
pub(super) type Growth = BTreeMap<String, (u64, u64)>;

/// Reads the log from where it ended last time.
pub(super) struct AuditGrowth {
    directory: PathBuf,
    /// How far each segment was read.
    read: BTreeMap<PathBuf, u64>,
}

impl AuditGrowth {
    pub(super) fn of(directory: PathBuf) -> Self {
        Self { directory, read: BTreeMap::new() }
    }

    /// The lines since the last call.
    pub(super) fn since_last(&mut self) -> Result<Growth, Failure> {
        let failed = |path: &Path, error: std::io::Error| Failure::system(path.display(), &error);
        let entries = std::fs::read_dir(&self.directory).map_err(|error| failed(&self.directory, error))?;
        let mut growth = Growth::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let read = self.read.entry(path.clone()).or_default();
            let mut file = std::fs::File::open(&path).map_err(|error| failed(&path, error))?;
            file.seek(SeekFrom::Start(*read)).map_err(|error| failed(&path, error))?;
            let mut file = BufReader::with_capacity(1 << 20, file);
            let mut line = Vec::new();
            loop {
                // The rest of a segment is zeros; a line that is not complete has no end.
                if file
                    .fill_buf()
                    .map_err(|error| failed(&path, error))?
                    .first()
                    .is_none_or(|byte| *byte == 0)
                {
                    break;
                }
                line.clear();
                let length = file.read_until(b'\n', &mut line).map_err(|error| failed(&path, error))? as u64;
                if line.last() != Some(&b'\n') || line.contains(&0) {
                    break;
                }
                *read += length;
                let entry = growth.entry(kind(&line)).or_default();
                *entry = (entry.0 + 1, entry.1 + length);
            }
        }
        Ok(growth)
    }
}

/// The action and outcome of a line.
fn kind(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let field =
        |name: &str| text.split(name).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    match field("\"action\":\"") {
        "" => "checkpoint".to_owned(),
        action => format!("{action} {}", field("\"outcome\":\"")),
    }
}
