//! Reading a file that only petsem's user may read: a key, a PIN.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use petsem_keys::is_open_to_others;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// User id of root, which can read every file anyway.
const ROOT: u32 = 0;

/// Why a file with a secret was not read.
#[derive(Debug)]
#[non_exhaustive]
pub struct PrivateFileError {
    /// Its path.
    pub path: PathBuf,
    /// The fault.
    pub fault: PrivateFileFault,
}

/// What is wrong with a file for a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum PrivateFileFault {
    /// The file does not exist.
    Missing,
    /// The path is a symbolic link.
    Link,
    /// The path is a directory, a device, a FIFO or a socket.
    NotAFile,
    /// The owner is neither petsem's user nor root.
    ForeignOwner {
        /// User id of its owner.
        owner: u32,
        /// Effective user id of this process.
        us: u32,
    },
    /// Group or others have a permission on the file.
    OpenToOthers {
        /// The file's permission bits.
        mode: u32,
    },
    /// The file could not be opened or read.
    Read {
        /// The system's error.
        source: io::Error,
    },
}

/// Reads into `buffer`, without a growing copy, until it is full or the file ends. The file must be a regular
/// one, owned by petsem's user or root, and closed to all other users.
pub(crate) fn read<'a>(path: &Path, buffer: &'a mut [u8]) -> Result<&'a [u8], PrivateFileError> {
    let fail = |fault| PrivateFileError { path: path.into(), fault };
    let mut file = open(path).map_err(fail)?;
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(fail(PrivateFileFault::Read { source })),
        }
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

/// Most bytes that [`without_mark_and_newline`] drops.
pub(crate) const MARK_AND_NEWLINE: usize = 3 + 2;

/// Text as editors write it, without the byte order mark of UTF-8 and one newline at its end.
pub(crate) fn without_mark_and_newline(content: &[u8]) -> &[u8] {
    let text = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    if line.len() < text.len() { line.strip_suffix(b"\r").unwrap_or(line) } else { line }
}

/// The checks use the open file, so it cannot be replaced between check and use.
fn open(path: &Path) -> Result<File, PrivateFileFault> {
    // NONBLOCK: a FIFO in its place must not make this wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::NOENT) => return Err(PrivateFileFault::Missing),
        Err(Errno::LOOP) => return Err(PrivateFileFault::Link),
        Err(errno) => return Err(PrivateFileFault::Read { source: errno.into() }),
    };
    let metadata = file.metadata().map_err(|source| PrivateFileFault::Read { source })?;
    if !metadata.is_file() {
        return Err(PrivateFileFault::NotAFile);
    }
    check_owner(metadata.uid(), rustix::process::geteuid().as_raw())?;
    if is_open_to_others(&file, &metadata) {
        return Err(PrivateFileFault::OpenToOthers { mode: metadata.mode() & 0o7777 });
    }
    Ok(file)
}

/// What to do about a file of another user. As root, petsem was started as the wrong user: its own could not read the file
/// any more if it belonged to root.
pub(crate) fn remedy(path: &Path, us: u32) -> String {
    match us {
        ROOT => "run petsem as that user, not as root".to_owned(),
        _ => format!("`chown {us} {}` after making sure that no other user has read it", path.display()),
    }
}

/// Refuses a file that a user other than `us` and root owns.
fn check_owner(owner: u32, us: u32) -> Result<(), PrivateFileFault> {
    if owner != us && owner != ROOT {
        return Err(PrivateFileFault::ForeignOwner { owner, us });
    }
    Ok(())
}

impl fmt::Display for PrivateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            PrivateFileFault::Missing => write!(f, "there is no file {path}; write it, mode 0600"),
            PrivateFileFault::Link => {
                write!(f, "{path} is a symbolic link; give the path of the file itself")
            }
            PrivateFileFault::NotAFile => write!(f, "{path} is not a regular file; give the path of one"),
            PrivateFileFault::ForeignOwner { owner, us } => write!(
                f,
                "{path} belongs to user {owner}, petsem runs as user {us}; {}",
                remedy(&self.path, *us)
            ),
            PrivateFileFault::OpenToOthers { mode } => write!(
                f,
                "{path} has mode {mode:04o}, others than its owner have access to it; \
                 `chmod 600 {path}`, and change what is in it if another user may have read it"
            ),
            PrivateFileFault::Read { source: _ } => {
                write!(f, "{path} could not be read; let petsem run as the user that owns it")
            }
        }
    }
}

// By hand: the source is that of `fault`, which is not an error itself.
impl Error for PrivateFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            PrivateFileFault::Read { source } => Some(source),
            PrivateFileFault::Missing
            | PrivateFileFault::Link
            | PrivateFileFault::NotAFile
            | PrivateFileFault::ForeignOwner { .. }
            | PrivateFileFault::OpenToOthers { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_user_is_refused_but_one_of_root_is_not() {
        let text = |result: Result<(), PrivateFileFault>| {
            result.map_err(|fault| PrivateFileError { path: "/etc/petsem/pin".into(), fault }.to_string())
        };
        assert_eq!(
            text(check_owner(1001, 1000)),
            Err("/etc/petsem/pin belongs to user 1001, petsem runs as user 1000; `chown 1000 \
                 /etc/petsem/pin` after making sure that no other user has read it"
                .to_owned())
        );
        assert_eq!(
            text(check_owner(1001, 0)),
            Err("/etc/petsem/pin belongs to user 1001, petsem runs as user 0; run petsem as that user, not as root"
                .to_owned())
        );
        assert_eq!(text(check_owner(0, 1000)), Ok(()));
        assert_eq!(text(check_owner(1000, 1000)), Ok(()));
    }
}
