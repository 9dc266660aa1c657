//! Denials: revocations that reach the running server through a file in its data directory, without the API and
//! without the primary (design §7).
//!
//! `DATA/denials/ID.denial` holds a [`RevokeRequest`] with a MAC of the row-MAC key: nobody without a seal writes
//! one that counts. The server looks twice a second, refuses at once what it finds, and then writes it into the
//! control feed, whose changes are numbered without gaps: from there on nobody takes it away unseen. `ID.answer`
//! tells the command so, again with a MAC; whoever merely removes the file makes nobody believe that it was taken.
//! Until the feed has it the server keeps it in memory, tries again, and shows it in `/readyz`.

use petsem_api::{ErrorCode, RequestId, RevokeRequest};
use petsem_audit::Outcome;

use crate::control::denial_folder::{DenialAnswer, DenialFolder};
use crate::engine::Engine;
use crate::error::Failure;
use crate::records::FeedRow;
use crate::request::{AuditRecord, local_record, outcome_of};

/// What became of a denial at the node.
#[derive(Debug)]
pub enum DenialOutcome {
    /// It is in the control feed, under this number.
    InFeed(u64),
    /// The store takes no writes: the denial lies in the data directory, for the next start.
    Kept,
}

/// Why a denial was not made.
#[derive(Debug)]
pub enum DenialError {
    /// It is refused.
    Refused(Failure),
    /// It could not be written to the data directory.
    NotWritten(std::io::Error),
}

impl Engine {
    /// Denies at once: in the control feed, or in the data directory if the store takes no writes.
    ///
    /// # Errors
    /// [`DenialError`]; nothing was denied then.
    pub async fn deny_now(&self, request: &RevokeRequest) -> Result<DenialOutcome, DenialError> {
        let mut audit = local_record(self.now(), "operator.deny");
        let denied = async {
            let row = self.denial_row(&mut audit, request).await?;
            self.commit_control(&mut audit, &[row], |_| {}).await
        }
        .await;
        match denied {
            Ok(number) => {
                self.record(&audit).await.map_err(DenialError::Refused)?;
                Ok(DenialOutcome::InFeed(number))
            }
            Err(failure) if matches!(failure.code(), ErrorCode::StoreFull | ErrorCode::StoreUnavailable) => {
                DenialFolder::of(&self.settings.data_directory)
                    .put(&self.codec, audit.request_id(), request)
                    .map_err(DenialError::NotWritten)?;
                Ok(DenialOutcome::Kept)
            }
            Err(failure) => Err(DenialError::Refused(failure)),
        }
    }

    /// Takes what lies in the directory of denials. What goes wrong is logged; the next turn tries again.
    pub async fn take_denials(&self) {
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
