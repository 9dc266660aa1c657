//! Denials: revocations that reach the running server through a file in its data directory, without the API and
//! without the primary (design §7).
//!
//! `DATA/denials/ID.denial` holds a [`RevokeRequest`] with a MAC of the row-MAC key, so writing a valid one needs a seal.
//! The server checks the directory twice a second, puts each denial in force immediately, and then writes it into the
//! control feed. Changes there are numbered without gaps, so a removal would be noticed. `ID.answer`, also with a MAC,
//! confirms the denial to the command; removing the denial's file does not look like a confirmation. Until the feed
//! contains the denial, the server keeps it in memory, tries again, and reports it in `/readyz`.

use petsem_api::{ErrorCode, RequestId, RevokeRequest};
use petsem_audit::Outcome;

use crate::control::denial_folder::{DenialAnswer, DenialFolder};
use crate::engine::Engine;
use crate::error::Failure;
use crate::records::FeedRow;
use crate::request::{AuditRecord, local_record, outcome_of};

/// The result of a denial at the node.
#[derive(Debug)]
pub enum DenialOutcome {
    /// The control feed contains it, under this number.
    InFeed(u64),
    /// The store does not accept writes: the denial is in the data directory, for the next start.
    Kept,
}

/// Why a denial was not made.
#[derive(Debug)]
pub enum DenialError {
    /// It is refused.
    Refused(Failure),
    /// The denial could not be written to the data directory.
    NotWritten(std::io::Error),
}

impl Engine {
    /// Denies immediately: in the control feed, or in the data directory if the store does not accept writes.
    ///
    /// # Errors
    /// [`DenialError`]; nothing was denied.
    pub async fn deny_now(&self, request: &RevokeRequest) -> Result<DenialOutcome, DenialError> {
        let mut audit = local_record(self.now(), "operator.deny");
        let denied = async {
            let row = self.denial_row(&mut audit, request).await?;
            self.check_known(request).await?;
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
                    .put_checked(&self.codec, audit.request_id(), request.clone())
                    .map_err(DenialError::NotWritten)?;
                Ok(DenialOutcome::Kept)
            }
            Err(failure) => Err(DenialError::Refused(failure)),
        }
    }

    /// Processes the denials in the directory. Failures are logged; the next pass tries again.
    pub async fn take_denials(&self) {
        let folder = DenialFolder::of(&self.settings.data_directory);
        let found = match folder.denials() {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "cannot read the directory of denials");
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
                    folder.put_aside(id);
                    tracing::error!(denial = %id, "a file in the directory of denials is not authentic; it was moved aside");
                }
                // It may be authentic, so it is kept; it is logged once.
                Err(error) => {
                    if self.denials.unread().insert(id) {
                        tracing::error!(
                            %error,
                            denial = %id,
                            "cannot read a denial, so it is not in force; the user that runs the server must own the file"
                        );
                    }
                }
            }
        }
        for (id, request) in self.denials.waiting() {
            self.keep(&folder, id, &request).await;
        }
    }

    /// Puts a denial in force on this node, then writes it into the feed.
    async fn take(&self, folder: &DenialFolder, id: RequestId, request: RevokeRequest) {
        let mut audit = local_record(self.now(), "operator.deny");
        let row = async {
            let row = self.denial_row(&mut audit, &request).await?;
            self.check_known(&request).await.map(|()| row)
        };
        match row.await {
            Ok(row) => {
                if let Err(failure) = self.deny(row) {
                    let reason = failure.operator_text();
                    tracing::error!(denial = %id, reason, "cannot put a denial in force; it will be tried again");
                    return;
                }
                self.denials.wait(id, request.clone());
                tracing::warn!(denial = %id, "a denial is in force on this node");
                // A row that is deleted from the store later must not end it at the next start.
                if let Err(error) = folder.put_checked(&self.codec, id, request.clone()) {
                    tracing::error!(%error, denial = %id, "cannot note in the file of a denial that it was checked");
                }
                if !self.keep(folder, id, &request).await {
                    self.note(&audit, None).await;
                    folder.answer(&self.codec, id, &DenialAnswer::Held);
                }
            }
            // It is not refused, only not possible now.
            Err(failure) if outcome_of(&failure) == Outcome::Failed => {
                tracing::error!(
                    denial = %id,
                    reason = failure.operator_text(),
                    "cannot look up a denial in the store; it is kept and will be tried again"
                );
            }
            Err(failure) => {
                // The command may have ended long ago, for instance if the server was sealed.
                tracing::warn!(
                    denial = %id,
                    reason = failure.operator_text(),
                    "refused a denial"
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

    /// Writes a denial into the control feed, if that is possible now.
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
                    reason = failure.operator_text(),
                    "a denial is waiting for the store"
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
        if let Err(failure) = self.write_line(audit, &event).await {
            tracing::error!(reason = failure.operator_text(), "cannot write the audit line of a denial");
        }
    }
}
