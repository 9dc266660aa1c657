//! Files that hold tokens, keys or values: read only if no other user can read them, and written the same way.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest token file.
pub(crate) const MAX_TOKEN_FILE: usize = 64 * 1024;

/// Means standard input where a file is expected.
pub(crate) const STDIN: &str = "-";

/// Why a file was not read or written. [`crate::messages`] has its text.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum PrivateFileError {
    Open {
        path: PathBuf,
        source: io::Error,
    },
    Read {
        path: PathBuf,
        source: io::Error,
    },
    /// Group or others have access to it.
    OpenToOthers {
        path: PathBuf,
        mode: u32,
    },
    /// It belongs to neither this user nor root.
    ForeignOwner {
        path: PathBuf,
        owner: u32,
    },
    NotAFile {
        path: PathBuf,
    },
    TooLarge {
        path: PathBuf,
        limit: usize,
    },
    NotText {
        path: PathBuf,
    },
    Exists {
        path: PathBuf,
    },
    Write {
        path: PathBuf,
        source: io::Error,
    },
}

impl PrivateFileError {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Open { path, .. }
            | Self::Read { path, .. }
            | Self::OpenToOthers { path, .. }
            | Self::ForeignOwner { path, .. }
            | Self::NotAFile { path }
            | Self::TooLarge { path, .. }
            | Self::NotText { path }
            | Self::Exists { path }
            | Self::Write { path, .. } => path,
        }
    }
}

/// Who else can read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    OwnerOnly,
    /// The permission bits, which give group or others access.
    Others(u32),
}

/// A token or key: refused if any other user has access to the file. Surrounding white space is dropped.
///
/// # Errors
/// [`PrivateFileError`], which never holds any of the content.
pub(crate) fn read_token(path: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    let file = open(path)?;
    let metadata = regular(path, &file)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::OpenToOthers { path: path.into(), mode });
    }
    let this_user = rustix::process::geteuid().as_raw();
    if metadata.uid() != this_user && metadata.uid() != 0 {
        return Err(PrivateFileError::ForeignOwner { path: path.into(), owner: metadata.uid() });
    }
    let bytes = read_bounded(path, file, MAX_TOKEN_FILE)?;
    trimmed_text(&bytes).ok_or_else(|| PrivateFileError::NotText { path: path.into() })
}

/// A file of values or of public data, of at most `limit` bytes, and who else can read it.
///
/// # Errors
/// [`PrivateFileError`], which never holds any of the content.
pub(crate) fn read_bytes(
    path: &Path,
    limit: usize,
) -> Result<(Zeroizing<Vec<u8>>, Exposure), PrivateFileError> {
    let file = open(path)?;
    let mode = file.metadata().map_err(|source| PrivateFileError::Read { path: path.into(), source })?.mode();
    let exposure = if mode & 0o044 == 0 { Exposure::OwnerOnly } else { Exposure::Others(mode & 0o7777) };
    Ok((read_bounded(path, file, limit)?, exposure))
}

/// Everything from a stream, at most `limit` bytes.
///
/// # Errors
/// As [`read_bytes`]; errors have `name` as the path.
pub(crate) fn read_stream(
    name: &Path,
    stream: impl Read,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    read_bounded(name, stream, limit)
}

/// A new file with mode 0600, reserved for content that exists only once. It is deleted if it is dropped empty.
pub(crate) struct Reserved {
    path: PathBuf,
    file: File,
    filled: bool,
}

impl Reserved {
    /// Creates the file, empty. An existing file is not changed.
    ///
    /// # Errors
    /// [`PrivateFileError::Exists`], or the system's error.
    pub(crate) fn new(path: &Path) -> Result<Self, PrivateFileError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => PrivateFileError::Exists { path: path.into() },
            _ => PrivateFileError::Write { path: path.into(), source },
        })?;
        Ok(Self { path: path.into(), file, filled: false })
    }

    /// Writes the content and a newline; both are on the disk when this returns.
    ///
    /// # Errors
    /// The system's error; the file is then deleted.
    pub(crate) fn fill(mut self, content: &[u8]) -> Result<(), PrivateFileError> {
        let written = self.file.write_all(content).and_then(|()| self.file.write_all(b"\n"));
        self.finish(written)
    }

    /// Writes the content and nothing else.
    ///
    /// # Errors
    /// As [`Reserved::fill`].
    pub(crate) fn fill_exactly(mut self, content: &[u8]) -> Result<(), PrivateFileError> {
        let written = self.file.write_all(content);
        self.finish(written)
    }

    fn finish(mut self, written: io::Result<()>) -> Result<(), PrivateFileError> {
        match written.and_then(|()| self.file.sync_all()) {
            Ok(()) => self.filled = true,
            Err(source) => return Err(PrivateFileError::Write { path: self.path.clone(), source }),
        }
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.filled {
            // Half a token is useless, and would block the next attempt.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Replaces a file atomically with one of mode 0600.
///
/// # Errors
/// The system's error; the old file is then unchanged.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let failed = |source| PrivateFileError::Write { path: path.into(), source };
    // Left over if an earlier run was killed.
    let _ = std::fs::remove_file(&beside);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// The text without surrounding white space; `None` if it is not UTF-8.
pub(crate) fn trimmed_text(bytes: &[u8]) -> Option<Zeroizing<String>> {
    std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.trim().to_owned()))
}

fn open(path: &Path) -> Result<File, PrivateFileError> {
    File::open(path).map_err(|source| PrivateFileError::Open { path: path.into(), source })
}

fn regular(path: &Path, file: &File) -> Result<std::fs::Metadata, PrivateFileError> {
    let metadata = file.metadata().map_err(|source| PrivateFileError::Read { path: path.into(), source })?;
    if metadata.is_file() { Ok(metadata) } else { Err(PrivateFileError::NotAFile { path: path.into() }) }
}

/// Reads into one buffer of its final size, because growing would leave copies.
fn read_bounded(
    path: &Path,
    mut stream: impl Read,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let mut buffer = Zeroizing::new(vec![0; limit + 1]);
    let mut filled = 0;
    while let Some(free @ [_, ..]) = buffer.get_mut(filled..) {
        match stream.read(free) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(PrivateFileError::Read { path: path.into(), source }),
        }
    }
    if filled > limit {
        return Err(PrivateFileError::TooLarge { path: path.into(), limit });
    }
    buffer.truncate(filled);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_file_is_read_only_if_no_other_user_has_access() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        Reserved::new(&path).unwrap().fill(b" fm2_abc \r").unwrap();
        assert_eq!(read_token(&path).unwrap().as_str(), "fm2_abc");
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match read_token(&path) {
                Err(PrivateFileError::OpenToOthers { mode: seen, .. }) => assert_eq!(seen, mode),
                other => panic!("{mode:o}: {:?}", other.map(|_| ())),
            }
        }
    }

    #[test]
    fn a_new_file_is_private_and_never_replaces_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        Reserved::new(&path).unwrap().fill(b"first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(matches!(Reserved::new(&path), Err(PrivateFileError::Exists { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"first\n");
    }

    #[test]
    fn a_reserved_file_without_content_is_deleted_on_drop() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let reserved = Reserved::new(&path).unwrap();
        assert!(path.exists());
        drop(reserved);
        assert!(!path.exists());
    }

    #[test]
    fn a_replaced_file_is_private_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("context.toml");
        std::fs::write(&path, "old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn reading_is_bounded_and_reports_who_else_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("values");
        replace(&path, b"12345").unwrap();
        let (bytes, exposure) = read_bytes(&path, 5).unwrap();
        assert_eq!((bytes.as_slice(), exposure), (&b"12345"[..], Exposure::OwnerOnly));
        assert!(matches!(read_bytes(&path, 4), Err(PrivateFileError::TooLarge { limit: 4, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_bytes(&path, 5).unwrap().1, Exposure::Others(0o644));
        assert!(matches!(read_token(directory.path()), Err(PrivateFileError::NotAFile { .. })));
    }
}
