//! Moves a log that its node cannot continue out of the way. Nothing in it is changed or deleted.

use std::fs::{self, DirBuilder, File};
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

/// Moves the files of the log in `directory` into the folder `chain-N` in it, or `chain-N.2` and so on if that exists.
/// `None` if there are none, here or in such a folder.
///
/// # Errors
/// The directory is in use, or a file cannot be moved.
pub fn set_aside(directory: &Path, chain: u64) -> Result<Option<SetAside>, AuditOpenError> {
    let _lock = claim(directory)?;
    let files = at_path(directory, segment::list(directory))?;
    let folders = at_path(directory, folders_of(directory, chain))?;
    let mut last_segment = files.last().map_or(0, |(number, _)| *number);
    for folder in &folders {
        let moved = at_path(folder, segment::list(folder))?;
        last_segment = last_segment.max(moved.last().map_or(0, |(number, _)| *number));
    }
    let Some(folder) =
        (if files.is_empty() { folders.last().cloned() } else { free_folder(directory, chain) })
    else {
        return Ok(None);
    };
    at_path(&folder, move_all(&files, directory, &folder))?;
    Ok(Some(SetAside { folder, last_segment }))
}

/// Whether files of this chain were moved by an earlier call.
pub fn is_set_aside(directory: &Path, chain: u64) -> bool {
    folders_of(directory, chain).is_ok_and(|folders| !folders.is_empty())
}

/// The folders that have files of this chain from earlier calls.
fn folders_of(directory: &Path, chain: u64) -> io::Result<Vec<PathBuf>> {
    let (first, more) = (format!("chain-{chain}"), format!("chain-{chain}."));
    let mut folders = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if (name == first || name.starts_with(&more)) && path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The first folder for this chain that does not exist yet.
fn free_folder(directory: &Path, chain: u64) -> Option<PathBuf> {
    let names = std::iter::once(format!("chain-{chain}"))
        .chain((2..).map(|again: u32| format!("chain-{chain}.{again}")));
    names.map(|name| directory.join(name)).find(|path| !path.exists())
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
