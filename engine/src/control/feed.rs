//! Reads and writes the control feed. Control changes are numbered without gaps.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use petsem_api::ErrorCode;
use petsem_store::{Change, CommitError, RecordKind};

use crate::control::pages::{PageError, misplaced};
use crate::control::state::{Control, feed_fault};
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{FeedRow, IntegrityFault};
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;

impl Engine {
    /// Reads new changes of the control feed, and checks that the store still contains the last revision that this node
    /// has seen.
    pub async fn refresh(&self) -> Result<(), Failure> {
        self.refresh_once().await.map_err(|failure| match failure.code() {
            ErrorCode::Integrity => self.noted(failure),
            _ => failure,
        })
    }

    async fn refresh_once(&self) -> Result<(), Failure> {
        let last = *self.last_revision.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last
            && self.store.mark(last.revision).await? != Some(last.mark)
        {
            let what = "the store lacks a revision that this node has seen: it was rolled back or forked";
            return Err(IntegrityFault::new("revision", &last.revision.to_be_bytes(), what).into());
        }
        if let Some(newest) = self.store.revision().await? {
            self.note_revision(newest);
        }
        if let Some(next) = self.control().advanced().await? {
            let mut guard = self.control.write().unwrap_or_else(PoisonError::into_inner);
            if guard.number <= next.number {
                self.audit.set_feed(next.number);
                *guard = Arc::new(next.denying(&self.denials.rows())?);
            }
            drop(guard);
            self.follow_keyring();
        }
        self.feed_read_at.store(self.now().seconds(), Ordering::Relaxed);
        Ok(())
    }

    /// Puts a denial in force on this node, before the control feed contains it.
    pub(crate) fn deny(&self, row: FeedRow) -> Result<(), Failure> {
        // First the list, then the state, so that a refresh in between applies it from the list.
        self.denials.add(row);
        let mut guard = self.control.write().unwrap_or_else(PoisonError::into_inner);
        *guard = Arc::new(guard.denying(&self.denials.rows())?);
        Ok(())
    }

    /// Commits numbered control changes. `fill` adds the rows that belong to them, and is called again if another node
    /// committed first.
    pub(crate) async fn commit_control(
        &self,
        audit: &mut AuditRecord,
        rows: &[FeedRow],
        fill: impl Fn(&mut Change) + Send,
    ) -> Result<u64, Failure> {
        self.commit_control_if(audit, rows, |_| Ok(()), fill).await
    }

    /// The same, if `check` accepts the control state that directly precedes the change.
    pub(crate) async fn commit_control_if(
        &self,
        audit: &mut AuditRecord,
        rows: &[FeedRow],
        check: impl Fn(&Control) -> Result<(), Failure> + Send,
        fill: impl Fn(&mut Change) + Send,
    ) -> Result<u64, Failure> {
        let (kept, before) = (audit.control_changes(), audit.revision());
        let committed = self.commit_numbered(audit, rows, check, fill).await;
        // Its line names only what was committed.
        if audit.revision() == before {
            audit.set_control_changes(kept, 0, &[]);
        }
        committed
    }

    async fn commit_numbered(
        &self,
        audit: &mut AuditRecord,
        rows: &[FeedRow],
        check: impl Fn(&Control) -> Result<(), Failure> + Send,
        fill: impl Fn(&mut Change) + Send,
    ) -> Result<u64, Failure> {
        let _guard = self.feed_lock.lock().await;
        let kept = audit.control_changes();
        let mut replaced_at = None;
        for _ in 0..5 {
            self.refresh().await?;
            let control = self.control();
            check(&control)?;
            audit.set_control_changes(kept, control.number + 1, rows);
            let mut change = self.change(audit);
            fill(&mut change);
            let number = match control.extend(&mut change, rows).await {
                Ok(number) => number,
                // By another node, if the head has changed since.
                Err(PageError::Replaced) if replaced_at != Some(control.head_version()) => {
                    replaced_at = Some(control.head_version());
                    continue;
                }
                Err(PageError::Replaced) => return Err(misplaced(&[]).into()),
                Err(PageError::Failed(failure)) => return Err(failure),
            };
            match self.commit(audit, change).await {
                Ok(_) => {
                    audit.committed_to_feed();
                    self.refresh().await?;
                    self.check_in_force(number)?;
                    return Ok(number);
                }
                // The head is the one that was read, so no node wrote these rows.
                Err(CommitError::FeedConflict { last }) => {
                    return Err(self.noted(feed_fault(last, "the feed does not end where its head says")));
                }
                Err(CommitError::Conflict { kind: RecordKind::FeedHead, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(messages::nodes_keep_changing())
    }

    /// Refuses to report a change as made if the feed that was read after its commit ends before it.
    fn check_in_force(&self, number: u64) -> Result<(), Failure> {
        if self.control().number >= number {
            return Ok(());
        }
        let what = "it was committed, but the store lacks it: an older feed was put back";
        Err(self.noted(feed_fault(number, what)))
    }

    /// Notes a fault, which is permanent: decisions fail closed until an operator intervenes.
    fn noted(&self, fault: Failure) -> Failure {
        let text = fault.operator_text().to_owned();
        *self.integrity_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        fault
    }

    /// Commits a change that writes an app's head. If it takes something away, the new head becomes the app's floor.
    /// `decision` is that of the request that led to the change.
    pub(crate) async fn commit_head(
        &self,
        audit: &mut AuditRecord,
        app: &FoundApp,
        takes_away: bool,
        decision: Option<FeedRow>,
        change: Change,
    ) -> Result<(), Failure> {
        let at = self.now().millis();
        let floor = FeedRow::FloorSet { app: app.id, version: app.head_version + 1, at };
        let feed: Vec<FeedRow> = takes_away.then_some(floor).into_iter().chain(decision).collect();
        if feed.is_empty() {
            self.commit(audit, change).await?;
        } else {
            self.commit_control(audit, &feed, |next| next.clone_from(&change)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;

    #[tokio::test]
    async fn a_change_that_was_committed_and_is_not_in_the_feed_is_not_answered_as_done() {
        let lab = Lab::new().await;
        let engine = &lab.engine;
        let number = engine.control().number;
        engine.check_in_force(number).unwrap();
        assert_eq!(engine.integrity_fault(), None);
        let failure = engine.check_in_force(number + 1).unwrap_err();
        assert_eq!(failure.code(), ErrorCode::Integrity);
        assert!(engine.integrity_fault().unwrap().contains("an older feed was put back"));
    }
}
