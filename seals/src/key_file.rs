//! The key-file seal: 32 random bytes in a file that only petsem's user can read.
//!
//! The file is two lines, `petsem-key-file-v1` and 64 lowercase hexadecimal digits, so that a person who
//! finds it recognizes it. It is created once, never written again, and read for each use: the process does
//! not hold the key in between. A file that others could read, or that is not a key file of petsem, is
//! refused.

mod error;
mod text;

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use petsem_keys::{Seal, SealContext, SealError, SealKey};
use rand_core::CryptoRng;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::private_file;

pub use error::KeyFileError;

/// The kind of this seal in a store's list of seals.
pub const KEY_FILE_KIND: &str = "key-file";

/// A seal whose key is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Creates a key file, mode 0600, and syncs it and its directory.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] if the path exists, which is not overwritten; [`KeyFileError::Create`] if it
    /// cannot be written, which leaves no file.
    pub fn create(rng: &mut dyn CryptoRng, path: &Path) -> Result<Self, KeyFileError> {
        let key = SealKey::generate(rng);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
            _ => KeyFileError::Create { path: path.into(), source },
        };
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        // Left over if an earlier run was killed; no seal was made with it.
        let _ = fs::remove_file(&draft);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
        if let Err(source) = write_durably(&mut file, &draft, path, &key) {
            drop(file);
            // Best effort: this call created the draft, and the first error is the one to report.
            let _ = fs::remove_file(&draft);
            return Err(failed(source));
        }
        Ok(Self { path: path.into() })
    }

    /// Opens an existing key file, after checking that it can be used.
    ///
    /// # Errors
    /// Every [`KeyFileError`] of reading: missing, a link, another owner, open to others, not a key file.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let key_file = Self { path: path.into() };
        key_file.read_key()?;
        Ok(key_file)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The description of the seal of this file.
    pub(crate) fn description(path: &Path) -> String {
        format!("key file {}", path.display())
    }

    fn read_key(&self) -> Result<SealKey, KeyFileError> {
        // One byte more than a whole file: anything longer is not a key file.
        let mut content = Zeroizing::new([0; text::LENGTH + 1]);
        let content = private_file::read(&self.path, content.as_mut())?;
        SealKey::filled_by(|key| text::parse(content, key))
            .map_err(|text::NotAKeyFile| KeyFileError::Content { path: self.path.clone() })
    }
}

impl Seal for KeyFile {
    fn kind(&self) -> &'static str {
        KEY_FILE_KIND
    }

    fn describe(&self) -> String {
        Self::description(&self.path)
    }

    fn new_key(
        &self,
        _rng: &mut dyn CryptoRng,
        _context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError> {
        Ok((Vec::new(), self.read_key()?))
    }

    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        _context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError> {
        Ok((self.read_key()?, wrapped))
    }
}

/// Writes the draft and gives it its name, which no file has yet: a kill leaves a whole key file or none.
fn write_durably(file: &mut File, draft: &Path, path: &Path, key: &SealKey) -> io::Result<()> {
    file.write_all(text::print(key).as_slice())?;
    file.sync_all()?;
    match rustix::fs::renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE) {
        // Some file systems, such as NFS, cannot rename so.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(draft, path).and_then(|()| fs::remove_file(draft))?
        }
        renamed => renamed?,
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}
