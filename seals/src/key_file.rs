//! The key-file seal: 32 random bytes in a file that only petsem's user can read.
//!
//! The file is two lines, `petsem-key-file-v1` and 64 lowercase hexadecimal digits, so that whoever
//! finds it knows what it is. It is made once, never written again, and read anew for each use: the
//! process does not hold the key in between. A file that others could read, or that is not plainly
//! a file of ours, is refused rather than used.

mod error;
mod text;

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use petsem_keys::{RootKey, Seal, SealContext, SealError, SealKey};
use rand_core::CryptoRng;
use rustix::fs::OFlags;
use rustix::io::Errno;
use zeroize::Zeroizing;

pub use error::KeyFileError;

/// The kind of this seal in a store's list of seals.
pub const KEY_FILE_KIND: &str = "key-file";

/// Permission bits that would let anybody but the owner at the file.
const OTHERS: u32 = 0o077;

/// User id of root, who can read every file anyway.
const ROOT: u32 = 0;

/// A seal whose key lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Makes a new key file, mode 0600, and syncs it and its directory.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] if there is anything at `path`, which stays as it is;
    /// [`KeyFileError::Create`] if it cannot be written, which leaves nothing behind.
    pub fn create(rng: &mut dyn CryptoRng, path: &Path) -> Result<Self, KeyFileError> {
        let key = SealKey::generate(rng);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| {
                match source.kind() {
                    io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
                    _ => KeyFileError::Create { path: path.into(), source },
                }
            })?;
        if let Err(source) = write_durably(&mut file, path, &key) {
            drop(file);
            // Best effort: what was half written is ours, and the first error is the one to tell.
            let _ = fs::remove_file(path);
            return Err(KeyFileError::Create { path: path.into(), source });
        }
        Ok(Self { path: path.into() })
    }

    /// An existing key file, after checking that it can be used.
    ///
    /// # Errors
    /// Every [`KeyFileError`] of reading: missing, a link, foreign, open to others, not a key file.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let key_file = Self { path: path.into() };
        key_file.read_key()?;
        Ok(key_file)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read_key(&self) -> Result<SealKey, KeyFileError> {
        let mut file = open_private(&self.path)?;
        // One byte more than a whole file: what is longer is no key file.
        let mut content = Zeroizing::new([0; text::LENGTH + 1]);
        let length = read_up_to(&mut file, content.as_mut())
            .map_err(|source| KeyFileError::Read { path: self.path.clone(), source })?;
        let content = content.get(..length).unwrap_or_default();
        SealKey::filled_by(|key| text::parse(content, key))
            .map_err(|text::NotAKeyFile| KeyFileError::Content { path: self.path.clone() })
    }
}

impl Seal for KeyFile {
    fn kind(&self) -> &'static str {
        KEY_FILE_KIND
    }

    fn describe(&self) -> String {
        format!("key file {}", self.path.display())
    }

    fn wrap(
        &self,
        rng: &mut dyn CryptoRng,
        root: &RootKey,
        context: &SealContext,
    ) -> Result<Vec<u8>, SealError> {
        self.read_key()?
            .wrap_root_key(rng, root, context)
            .map_err(|source| SealError::Wrap { seal: self.describe(), source })
    }

    fn unwrap(&self, wrapped: &[u8], context: &SealContext) -> Result<RootKey, SealError> {
        self.read_key()?
            .unwrap_root_key(wrapped, context)
            .map_err(|source| SealError::NotItsWrap { seal: self.describe(), source })
    }
}

fn write_durably(file: &mut File, path: &Path, key: &SealKey) -> io::Result<()> {
    file.write_all(text::print(key).as_slice())?;
    file.sync_all()?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

/// Opens a regular file that is ours (or root's) and closed to everybody else. The checks are made
/// on the open file, so nothing can be put in its place between check and use.
fn open_private(path: &Path) -> Result<File, KeyFileError> {
    // NONBLOCK: a FIFO in its place must not make us wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::NOENT) => return Err(KeyFileError::Missing { path: path.into() }),
        Err(Errno::LOOP) => return Err(KeyFileError::Link { path: path.into() }),
        Err(errno) => return Err(KeyFileError::Read { path: path.into(), source: errno.into() }),
    };
    let metadata = file.metadata().map_err(|source| KeyFileError::Read { path: path.into(), source })?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile { path: path.into() });
    }
    check_access(path, metadata.uid(), rustix::process::geteuid().as_raw(), metadata.mode() & 0o7777)?;
    Ok(file)
}

/// Refuses a file that a user other than `us` and root owns, or that others have a permission on.
fn check_access(path: &Path, owner: u32, us: u32, mode: u32) -> Result<(), KeyFileError> {
    if owner != us && owner != ROOT {
        return Err(KeyFileError::ForeignOwner { path: path.into(), owner, us });
    }
    if mode & OTHERS != 0 {
        return Err(KeyFileError::OpenToOthers { path: path.into(), mode });
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends, without a growing copy of the key.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
