//! Moves a log that its node cannot continue out of the way. Nothing in it is changed or deleted.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::AuditOpenError;
use crate::open::{at_path, claim};
use crate::segment;

/// The files of a log that were moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The folder that has them now.
    pub folder: PathBuf,
    /// The highest number of a file.
    pub last_segment: u64,
}

/// Moves the files of the log in `directory` into the folder `chain-N` in it; `None` if it has none. If a call is
/// interrupted, the next one moves the rest.
///
/// # Errors
/// The directory is in use, or a file cannot be moved.
pub fn set_aside(directory: &Path, chain: u64) -> Result<Option<SetAside>, AuditOpenError> {
    let _lock = claim(directory)?;
    let files = at_path(directory, segment::list(directory))?;
    let Some((last_segment, _)) = files.last() else { return Ok(None) };
    let moved = SetAside { folder: directory.join(format!("chain-{chain}")), last_segment: *last_segment };
    at_path(&moved.folder, move_all(&files, directory, &moved.folder))?;
    Ok(Some(moved))
}

fn move_all(files: &[(u64, PathBuf)], directory: &Path, folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for (_, path) in files {
        let name = path.file_name().unwrap_or_default();
        // Never onto a file of an earlier call: it is evidence.
        renameat_with(CWD, path, CWD, folder.join(name), RenameFlags::NOREPLACE)?;
    }
    File::open(folder)?.sync_all()?;
    File::open(directory)?.sync_all()
}
