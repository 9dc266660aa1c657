//! Files that hold tokens, keys or values: read only if no other user can read them, and written the same way.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use petsem_keys::is_open_to_others;
use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Longest token file.
pub(crate) const MAX_TOKEN_FILE: usize = 64 * 1024;

/// The byte order mark of UTF-8, which some editors write.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
    /// Neither a regular file nor a pipe.
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
    /// It is UTF-16, as some editors write it.
    Utf16 {
        path: PathBuf,
    },
    Exists {
        path: PathBuf,
    },
    /// Another file got this name meanwhile. What was to be written exists only once, so it is in `kept`, a new file beside.
    Beside {
        path: PathBuf,
        kept: PathBuf,
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
            | Self::Utf16 { path }
            | Self::Exists { path }
            | Self::Beside { path, .. }
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

/// A token or key from a file or a pipe: refused if any other user has access to it. Surrounding white space is dropped.
///
/// # Errors
/// [`PrivateFileError`], which never holds any of the content.
pub(crate) fn read_token(path: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    let bytes = read_private(path, MAX_TOKEN_FILE)?;
    trimmed_text(path, &bytes)
}

/// A file or pipe of at most `limit` bytes, as it is: refused if any other user has access to it.
///
/// # Errors
/// [`PrivateFileError`], which never holds any of the content.
pub(crate) fn read_private(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let file = open(path)?;
    let metadata = file_or_pipe(path, &file)?;
    if is_open_to_others(&file, &metadata) {
        let mode = metadata.mode() & 0o7777;
        return Err(PrivateFileError::OpenToOthers { path: path.into(), mode });
    }
    let this_user = rustix::process::geteuid().as_raw();
    if metadata.uid() != this_user && metadata.uid() != 0 {
        return Err(PrivateFileError::ForeignOwner { path: path.into(), owner: metadata.uid() });
    }
    read_bounded(path, file, limit)
}

/// Whether this is a pipe, such as `<(…)` of a shell.
pub(crate) fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
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
    let metadata = file.metadata().map_err(|source| PrivateFileError::Read { path: path.into(), source })?;
    let mode = metadata.mode();
    let exposure = match mode & 0o044 != 0 && is_open_to_others(&file, &metadata) {
        true => Exposure::Others(mode & 0o7777),
        false => Exposure::OwnerOnly,
    };
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

/// A new file with mode 0600, reserved for content that exists only once. It gets its name with its content: a command
/// that is killed meanwhile leaves no empty file, which would block the next attempt.
pub(crate) struct Reserved {
    path: PathBuf,
    file: File,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The file has no name yet.
    Unnamed,
    /// The file system has no files without a name: it has one, and is deleted if it is dropped empty.
    Named,
    Filled,
}

impl Reserved {
    /// Creates the file, empty. An existing file is not changed, unless it is one that a killed command left empty.
    ///
    /// # Errors
    /// [`PrivateFileError::Exists`], or the system's error.
    pub(crate) fn new(path: &Path) -> Result<Self, PrivateFileError> {
        if path.symlink_metadata().is_ok() {
            let left = left_empty(path).ok_or_else(|| PrivateFileError::Exists { path: path.into() })?;
            return Self::locked(path, left);
        }
        match Self::unnamed(path) {
            Ok(file) => Ok(Self { path: path.into(), file, state: State::Unnamed }),
            Err(_) => Self::named(path),
        }
    }

    fn unnamed(path: &Path) -> io::Result<File> {
        let flags = i32::try_from(OFlags::TMPFILE.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new().write(true).mode(0o600).custom_flags(flags).open(parent(path))?;
        // The way to its name.
        through_proc(&file).symlink_metadata()?;
        Ok(file)
    }

    /// Locked until it is filled: a second command must not take it for one that was left.
    fn locked(path: &Path, file: File) -> Result<Self, PrivateFileError> {
        match file.try_lock() {
            // Some file systems have no locks. Another command may have filled it before this one had the lock.
            Ok(()) | Err(TryLockError::Error(_)) if file.metadata().is_ok_and(|now| now.len() == 0) => {
                Ok(Self { path: path.into(), file, state: State::Named })
            }
            _ => Err(PrivateFileError::Exists { path: path.into() }),
        }
    }

    fn named(path: &Path) -> Result<Self, PrivateFileError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let failed = |source| PrivateFileError::Write { path: path.into(), source };
        let file = file.map_err(failed)?;
        sync_parent(path).map_err(failed)?;
        Self::locked(path, file)
    }

    /// Writes the content and a newline; both are on the disk when this returns.
    ///
    /// # Errors
    /// [`PrivateFileError::Beside`] if the path is another file by now; the system's error, and then the file is deleted.
    pub(crate) fn fill(self, content: &[u8]) -> Result<(), PrivateFileError> {
        self.finish([content, b"\n"])
    }

    /// Writes the content and nothing else.
    ///
    /// # Errors
    /// As [`Reserved::fill`].
    pub(crate) fn fill_exactly(self, content: &[u8]) -> Result<(), PrivateFileError> {
        self.finish([content, b""])
    }

    fn finish(mut self, content: [&[u8]; 2]) -> Result<(), PrivateFileError> {
        let failed = |path: &Path, source| PrivateFileError::Write { path: path.into(), source };
        write_all(&mut self.file, content).map_err(|source| failed(&self.path, source))?;
        match self.state {
            State::Unnamed => {
                match linkat(CWD, through_proc(&self.file), CWD, &self.path, AtFlags::SYMLINK_FOLLOW) {
                    Ok(()) => sync_parent(&self.path).map_err(|source| failed(&self.path, source))?,
                    Err(Errno::EXIST) => return Err(beside(&self.path, content)),
                    Err(error) => return Err(failed(&self.path, error.into())),
                }
            }
            State::Named if !self.is_at_its_path() => return Err(beside(&self.path, content)),
            State::Named | State::Filled => {}
        }
        self.state = State::Filled;
        Ok(())
    }

    /// Whether the path still names this file.
    fn is_at_its_path(&self) -> bool {
        let inode = |metadata: io::Result<Metadata>| metadata.map(|found| (found.dev(), found.ino())).ok();
        let own = inode(self.file.metadata());
        own.is_some() && own == inode(self.path.symlink_metadata())
    }
}

fn write_all(file: &mut File, content: [&[u8]; 2]) -> io::Result<()> {
    content.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

/// Names that are tried for a file beside another one.
const MOST_BESIDE: u32 = 1000;

/// Writes to the first free name beside the path: `PATH.1`, `PATH.2` and so on.
fn beside(path: &Path, content: [&[u8]; 2]) -> PrivateFileError {
    for number in 1..=MOST_BESIDE {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        let kept = PathBuf::from(name);
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&kept);
        let written = created.and_then(|mut file| {
            write_all(&mut file, content)?;
            sync_parent(&kept)
        });
        match written {
            Ok(()) => return PrivateFileError::Beside { path: path.into(), kept },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return PrivateFileError::Write { path: kept, source },
        }
    }
    PrivateFileError::Exists { path: path.into() }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// Makes the file's name durable: fsync(2) of a file leaves out its directory.
fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

/// The path of an open file, as open(2) has it for `O_TMPFILE`.
fn through_proc(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.state == State::Named && self.is_at_its_path() {
            // Half a token is useless, and would block the next attempt.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The file, if it is empty, private and of this user.
fn left_empty(path: &Path) -> Option<File> {
    // Opening a pipe would wait for its reader.
    path.symlink_metadata().ok().filter(|metadata| metadata.is_file() && metadata.len() == 0)?;
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).ok()?;
    let file = OpenOptions::new().write(true).custom_flags(no_link).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let this_user = rustix::process::geteuid().as_raw();
    let is_left = metadata.is_file()
        && metadata.len() == 0
        && metadata.uid() == this_user
        && !is_open_to_others(&file, &metadata);
    is_left.then_some(file)
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

/// The text without a byte order mark and surrounding white space. Errors have `name` as the path.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn trimmed_text(name: &Path, bytes: &[u8]) -> Result<Zeroizing<String>, PrivateFileError> {
    if is_utf16(bytes) {
        return Err(PrivateFileError::Utf16 { path: name.into() });
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| PrivateFileError::NotText { path: name.into() })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Whether text looks like UTF-16: it has the byte order mark of that, or begins with one letter in two bytes.
pub(crate) fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    }
}

fn open(path: &Path) -> Result<File, PrivateFileError> {
    File::open(path).map_err(|source| PrivateFileError::Open { path: path.into(), source })
}

/// A pipe is read only once, so nobody else reads what this command read.
fn file_or_pipe(path: &Path, file: &File) -> Result<Metadata, PrivateFileError> {
    let metadata = file.metadata().map_err(|source| PrivateFileError::Read { path: path.into(), source })?;
    if metadata.is_file() || metadata.file_type().is_fifo() {
        Ok(metadata)
    } else {
        Err(PrivateFileError::NotAFile { path: path.into() })
    }
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
    fn a_private_file_that_was_left_empty_is_taken_and_no_other_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let exists = |path: &Path| matches!(Reserved::new(path), Err(PrivateFileError::Exists { .. }));
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(exists(&path), "others can read it");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(exists(&link));
        let reserved = Reserved::new(&path).unwrap();
        assert!(exists(&path), "another command is about to fill it");
        reserved.fill(b"first").unwrap();
        assert!(exists(&path));
        assert_eq!(std::fs::read(&path).unwrap(), b"first\n");
    }

    #[test]
    fn a_reserved_file_has_no_name_before_its_content_so_a_killed_command_leaves_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let reserved = Reserved::new(&path).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        // As if the process ended: nothing is cleaned up.
        std::mem::forget(reserved);
        Reserved::new(&path).unwrap().fill(b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second\n");
    }

    /// What a token is written to exists before the token, and the token only once.
    #[test]
    fn where_another_file_appears_meanwhile_what_was_made_is_kept_beside_it() {
        let ways = [Reserved::new as fn(&Path) -> Result<Reserved, PrivateFileError>, Reserved::named];
        for reserve in ways {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("token");
            let replace = || {
                let other = directory.path().join("other");
                std::fs::write(&other, "of another").unwrap();
                std::fs::rename(&other, &path).unwrap();
            };
            for (number, content) in [(1, b"late"), (2, b"more")] {
                let reserved = reserve(&path).unwrap();
                replace();
                let kept = directory.path().join(format!("token.{number}"));
                match reserved.fill(content) {
                    Err(PrivateFileError::Beside { kept: named, .. }) => assert_eq!(named, kept),
                    other => panic!("{other:?}"),
                }
                assert_eq!(std::fs::read(&path).unwrap(), b"of another");
                assert_eq!(read_token(&kept).unwrap().as_bytes(), content);
                std::fs::remove_file(&path).unwrap();
            }
            // Nor is the other file deleted if nothing was made.
            let reserved = reserve(&path).unwrap();
            replace();
            drop(reserved);
            assert_eq!(std::fs::read(&path).unwrap(), b"of another");
        }
    }

    #[test]
    fn where_files_need_a_name_one_without_content_is_deleted_on_drop() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let reserved = Reserved::named(&path).unwrap();
        assert!(path.exists());
        drop(reserved);
        assert!(!path.exists());
        Reserved::named(&path).unwrap().fill(b"whole").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole\n");
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
