//! Drops entries of the control state that refuse nothing any more (design §5).
//!
//! Revocations of hosts and signing keys, and deleted orgs, are kept for ever. A revocation of a Machine is dropped when
//! its app was deleted, and the entry of a deleted app when the version of the keyring that wrapped its KEKs was
//! destroyed. All others are dropped 31 days after they were made, or after what they refuse has ended.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::control::state::Control;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{AppEntry, ControlEntry, EntryKey, FeedRow, Page, Row};
use crate::request::local_record;

/// How often to look for such entries.
const CHECK_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How far the clock may be from a day later at the next look, in seconds. Else it was set, and nothing is dropped.
const CLOCK_TOLERANCE: i64 = 60 * 60;
/// Entries dropped by one change.
const MOST: usize = 256;
/// Pages read at once.
const PAGE: u32 = 64;

/// Drops ended entries every day, until the future is dropped: those that had ended the day before. So a clock that is
/// wrong for less than a day, or at a start, drops nothing.
pub async fn drop_ended_entries(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(CHECK_INTERVAL);
    let mut last: Option<Timestamp> = None;
    loop {
        ticks.tick().await;
        let now = engine.now();
        let a_day = i64::try_from(CHECK_INTERVAL.as_secs()).unwrap_or(i64::MAX);
        let is_steady = |last: &Timestamp| (now.seconds() - last.seconds() - a_day).abs() <= CLOCK_TOLERANCE;
        if let Some(last) = last.filter(is_steady)
            && let Err(failure) = engine.drop_ended(last).await
        {
            let reason = failure.operator_text();
            tracing::warn!(reason, "ended revocations could not be dropped; this will be retried tomorrow");
        }
        last = Some(now);
    }
}

/// Entries to drop, each with the time when what it refuses ended.
#[derive(Default)]
struct Ended {
    revocations: Vec<(EntryKey, i64)>,
    /// Deleted apps: dropped last, because the entries of their Machines are found by them.
    apps: Vec<(EntryKey, i64)>,
}

impl Engine {
    /// Drops the entries that have ended at `now`; returns their number.
    pub(crate) async fn drop_ended(&self, now: Timestamp) -> Result<usize, Failure> {
        let Ended { revocations, apps } = self.ended_entries(now).await?;
        let mut dropped = 0;
        for entries in revocations.chunks(MOST).chain(apps.chunks(MOST)) {
            let mut audit = local_record(now, "control.drop");
            audit.set_detail(messages::entries_dropped(entries.len()));
            let keys = entries.iter().map(|(key, _)| *key).collect();
            let ended = entries.iter().map(|(_, ended)| *ended).max().unwrap_or_default();
            let feed = [FeedRow::Dropped { keys, ended, at: now.millis() }];
            self.commit_control(&mut audit, &feed, |_| {}).await?;
            self.record(&audit).await?;
            dropped += entries.len();
        }
        Ok(dropped)
    }

    /// Reads all pages, of the newest state or a slightly older one: the change itself checks entries that can be revoked
    /// again, and a deleted app stays deleted.
    async fn ended_entries(&self, now: Timestamp) -> Result<Ended, Failure> {
        let control = self.control();
        let mut found = Ended::default();
        let mut scan = self.scan::<Page>(PAGE);
        loop {
            let pages = scan.next_page().await?;
            if pages.is_empty() {
                return Ok(found);
            }
            for page in pages {
                let (_, Row { content: Page::Leaf(entries), .. }) = page? else { continue };
                for (key, entry) in &entries {
                    let Some(ended) = ended(&control, entry, now).await? else { continue };
                    match entry {
                        ControlEntry::App(_) => found.apps.push((*key, ended)),
                        _ => found.revocations.push((*key, ended)),
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// When what an entry refuses ended, in Unix seconds, if it can be dropped.
async fn ended(control: &Control, entry: &ControlEntry, now: Timestamp) -> Result<Option<i64>, Failure> {
    Ok(match entry {
        ControlEntry::App(AppEntry { deleted_at_keyring: Some(version), .. }) => {
            (*version < control.keyring_versions().lowest).then_some(0)
        }
        ControlEntry::Machine(app) => control.app(*app).await?.is_deleted().then_some(0),
        entry => entry.ended(now.seconds()),
    })
}
