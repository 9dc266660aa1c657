//! Gives every row, the control feed and the pages of the control state a MAC by the new row-MAC key.
//!
//! No engine runs meanwhile: the codec reads with the old key or the new one, and writes with the new one. A row keeps
//! its content and its version, which other rows name; it is written only if it has a valid MAC. A row that has none
//! stays as it is, and is refused as before. The store's own row is first, so that it shows that the change has begun,
//! and the last change forgets the old key. What has a MAC by the new key is done, so a kill loses nothing.

use petsem_api::StoreId;
use petsem_store::{RecordKind, Store};

use super::ReportProgress;
use super::control::{PageWriter, check, replace_feed_macs};
use super::row_writer::RowWriter;
use crate::clock::Timestamp;
use crate::control::state::UnnamedState;
use crate::error::Failure;
use crate::keyring::unlock::{UnlockError, Unlocked};
use crate::records::{
    Directory, FeedHeadRow, FeedRow, IntegrityFault, RecordCodec, ReplacementRow, Row, StoreRow, expect,
    read_row,
};

/// Rows in one transaction.
const BATCH: u32 = 128;

/// How far the replacement of the row-MAC key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowMacs {
    /// There is no new key yet.
    Old,
    /// There is a new key, and the store's own row still has a MAC by the old one.
    Begun,
    /// Some rows have new MACs.
    Partly,
    /// All have, and there is no old key any more.
    New,
}

/// How far the replacement of the row-MAC key is.
///
/// # Errors
/// The store cannot be read.
pub async fn row_macs(store: &dyn Store, unlocked: &Unlocked) -> Result<RowMacs, UnlockError> {
    let Some(replacement) = &unlocked.replacement else { return Ok(RowMacs::New) };
    if replacement.old_row_mac_key.is_empty() {
        let is_begun = unlocked.keyring.current_version() > replacement.keyring_version;
        return Ok(if is_begun { RowMacs::New } else { RowMacs::Old });
    }
    let record = store.record(RecordKind::Store, &[]).await?;
    let is_first_done = record.is_some_and(|record| unlocked.codec.has_new_mac(&record));
    Ok(if is_first_done { RowMacs::Partly } else { RowMacs::Begun })
}

/// Verifies the control feed and the pages of the control state, all of which must have valid MACs before they get new
/// ones.
///
/// # Errors
/// One has none. Nothing was changed.
pub async fn check_control_state(store: &dyn Store, unlocked: &Unlocked) -> Result<(), UnlockError> {
    let head = feed_head(store, &unlocked.codec).await?;
    Ok(check(store, &unlocked.codec, &head.content).await?)
}

/// Gives everything its new MAC, and forgets the old key. Returns the rows that have no valid MAC.
///
/// # Errors
/// The store accepts no writes, or a control change or a page has no valid MAC.
pub async fn replace_row_macs(
    store: &dyn Store,
    unlocked: &Unlocked,
    node: [u8; 16],
    report: ReportProgress<'_>,
) -> Result<u64, UnlockError> {
    let codec = &unlocked.codec;
    let mut total = 0;
    for kind in RecordKind::ALL {
        total += store.count(kind).await?;
    }
    let mut writer = RowWriter { store, codec, node, report, done: 0, total };
    let mut faults = 0;
    for kind in RecordKind::ALL.into_iter().filter(|kind| !is_control(*kind)) {
        faults += replace_of_kind(&mut writer, kind).await?;
    }
    replace_control(&mut writer, unlocked.store_id).await?;
    Ok(faults)
}

/// Kinds whose rows name MACs, or whose MACs other rows name.
fn is_control(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::FeedHead | RecordKind::ControlPage | RecordKind::ControlDirectory)
}

async fn replace_of_kind(writer: &mut RowWriter<'_>, kind: RecordKind) -> Result<u64, Failure> {
    let (mut after, mut faults) = (None::<Vec<u8>>, 0);
    loop {
        let page = writer.store.records(kind, &[], after.as_deref(), BATCH).await?;
        let Some(last) = page.last() else { return Ok(faults) };
        after = Some(last.id.clone());
        let mut rows = Vec::with_capacity(page.len());
        for record in &page {
            match writer.codec.remac(record) {
                Ok(row) => rows.extend(row),
                Err(fault) => {
                    tracing::error!(reason = %fault, "a row has no valid MAC and stays as it is");
                    faults += 1;
                }
            }
        }
        writer.put(rows).await?;
        writer.count(page.len());
    }
}

/// The feed, then the pages from below, then the head over both, and the store's row without the old key.
async fn replace_control(writer: &mut RowWriter<'_>, store_id: StoreId) -> Result<(), Failure> {
    let (store, codec) = (writer.store, writer.codec);
    let Row { version: head_version, content: head } = feed_head(store, codec).await?;
    codec.note_change(head.number);
    let mac = replace_feed_macs(writer, &head).await?;
    let directory = read_row::<Directory>(store, codec, &[]).await?.transpose()?;
    let missing = |kind| IntegrityFault::new(kind, &[], "it is missing");
    let directory = directory.ok_or_else(|| missing(RecordKind::ControlDirectory))?.content;
    let top = PageWriter::new(writer).all(head.pages).await?;
    let own = read_row::<StoreRow>(store, codec, &[]).await?.transpose()?;
    let own = own.ok_or_else(|| missing(RecordKind::Store))?;
    let replacement =
        own.content.replacement.map(|row| ReplacementRow { old_row_mac_key: Vec::new(), ..row });
    let content = StoreRow { replacement, ..own.content };
    let mut change = writer.change();
    // The wrap of the old key.
    change.erases = true;
    let feed = [FeedRow::StoreSet { version: own.version + 1, at: Timestamp::now().millis() }];
    let state = UnnamedState { number: head.number, mac, head_version, top, directory };
    state.extend(store, codec, store_id, &mut change, &feed).await?;
    change.expects.push(expect::<StoreRow>(&[], own.version));
    change.puts.push(codec.write(&[], own.version + 1, &content));
    writer.commit(change).await
}

async fn feed_head(store: &dyn Store, codec: &RecordCodec) -> Result<Row<FeedHeadRow>, Failure> {
    let missing = || IntegrityFault::new(RecordKind::FeedHead, &[], "it is missing");
    Ok(read_row::<FeedHeadRow>(store, codec, &[]).await?.transpose()?.ok_or_else(missing)?)
}
