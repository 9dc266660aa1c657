//! Reads and writes the control feed. Control changes are numbered without gaps.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use data_encoding::HEXLOWER;
use petsem_api::ErrorCode;
use petsem_store::{Change, CommitError, RecordKind};

use crate::control::state::{Control, Readers};
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{FeedHeadRow, FeedRow, IntegrityFault, expect};
use crate::request::AuditRecord;

impl Engine {
    /// Reads new changes of the control feed, and checks that the store still contains the last revision that this node
    /// has seen. A fault is permanent: decisions fail closed until an operator intervenes.
    pub async fn refresh(&self) -> Result<(), Failure> {
        let result = self.refresh_once().await;
        if let Err(failure) = &result
            && failure.code() == ErrorCode::Integrity
        {
            let text = failure.operator_text().to_owned();
            *self.integrity_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
        result
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
        let before = self.control();
        if let Some(next) = before.advanced(&self.readers()).await? {
            let mut guard = self.control.write().unwrap_or_else(PoisonError::into_inner);
            if guard.number <= next.number {
                self.audit.set_feed(next.number);
                *guard = Arc::new(next.denying(&self.denials.rows()));
            }
            drop(guard);
            self.follow_keyring();
        }
        self.feed_read_at.store(self.now().seconds(), Ordering::Relaxed);
        Ok(())
    }

    /// Puts a denial in force on this node, before the control feed contains it.
    pub(crate) fn deny(&self, row: FeedRow) {
        // First the list, then the state, so that a refresh in between applies it from the list.
        self.denials.add(row);
        let mut guard = self.control.write().unwrap_or_else(PoisonError::into_inner);
        *guard = Arc::new(guard.denying(&self.denials.rows()));
    }

    fn readers(&self) -> Readers<'_> {
        Readers {
            store: &*self.store,
            fetch: &*self.fetch,
            codec: &self.codec,
            keys: &self.keys,
            before: self.keyring(),
            store_id: self.store_id,
            now: self.now(),
        }
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
        let _guard = self.feed_lock.lock().await;
        for _ in 0..5 {
            self.refresh().await?;
            let control = self.control();
            check(&control)?;
            let mut change = self.change(audit);
            fill(&mut change);
            let (mut number, mut mac) = (control.number, *control.mac());
            for row in rows {
                number += 1;
                let entry = self.codec.write_feed(number, &mac, row);
                mac = <[u8; 32]>::try_from(entry.mac.as_slice()).unwrap_or_default();
                change.feed.push(entry);
            }
            let head_version = control.head_version();
            change.expects.push(expect::<FeedHeadRow>(&[], head_version));
            let head = FeedHeadRow { number, mac: HEXLOWER.encode(&mac) };
            change.puts.push(self.codec.write(&[], head_version + 1, &head));
            match self.commit(audit, change).await {
                Ok(_) => {
                    self.refresh().await?;
                    return Ok(number);
                }
                Err(
                    CommitError::FeedConflict { .. }
                    | CommitError::Conflict { kind: RecordKind::FeedHead, .. },
                ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(messages::nodes_keep_changing())
    }
}
