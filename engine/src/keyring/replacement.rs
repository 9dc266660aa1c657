//! Replaces every key that a compromised seal could open: whoever had it and a copy of the store knows the root key,
//! and through it all others. The same follows when an older copy of the store is accepted: others may have what the
//! lost store signed and wrote.
//!
//! The change that begins it names the replacement in the store's own row, and the last change of the replacement
//! removes it from there. No server starts in between, so that nothing is accepted under keys that are
//! about to end. The command that began it continues it after a kill: what an older version of the keyring wraps is
//! not replaced yet, so the rows themselves show the progress.

pub(crate) mod audit_keys;
mod control;
mod dischargers;
pub(crate) mod row_macs;
mod row_writer;
mod signing_keys;

use std::time::Duration;

use petsem_api::OrgRef;
use petsem_keys::Keyring;

use crate::engine::Engine;
use crate::error::Failure;
use crate::keyring::seal_list::names_seal;
use crate::keyring::unlock::Unlocked;
use crate::messages;
use crate::records::{FeedRow, ReplacementCause, StoreRow, expect};
use crate::request::local_record;
use crate::rollback;

/// How often the progress of a re-wrap is reported.
const REPORTED_EVERY: Duration = Duration::from_millis(500);

/// A part of a replacement that takes time in a large store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplacementStep {
    /// Rows get new MACs.
    RowMacs,
    /// Signing keys are revoked and replaced.
    SigningKeys,
    /// The keys of apps and nodes are re-wrapped.
    Rewraps,
}

/// Receives the progress of a step: what is done, and how much there is.
pub type ReportProgress<'a> = &'a (dyn Fn(ReplacementStep, u64, u64) + Send + Sync);

/// A seal that was removed because others may have it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CompromisedSeal {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Which one it was.
    pub description: String,
}

impl CompromisedSeal {
    /// Whether an operator means this seal: by its id, the start of it, or its description.
    pub fn is_meant_by(&self, which: &str) -> bool {
        names_seal(which, &self.id, &self.description)
    }
}

/// Why a replacement of all keys has begun and is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnfinishedReplacement {
    /// This seal was removed.
    Removal(CompromisedSeal),
    /// An older copy of the store was accepted.
    Rollback,
}

/// Where the audit log has what an accepted copy lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedLines {
    /// The last line that the copy is not behind.
    pub(crate) after_line: u64,
    /// The last line of the lost changes.
    pub(crate) last_line: u64,
    /// The number of the copy's last control change.
    pub(crate) after_change: u64,
}

/// An outside discharger whose key was deleted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EndedDischarger {
    /// Its location.
    pub location: String,
    /// Its org, by id if it was deleted; `None` for the platform.
    pub org: Option<OrgRef>,
}

/// The result of a replacement.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ReplacedKeys {
    /// The keyring's new version.
    pub keyring_version: u32,
    /// Whether everything is wrapped by it, and the old version is destroyed; else a server carries on.
    pub rewrapped: bool,
    /// The outside dischargers, which must be registered again with new keys.
    pub dischargers: Vec<EndedDischarger>,
}

impl Unlocked {
    /// Why not all keys are replaced that must be, if a replacement has begun.
    pub fn unfinished_replacement(&self) -> Option<UnfinishedReplacement> {
        match &self.replacement.as_ref()?.cause {
            ReplacementCause::Seal { id, description } => {
                let seal = CompromisedSeal { id: id.clone(), description: description.clone() };
                Some(UnfinishedReplacement::Removal(seal))
            }
            ReplacementCause::Rollback { .. } => Some(UnfinishedReplacement::Rollback),
        }
    }

    /// The lines of the audit log whose changes the accepted copy lacks.
    pub fn accepted_lines(&self) -> Option<AcceptedLines> {
        match self.replacement.as_ref()?.cause {
            ReplacementCause::Rollback { after_line, last_line, after_change } => {
                Some(AcceptedLines { after_line, last_line, after_change })
            }
            ReplacementCause::Seal { .. } => None,
        }
    }
}

impl Engine {
    /// Ends a rotation of the keyring that is in progress. A replacement begins with one version.
    ///
    /// # Errors
    /// A row cannot be re-wrapped.
    pub async fn finish_keyring_rotation(&self) -> Result<(), Failure> {
        self.carry_on_keyring().await?;
        match self.keyring().versions().len() {
            1 => Ok(()),
            _ => Err(messages::keyring_rotation_blocked()),
        }
    }

    /// Creates the version of the keyring that the compromised seal never opened, unless there is one already.
    ///
    /// # Errors
    /// The store accepts no writes, or no replacement has begun.
    pub async fn begin_replacement(&self) -> Result<(), Failure> {
        let store = self.store_row().await?.content;
        let replacement = store.replacement.ok_or_else(messages::no_replacement)?;
        if store.keyring_version > replacement.keyring_version {
            return Ok(());
        }
        let mut audit = local_record(self.now(), "keyring.rotate");
        self.begin_keyring_rotation(&mut audit, self.now()).await?;
        self.record(&audit).await
    }

    /// Replaces the keys of tokens and discharges, re-wraps everything else under the new version of the keyring, and
    /// ends the replacement.
    ///
    /// # Errors
    /// The store accepts no writes, or no replacement has begun. What was replaced stays replaced.
    pub async fn replace_keys(&self, report: ReportProgress<'_>) -> Result<ReplacedKeys, Failure> {
        self.replace_signing_keys(report).await?;
        self.replace_dischargers().await?;
        self.rewrap_reporting(report).await?;
        self.end_replacement().await
    }

    async fn rewrap_reporting(&self, report: ReportProgress<'_>) -> Result<(), Failure> {
        let work = self.carry_on_keyring();
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(REPORTED_EVERY) => {
                    if let Some(progress) = self.rotations.keyring_progress() {
                        report(ReplacementStep::Rewraps, progress.done, progress.total);
                    }
                }
            }
        }
    }

    async fn end_replacement(&self) -> Result<ReplacedKeys, Failure> {
        let store = self.store_row().await?;
        let replacement = store.content.replacement.clone().ok_or_else(messages::no_replacement)?;
        let now = self.now();
        let mut audit = match &replacement.cause {
            ReplacementCause::Seal { id, description } => {
                let mut audit = local_record(now, "operator.seal.compromised");
                audit.set_detail(messages::keys_replaced(id, description));
                audit
            }
            ReplacementCause::Rollback { after_line, last_line, .. } => {
                let mut audit = local_record(now, rollback::ACTION);
                let epoch = store.content.epoch;
                audit.set_detail(messages::rollback_accepted(epoch, *after_line, *last_line));
                audit
            }
        };
        let feed = [FeedRow::StoreSet { version: store.version + 1, at: now.millis() }];
        let content = StoreRow { replacement: None, ..store.content };
        self.commit_control(&mut audit, &feed, |change| {
            change.expects.push(expect::<StoreRow>(&[], store.version));
            change.puts.push(self.codec.write(&[], store.version + 1, &content));
        })
        .await?;
        self.record(&audit).await?;
        let keyring = self.keyring();
        Ok(ReplacedKeys {
            keyring_version: keyring.current_version(),
            rewrapped: keyring.versions().len() == 1,
            dischargers: replacement
                .dischargers
                .into_iter()
                .map(|ended| EndedDischarger { location: ended.location, org: ended.org })
                .collect(),
        })
    }
}

/// Whether the keyring's current version wraps a key: it was made, or re-wrapped, after the replacement began.
fn is_new(keyring: &Keyring, wrapped: &[u8]) -> bool {
    Keyring::version_of(wrapped).is_ok_and(|version| version == keyring.current_version())
}
