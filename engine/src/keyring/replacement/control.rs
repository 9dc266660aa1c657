//! New MACs for the control feed and the pages of the control state. Each change covers the MAC of the one before, and
//! each page names the MACs of those below it, so both are done in order: changes from the first, pages from below.

use std::future::Future;
use std::pin::Pin;

use petsem_store::{FeedEntry, Record, RecordKind, Store};
use subtle::ConstantTimeEq as _;

use super::row_writer::RowWriter;
use crate::control::pages::{PageCache, PageError, Pages, Walk, joined, misplaced};
use crate::control::state::{feed_fault, is_the_mac};
use crate::error::Failure;
use crate::records::{FeedHeadRow, Page, PageRef, RecordCodec};

/// Changes in one transaction.
const CHANGES: u32 = 256;
/// Pages in one transaction.
const PAGES: usize = 64;
/// What is wrong with a feed whose head does not follow from it.
const OTHER_HEAD: &str = "its MAC is not the one that the feed's head names";

/// Verifies every control change, and every page below the top one.
pub(super) async fn check(store: &dyn Store, codec: &RecordCodec, head: &FeedHeadRow) -> Result<(), Failure> {
    let (mut number, mut mac) = (0, [0; 32]);
    while number < head.number {
        for entry in &changes_after(store, number, head).await? {
            (_, mac) = codec.read_feed(number + 1, &mac, entry)?;
            number += 1;
        }
    }
    if !is_the_mac(&mac, &head.mac) {
        return Err(feed_fault(number, OTHER_HEAD));
    }
    let pages = Pages { store, codec, cache: &PageCache::default() };
    let mut walk = Walk::new(pages, head.pages);
    loop {
        match walk.next().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(PageError::Failed(failure)) => return Err(failure),
            Err(PageError::Replaced) => return Err(misplaced(&[]).into()),
        }
    }
}

/// The next changes after this one, at least one, none after the head's. Their numbers are not checked.
async fn changes_after(
    store: &dyn Store,
    number: u64,
    head: &FeedHeadRow,
) -> Result<Vec<FeedEntry>, Failure> {
    let left = u32::try_from(head.number - number).unwrap_or(u32::MAX);
    let entries = store.feed(number, CHANGES.min(left)).await?;
    if entries.is_empty() {
        return Err(feed_fault(number + 1, "it is missing"));
    }
    Ok(entries)
}

/// Gives every control change its new MAC. Returns that of the last one.
pub(super) async fn replace_feed_macs(
    writer: &RowWriter<'_>,
    head: &FeedHeadRow,
) -> Result<[u8; 32], Failure> {
    let (mut number, mut old, mut new) = (0, [0; 32], [0; 32]);
    while number < head.number {
        let entries = changes_after(writer.store, number, head).await?;
        let mut replaced = Vec::with_capacity(entries.len());
        for entry in &entries {
            let next = writer.codec.remac_feed(number + 1, &old, &new, entry)?;
            (old, new) = (next.old, next.new);
            replaced.extend(next.entry);
            number += 1;
        }
        writer.put_feed(replaced).await?;
    }
    if !is_the_mac(&old, &head.mac) {
        return Err(feed_fault(number, OTHER_HEAD));
    }
    Ok(new)
}

/// Gives pages their new MACs. A page is written with or after all pages below it, so that one with a new MAC needs no
/// second visit.
pub(super) struct PageWriter<'w, 'a> {
    writer: &'w mut RowWriter<'a>,
    waiting: Vec<Record>,
}

type Replacing<'r> = Pin<Box<dyn Future<Output = Result<PageRef, Failure>> + Send + 'r>>;

impl<'w, 'a> PageWriter<'w, 'a> {
    pub(super) fn new(writer: &'w mut RowWriter<'a>) -> Self {
        Self { writer, waiting: Vec::new() }
    }

    /// Replaces the MACs of the page at the top and of all below it. Returns the top page as the head is to name it.
    pub(super) async fn all(mut self, top: Option<PageRef>) -> Result<Option<PageRef>, Failure> {
        let Some(top) = top else { return Ok(None) };
        let top = self.page(Vec::new(), top).await?;
        self.flush().await?;
        Ok(Some(top))
    }

    fn page(&mut self, path: Vec<u8>, named: PageRef) -> Replacing<'_> {
        Box::pin(async move {
            let codec = self.writer.codec;
            let record = self.writer.store.record(RecordKind::ControlPage, &path).await?;
            let record = record.ok_or_else(|| misplaced(&path))?;
            let page = codec.read::<Page>(&path, &record)?;
            // Only this replacement wrote pages with new MACs, each once.
            if codec.has_new_mac(&record) {
                return named_by(&record, named);
            }
            if !bool::from(record.mac.ct_eq(named.mac.as_slice())) {
                return Err(misplaced(&path).into());
            }
            let mut content = page.content;
            if let Page::Branch(children) = &mut content {
                for (number, child) in (0..).zip(children.iter_mut()) {
                    if let Some(below) = *child {
                        *child = Some(self.page(joined(&path, number), below).await?);
                    }
                }
            }
            let record = codec.write(&path, page.version, &content);
            let replaced = named_by(&record, named);
            self.waiting.push(record);
            if self.waiting.len() >= PAGES {
                self.flush().await?;
            }
            replaced
        })
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let rows = std::mem::take(&mut self.waiting);
        let count = rows.len();
        self.writer.put(rows).await?;
        self.writer.count(count);
        Ok(())
    }
}

/// The page as the one above it names it.
fn named_by(record: &Record, before: PageRef) -> Result<PageRef, Failure> {
    let mac = <[u8; 32]>::try_from(record.mac.as_slice()).map_err(|_| misplaced(&record.id))?;
    Ok(PageRef { mac, ..before })
}
