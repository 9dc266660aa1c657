//! Accepts an older copy of the store, when the newer one is lost.
//!
//! The audit log shows what the copy lacks ([`LostChanges`]). Rights that a lost change took away must not come back, so
//! the acceptance takes them away again, ends every token, discharge and JWT from before, and replaces all keys as after
//! a compromised seal: nothing that the lost store signed or wrote is valid in the new epoch. The log must be whole from
//! the copy on: only it tells what was taken away. Without it, the copy stays refused.

mod lost;
mod repeat;

use data_encoding::HEXLOWER;
use petsem_store::{Change, RecordKind, RequestAudit, Store};

use crate::clock::Timestamp;
use crate::control::state::{UnnamedState, feed_fault};
use crate::error::Failure;
use crate::keyring::unlock::{UnlockError, Unlocked};
use crate::messages;
use crate::records::{
    Directory, FeedHeadRow, FeedRow, IntegrityFault, ReplacementCause, ReplacementRow, SignedNote, StoreRow,
    expect, read_row,
};
use crate::request::AuditRecord;

pub use lost::{EndingPolicy, LostChange, LostChanges, find_lost_changes, lost_changes_between};
pub use repeat::Repeated;

/// The action of the audit lines.
pub(crate) const ACTION: &str = "operator.accept_rollback";

/// Begins the acceptance: from this change on the store is of a new epoch, and no server starts before all keys are
/// replaced. No engine may have run on the copy before: its checkpoints would hide that the store is older.
///
/// # Errors
/// The store accepts no writes, or a row differs from what was written. Nothing was changed.
pub async fn begin_acceptance(
    store: &dyn Store,
    unlocked: &Unlocked,
    node: [u8; 16],
    lost: &LostChanges,
) -> Result<(), UnlockError> {
    let codec = &unlocked.codec;
    let LostChanges { after_line, last_line, after_change, .. } = *lost;
    let missing = |kind| Failure::from(IntegrityFault::new(kind, &[], "it is missing"));
    let own = read_row::<StoreRow>(store, codec, &[]).await?.ok_or_else(|| missing(RecordKind::Store))?;
    let own = own.map_err(Failure::from)?;
    let head = read_row::<FeedHeadRow>(store, codec, &[]).await?;
    let head = head.ok_or_else(|| missing(RecordKind::FeedHead))?.map_err(Failure::from)?;
    let directory = read_row::<Directory>(store, codec, &[]).await?;
    let directory = directory.ok_or_else(|| missing(RecordKind::ControlDirectory))?.map_err(Failure::from)?;
    let mac = HEXLOWER.decode(head.content.mac.as_bytes()).ok().and_then(|mac| mac.try_into().ok());
    let mac = mac.ok_or_else(|| feed_fault(head.content.number, "its MAC is malformed"))?;
    if head.content.number != after_change {
        return Err(UnlockError::Refused(messages::rollback_changed_meanwhile()));
    }
    codec.note_change(after_change);

    let now = Timestamp::now();
    let content = StoreRow {
        epoch: own.content.epoch.saturating_add(1),
        replacement: Some(ReplacementRow {
            cause: ReplacementCause::Rollback { after_line, last_line, after_change },
            keyring_version: own.content.keyring_version,
            old_row_mac_key: Vec::new(),
            dischargers: Vec::new(),
        }),
        ..own.content
    };
    let feed = [FeedRow::StoreSet { version: own.version + 1, at: now.millis() }];
    let mut audit = AuditRecord::on_node(now, "node", ACTION);
    audit.set_detail(messages::rollback_accepted(content.epoch, after_line, last_line));
    audit.set_control_changes(0, after_change + 1, &feed);
    let line = audit.recovery_line();
    let line = codec.write_note(SignedNote::Line, audit.request_id(), line.as_bytes());
    let mut change = Change::new(RequestAudit { node, request_id: audit.request_id(), line });
    let state = UnnamedState {
        number: after_change,
        mac,
        head_version: head.version,
        top: head.content.pages,
        directory: directory.content,
    };
    state.extend(store, codec, unlocked.store_id, &mut change, &feed).await?;
    change.expects.push(expect::<StoreRow>(&[], own.version));
    change.puts.push(codec.write(&[], own.version + 1, &content));
    store.commit(change).await.map_err(|error| UnlockError::Refused(error.to_string()))?;
    Ok(())
}
