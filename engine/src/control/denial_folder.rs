//! The directory that passes denials to the running server.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};

use petsem_api::{RequestId, RevokeRequest};
use serde::{Deserialize, Serialize};

use crate::records::{RecordCodec, SignedNote};

/// Longest denial or answer, in bytes.
const LONGEST: u64 = 64 * 1024;
/// Most denials processed in one pass.
const MOST: usize = 256;

/// The server's answer to a denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DenialAnswer {
    /// The control feed contains it.
    Taken {
        /// The number of the change.
        number: u64,
    },
    /// It is in force on this node, but the store does not accept writes.
    Held,
    /// It is refused.
    Refused {
        /// Why.
        reason: String,
    },
}

/// `DATA/denials`.
pub struct DenialFolder(PathBuf);

impl DenialFolder {
    /// The directory in a data directory. It need not exist.
    pub fn of(data_directory: &Path) -> Self {
        Self(data_directory.join("denials"))
    }

    /// Writes a denial for the server.
    pub fn put(&self, codec: &RecordCodec, id: RequestId, request: &RevokeRequest) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        // Root may run the command instead of the server's user, which must be able to read the file.
        let (owner, made) = (self.owner()?, std::fs::metadata(&self.0)?);
        if (made.uid(), made.gid()) != owner {
            chown(&self.0, Some(owner.0), Some(owner.1))?;
        }
        self.write(
            &self.path(id, "denial"),
            &codec.write_note(SignedNote::Denial, id, &serde_json::to_vec(request)?),
        )
    }

    /// Writes a denial that was checked: it does not depend on what the store has later.
    pub fn put_checked(
        &self,
        codec: &RecordCodec,
        id: RequestId,
        mut request: RevokeRequest,
    ) -> io::Result<()> {
        request.accept_unknown();
        self.put(codec, id, &request)
    }

    /// The server's answer, if there is one. An answer with a wrong MAC is ignored.
    pub fn read_answer(&self, codec: &RecordCodec, id: RequestId) -> Option<DenialAnswer> {
        let kept = read(&self.path(id, "answer")).ok()?;
        serde_json::from_slice(codec.read_note(SignedNote::DenialAnswer, id, &kept)?).ok()
    }

    /// Deletes the answer.
    pub fn forget_answer(&self, id: RequestId) {
        let _ = std::fs::remove_file(self.path(id, "answer"));
    }

    /// The ids of the denials in the directory.
    ///
    /// # Errors
    /// The system's error.
    pub fn denials(&self) -> io::Result<Vec<RequestId>> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let named = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".denial")?.parse().ok());
        Ok(named.take(MOST).collect())
    }

    /// `None` for a file that no seal of this installation authenticated.
    pub(crate) fn denial(&self, codec: &RecordCodec, id: RequestId) -> io::Result<Option<RevokeRequest>> {
        let kept = read(&self.path(id, "denial"))?;
        let request = codec.read_note(SignedNote::Denial, id, &kept);
        Ok(request.and_then(|request| serde_json::from_slice(request).ok()))
    }

    pub(crate) fn answer(&self, codec: &RecordCodec, id: RequestId, answer: &DenialAnswer) {
        let written = serde_json::to_vec(answer).map_err(io::Error::from).and_then(|json| {
            self.write(&self.path(id, "answer"), &codec.write_note(SignedNote::DenialAnswer, id, &json))
        });
        if let Err(error) = written {
            tracing::warn!(%error, denial = %id, "cannot write the answer to a denial");
        }
    }

    pub(crate) fn remove(&self, id: RequestId) {
        if let Err(error) = std::fs::remove_file(self.path(id, "denial"))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, denial = %id, "cannot remove a processed denial; it will be processed again");
        }
    }

    pub(crate) fn put_aside(&self, id: RequestId) {
        if let Err(error) = std::fs::rename(self.path(id, "denial"), self.path(id, "refused")) {
            tracing::warn!(%error, denial = %id, "cannot put a refused denial aside; it will be refused again");
        }
    }

    fn path(&self, id: RequestId, kind: &str) -> PathBuf {
        self.0.join(format!("{id}.{kind}"))
    }

    /// User and group of the data directory: the server's.
    fn owner(&self) -> io::Result<(u32, u32)> {
        let data_directory = self.0.parent().ok_or(io::ErrorKind::NotFound)?;
        let metadata = std::fs::metadata(data_directory)?;
        Ok((metadata.uid(), metadata.gid()))
    }

    /// Writes a file atomically and durably, readable by the server.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        let (owner, made) = (self.owner()?, file.metadata()?);
        if (made.uid(), made.gid()) != owner {
            fchown(&file, Some(owner.0), Some(owner.1))?;
        }
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(&self.0)?.sync_all()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
