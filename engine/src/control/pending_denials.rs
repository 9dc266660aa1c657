//! Denials: revocations that reach the running server through a file in its data directory, without the API and
//! without the primary (design §7).
//!
//! `DATA/denials/ID.denial` holds a [`RevokeRequest`] with a MAC of the row-MAC key: nobody without a seal writes
//! one that counts. The server looks twice a second, refuses at once what it finds, and then writes it into the
//! control feed, whose changes are numbered without gaps: from there on nobody takes it away unseen. `ID.answer`
//! tells the command so, again with a MAC; whoever merely removes the file makes nobody believe that it was taken.
//! Until the feed has it the server keeps it in memory, tries again, and shows it in `/readyz`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use petsem_api::{ErrorCode, RequestId, RevokeRequest};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Failure;
use crate::request::{AuditRecord, outcome_of};
use crate::records::{FeedRow, RecordCodec, SignedNote};
use crate::request::local_record;
use petsem_audit::Outcome;

/// Longest denial or answer, in bytes.
const LONGEST: u64 = 64 * 1024;
/// Denials that are taken at once.
const MOST: usize = 256;

/// What the server says to a denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum DenialAnswer {
    /// It stands in the control feed.
    Taken {
        /// The number of the change.
        number: u64,
    },
    /// It is in force on this node; the store takes no writes.
    Held,
    /// It cannot be done.
    Refused {
        /// Why.
        reason: String,
    },
}

/// The denials of this node.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    rows: Mutex<Vec<FeedRow>>,
    waiting: Mutex<BTreeMap<RequestId, RevokeRequest>>,
    /// Those that lie there and cannot be read.
    unread: Mutex<BTreeSet<RequestId>>,
}

impl Denials {
    /// What is denied here, whether the feed has it or not.
    pub(crate) fn rows(&self) -> Vec<FeedRow> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Denies.
    pub(crate) fn add(&self, row: FeedRow) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }

    /// What an operator must know of them.
    pub(crate) fn problem(&self) -> Option<String> {
        let unread = self.unread().len();
        if unread > 0 {
            return Some(format!(
                "{unread} denials cannot be read, so they are not in force; the log says why, and who must own them"
            ));
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
        (waiting > 0).then(|| {
            format!(
                "{waiting} denials are in force on this node alone; the store must take writes for the others"
            )
        })
    }

    fn unread(&self) -> MutexGuard<'_, BTreeSet<RequestId>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> BTreeMap<RequestId, RevokeRequest> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wait(&self, id: RequestId, request: RevokeRequest) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, request);
    }

    /// The feed has it. When it has all of them, the state of control has them from there.
    fn done(&self, id: RequestId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&id);
        if waiting.is_empty() {
            self.rows.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Engine {
    /// Takes what lies in the directory of denials. What goes wrong is logged; the next turn tries again.
    pub(crate) async fn take_denials(&self) {
        let folder = DenialFolder::of(&self.settings.data_directory);
        let found = match folder.denials() {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the directory of denials cannot be read");
                return;
            }
        };
        self.denials.unread().retain(|id| found.contains(id));
        for id in found {
            if self.denials.waiting().contains_key(&id) {
                continue;
            }
            match folder.denial(&self.codec, id) {
                Ok(Some(request)) => {
                    self.denials.unread().remove(&id);
                    self.take(&folder, id, request).await;
                }
                Ok(None) => {
                    tracing::error!(denial = %id, "a file among the denials is none of ours, and is put aside");
                    folder.put_aside(id);
                }
                // It may be one of ours, so it stays; it is told once.
                Err(error) => {
                    if self.denials.unread().insert(id) {
                        tracing::error!(
                            %error,
                            denial = %id,
                            "a denial cannot be read, so it is not in force; the user that runs the server must own it"
                        );
                    }
                }
            }
        }
        for (id, request) in self.denials.waiting() {
            self.keep(&folder, id, &request).await;
        }
    }

    /// Refuses at once what a denial names, then sees to it that the feed has it.
    async fn take(&self, folder: &DenialFolder, id: RequestId, request: RevokeRequest) {
        let mut audit = local_record(self.now(), "operator.deny");
        match self.denial_row(&mut audit, &request).await {
            Ok(row) => {
                self.deny(row);
                self.denials.wait(id, request.clone());
                tracing::warn!(denial = %id, "a denial is in force on this node");
                if !self.keep(folder, id, &request).await {
                    self.note(&audit, None).await;
                    folder.answer(&self.codec, id, &DenialAnswer::Held);
                }
            }
            Err(failure) if failure.code() == ErrorCode::StoreUnavailable => {
                tracing::error!(
                    denial = %id,
                    reason = failure.internal_text().unwrap_or(failure.external()),
                    "a denial cannot be looked up in the store; it stays there, and is taken when it can"
                );
            }
            Err(failure) => {
                // Whoever asked may be gone: it may have lain there while the server was sealed.
                tracing::warn!(
                    denial = %id,
                    reason = failure.internal_text().unwrap_or(failure.external()),
                    "a denial is refused"
                );
                self.note(&audit, Some(&failure)).await;
                folder.answer(
                    &self.codec,
                    id,
                    &DenialAnswer::Refused { reason: failure.external().to_owned() },
                );
                folder.remove(id);
            }
        }
    }

    /// Writes a denial into the control feed, if that can be done now.
    async fn keep(&self, folder: &DenialFolder, id: RequestId, request: &RevokeRequest) -> bool {
        let mut audit = local_record(self.now(), "operator.deny");
        let kept = async {
            let row = self.denial_row(&mut audit, request).await?;
            self.commit_control(&mut audit, &[row], |_| {}).await
        };
        match kept.await {
            Ok(number) => {
                self.note(&audit, None).await;
                self.denials.done(id);
                folder.answer(&self.codec, id, &DenialAnswer::Taken { number });
                folder.remove(id);
                true
            }
            Err(failure) => {
                tracing::debug!(
                    denial = %id,
                    reason = failure.internal_text().unwrap_or(failure.external()),
                    "a denial waits for the store"
                );
                false
            }
        }
    }

    /// The control change of a denial.
    pub(crate) async fn denial_row(
        &self,
        audit: &mut AuditRecord,
        request: &RevokeRequest,
    ) -> Result<FeedRow, Failure> {
        let app = match request {
            RevokeRequest::Machine { app, .. } => self.find_app(app).await?,
            _ => None,
        };
        self.revocation(audit, request, app.as_ref(), self.now()).await
    }

    async fn note(&self, audit: &AuditRecord, failure: Option<&Failure>) {
        let event = audit.event(failure.map_or(Outcome::Allowed, outcome_of), failure);
        match (self.audit(event.clone()).await, audit.revision()) {
            (Ok(()), Some(revision)) => self.store.audited(self.node, &[revision]),
            (Err(_), Some(revision)) => self.defer_audit(revision, event),
            (Err(failure), None) => tracing::error!(
                reason = failure.internal_text().unwrap_or_default(),
                "a denial has no audit line"
            ),
            (Ok(()), None) => {}
        }
    }
}

/// `DATA/denials`.
pub(crate) struct DenialFolder(PathBuf);

impl DenialFolder {
    /// The directory in a data directory; it need not be there.
    pub(crate) fn of(data_directory: &Path) -> Self {
        Self(data_directory.join("denials"))
    }

    /// Hands a denial to the server.
    pub(crate) fn put(&self, codec: &RecordCodec, id: RequestId, request: &RevokeRequest) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        // Root may deny in the place of the server's own user, who must be able to read it.
        let (owner, made) = (self.owner()?, std::fs::metadata(&self.0)?);
        if (made.uid(), made.gid()) != owner {
            chown(&self.0, Some(owner.0), Some(owner.1))?;
        }
        self.write(
            &self.path(id, "denial"),
            &codec.write_note(SignedNote::Denial, id, &serde_json::to_vec(request)?),
        )
    }

    /// The server's answer, if it is there. One with a wrong MAC is none.
    pub(crate) fn read_answer(&self, codec: &RecordCodec, id: RequestId) -> Option<DenialAnswer> {
        let kept = read(&self.path(id, "answer")).ok()?;
        serde_json::from_slice(codec.read_note(SignedNote::DenialAnswer, id, &kept)?).ok()
    }

    /// Takes the answer away.
    pub(crate) fn forget_answer(&self, id: RequestId) {
        let _ = std::fs::remove_file(self.path(id, "answer"));
    }

    /// Ids of the denials that lie there.
    fn denials(&self) -> io::Result<Vec<RequestId>> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let named = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".denial")?.parse().ok());
        Ok(named.take(MOST).collect())
    }

    /// `None` for what no seal of this installation has made.
    fn denial(&self, codec: &RecordCodec, id: RequestId) -> io::Result<Option<RevokeRequest>> {
        let kept = read(&self.path(id, "denial"))?;
        let request = codec.read_note(SignedNote::Denial, id, &kept);
        Ok(request.and_then(|request| serde_json::from_slice(request).ok()))
    }

    fn answer(&self, codec: &RecordCodec, id: RequestId, answer: &DenialAnswer) {
        let written = serde_json::to_vec(answer).map_err(io::Error::from).and_then(|json| {
            self.write(&self.path(id, "answer"), &codec.write_note(SignedNote::DenialAnswer, id, &json))
        });
        if let Err(error) = written {
            tracing::warn!(%error, denial = %id, "the answer to a denial was not written");
        }
    }

    fn remove(&self, id: RequestId) {
        if let Err(error) = std::fs::remove_file(self.path(id, "denial"))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, denial = %id, "a denial that was taken is not removed; it is taken again");
        }
    }

    fn put_aside(&self, id: RequestId) {
        let _ = std::fs::rename(self.path(id, "denial"), self.path(id, "refused"));
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

    /// Whole or not at all, durable, and for the server to read.
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
