//! Files that hold tokens, keys or values: read only where nobody else can, written so that nobody else can.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest token file.
pub(crate) const MAX_TOKEN_FILE: usize = 64 * 1024;

/// Why a file was not read or written.
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
    /// Group or others have rights on it.
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

/// Who else may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    OwnerOnly,
    /// The permission bits, which let group or others in.
    Others(u32),
}

/// A token or key: refused when anybody else has any right on the file. Surrounding white space is dropped.
///
/// # Errors
/// [`PrivateFileError`]; never with any of the content.
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

/// A file of values or of public data, of at most `limit` bytes, and who else may read it.
///
/// # Errors
/// [`PrivateFileError`]; never with any of the content.
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
/// As [`read_bytes`]; `name` stands for the path.
pub(crate) fn read_stream(
    name: &Path,
    stream: impl Read,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    read_bounded(name, stream, limit)
}

/// A new file with mode 0600, on the disk when this returns. A file that is there already is left alone.
///
/// # Errors
/// [`PrivateFileError::Exists`], or what the system said.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => PrivateFileError::Exists { path: path.into() },
        _ => PrivateFileError::Write { path: path.into(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|source| {
        // Half a token helps nobody, and would stand in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        PrivateFileError::Write { path: path.into(), source }
    })
}

/// The text without the white space around it; `None` where it is not UTF-8.
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

/// Reads into one buffer of its final size, so that growing leaves no copies behind.
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
    fn a_token_file_is_read_only_when_its_owner_alone_has_rights() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        write_new(&path, b" fm2_abc \r\n").unwrap();
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
        write_new(&path, b"first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(matches!(write_new(&path, b"second"), Err(PrivateFileError::Exists { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn reading_is_bounded_and_says_who_else_may() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("values");
        write_new(&path, b"12345").unwrap();
        let (bytes, exposure) = read_bytes(&path, 5).unwrap();
        assert_eq!((bytes.as_slice(), exposure), (&b"12345"[..], Exposure::OwnerOnly));
        assert!(matches!(read_bytes(&path, 4), Err(PrivateFileError::TooLarge { limit: 4, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_bytes(&path, 5).unwrap().1, Exposure::Others(0o644));
        assert!(matches!(read_token(directory.path()), Err(PrivateFileError::NotAFile { .. })));
    }
}
