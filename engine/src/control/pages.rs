//! The pages of the control state: read as far as a lookup needs, cached within a bound, and rewritten by a change.
//!
//! The pages are a tree. An entry's key leads to its leaf, and each page names the MACs of those below it, so that a
//! page of another state is noticed. Which page an entry is in depends only on the set of entries: entries that share
//! the way to a page are one leaf as long as there are at most [`LEAF`]. A change writes the pages on the way to its
//! entries, whose number grows with the logarithm of the number of entries.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use petsem_store::{ReadError, Record, RecordKind, Store};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use subtle::ConstantTimeEq as _;

use crate::error::Failure;
use crate::records::{ControlEntry, EntryKey, FAN_OUT, IntegrityFault, Page, PageRef, RecordCodec};

/// Most entries of a leaf.
const LEAF: u64 = 64;
/// Memory for cached pages, in bytes.
const CACHED_BYTES: u64 = 8 * 1024 * 1024;
/// What an entry takes in memory, about, in bytes.
const ENTRY_BYTES: usize = 128;

/// Why a page cannot be used.
#[derive(Debug)]
pub(crate) enum PageError {
    /// The store has another page in its place: a change was committed since the page above was read, or it was altered.
    Replaced,
    /// It cannot be read.
    Failed(Failure),
}

impl From<ReadError> for PageError {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<IntegrityFault> for PageError {
    fn from(fault: IntegrityFault) -> Self {
        Self::Failed(fault.into())
    }
}

/// The pages that were read last, by the MACs of their rows: no change can make one of them wrong.
pub(crate) struct PageCache(Cache<[u8; 32], Arc<Page>, PageWeight>);

impl Default for PageCache {
    fn default() -> Self {
        let pages = usize::try_from(CACHED_BYTES).unwrap_or(usize::MAX) / (16 * ENTRY_BYTES);
        Self(Cache::with_weighter(pages, CACHED_BYTES, PageWeight))
    }
}

#[derive(Clone)]
struct PageWeight;

impl Weighter<[u8; 32], Arc<Page>> for PageWeight {
    fn weight(&self, _: &[u8; 32], page: &Arc<Page>) -> u64 {
        let bytes = match &**page {
            Page::Leaf(entries) => entries.len().saturating_mul(ENTRY_BYTES),
            Page::Branch(children) => size_of_val(&**children),
        };
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}

/// Reads pages.
#[derive(Clone, Copy)]
pub(crate) struct Pages<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) codec: &'a RecordCodec,
    pub(crate) cache: &'a PageCache,
}

impl Pages<'_> {
    /// The entry with this key below a top page.
    pub(crate) async fn find(
        &self,
        top: Option<&PageRef>,
        key: &EntryKey,
    ) -> Result<Option<ControlEntry>, PageError> {
        let Some(mut named) = top.copied() else { return Ok(None) };
        let mut path = Vec::new();
        loop {
            let page = self.load(&path, &named).await?;
            match &*page {
                Page::Leaf(entries) => {
                    let place = entries.binary_search_by(|(other, _)| other.cmp(key)).ok();
                    return Ok(place.and_then(|place| entries.get(place)).map(|(_, entry)| entry.clone()));
                }
                Page::Branch(children) => {
                    let child = key.child(path.len());
                    let Some(next) = children.get(child).copied().flatten() else { return Ok(None) };
                    path.push(u8::try_from(child).unwrap_or_default());
                    named = next;
                }
            }
        }
    }

    /// The page at this place, which must be the named one.
    pub(crate) async fn load(&self, path: &[u8], named: &PageRef) -> Result<Arc<Page>, PageError> {
        if let Some(page) = self.cache.0.get(&named.mac) {
            return Ok(page);
        }
        let record = self.store.record(RecordKind::ControlPage, path).await?;
        let is_named = |record: &Record| bool::from(record.mac.ct_eq(named.mac.as_slice()));
        let record = record.filter(is_named).ok_or(PageError::Replaced)?;
        let page = Arc::new(self.codec.read::<Page>(path, &record)?.content);
        self.cache.0.insert(named.mac, Arc::clone(&page));
        Ok(page)
    }
}

/// Visits all pages below a top page.
pub(crate) struct Walk<'a> {
    pages: Pages<'a>,
    waiting: Vec<(Vec<u8>, PageRef)>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(pages: Pages<'a>, top: Option<PageRef>) -> Self {
        Self { pages, waiting: top.map(|top| (Vec::new(), top)).into_iter().collect() }
    }

    /// The next page; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Arc<Page>>, PageError> {
        let Some((path, named)) = self.waiting.pop() else { return Ok(None) };
        let page = self.pages.load(&path, &named).await?;
        if let Page::Branch(children) = &*page {
            for (number, child) in (0..).zip(children.iter()) {
                self.waiting.extend(child.map(|child| (joined(&path, number), child)));
            }
        }
        Ok(Some(page))
    }
}

/// The pages that a change writes and deletes.
#[derive(Default)]
pub(crate) struct Rewritten {
    /// Pages to write.
    pub(crate) puts: Vec<Record>,
    /// Places of pages to delete.
    pub(crate) deletes: Vec<Vec<u8>>,
    /// The new top page; `None` if there is no entry.
    pub(crate) top: Option<PageRef>,
}

/// Changed entries; `None` removes one.
pub(crate) type Changes = BTreeMap<EntryKey, Option<ControlEntry>>;

/// Rewrites the pages below `top` for these changes. `number` is that of the control change, the version of the rows.
pub(crate) async fn rewrite(
    pages: Pages<'_>,
    top: Option<PageRef>,
    changes: &Changes,
    number: u64,
) -> Result<Rewritten, PageError> {
    let changes: Vec<_> = changes.iter().map(|(key, entry)| (*key, entry.clone())).collect();
    let mut rewriter = Rewriter { pages, number, done: Rewritten::default(), written: HashMap::new() };
    let top = rewriter.page(Vec::new(), top, &changes).await?;
    Ok(Rewritten { top, ..rewriter.done })
}

struct Rewriter<'a> {
    pages: Pages<'a>,
    number: u64,
    done: Rewritten,
    written: HashMap<[u8; 32], Arc<Page>>,
}

type Rewriting<'r, T> = Pin<Box<dyn Future<Output = Result<T, PageError>> + Send + 'r>>;

impl Rewriter<'_> {
    /// Rewrites the page at `path` and those below it. `changes` are in the order of their keys, and all lead there.
    fn page<'r>(
        &'r mut self,
        path: Vec<u8>,
        old: Option<PageRef>,
        changes: &'r [(EntryKey, Option<ControlEntry>)],
    ) -> Rewriting<'r, Option<PageRef>> {
        Box::pin(async move {
            if changes.is_empty() {
                return Ok(old);
            }
            let page = match &old {
                None => Arc::new(Page::Leaf(Vec::new())),
                Some(named) => self.pages.load(&path, named).await?,
            };
            match &*page {
                Page::Leaf(entries) => {
                    let entries = changed(entries, changes);
                    self.entries(path, old.is_some(), &entries)
                }
                Page::Branch(children) => self.branch(path, **children, changes).await,
            }
        })
    }

    async fn branch(
        &mut self,
        path: Vec<u8>,
        mut children: [Option<PageRef>; FAN_OUT],
        changes: &[(EntryKey, Option<ControlEntry>)],
    ) -> Result<Option<PageRef>, PageError> {
        let depth = path.len();
        let first_put = self.done.puts.len();
        for (number, child) in (0..).zip(children.iter_mut()) {
            let (from, to) = range(changes, depth, usize::from(number));
            let below = changes.get(from..to).unwrap_or_default();
            *child = self.page(joined(&path, number), *child, below).await?;
        }
        let entries: u64 = children.iter().flatten().map(|child| child.entries).sum();
        if entries > LEAF {
            return Ok(Some(self.put(&path, Page::Branch(Box::new(children)), entries)));
        }
        // So few entries are one leaf. The pages below are leaves, too.
        let mut all = Vec::new();
        for (number, child) in (0..).zip(&children) {
            let below = joined(&path, number);
            let Some(child) = child else { continue };
            let page = match self.written.get(&child.mac) {
                Some(page) => Arc::clone(page),
                None => self.pages.load(&below, child).await?,
            };
            match &*page {
                Page::Leaf(entries) => all.extend(entries.iter().cloned()),
                Page::Branch(_) => return Err(misplaced(&below).into()),
            }
            self.done.deletes.push(below);
        }
        self.done.puts.truncate(first_put);
        self.entries(path, true, &all)
    }

    /// Writes entries as one leaf, or as a branch with leaves. `is_replaced`: there is a page at this place.
    fn entries(
        &mut self,
        path: Vec<u8>,
        is_replaced: bool,
        entries: &[(EntryKey, ControlEntry)],
    ) -> Result<Option<PageRef>, PageError> {
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        if count == 0 {
            if is_replaced {
                self.done.deletes.push(path);
            }
            return Ok(None);
        }
        if count <= LEAF {
            return Ok(Some(self.put(&path, Page::Leaf(entries.to_vec()), count)));
        }
        // Only equal keys share all 64 steps, and keys are unique.
        let depth = path.len();
        let mut children = [None; FAN_OUT];
        for (number, child) in (0..).zip(children.iter_mut()) {
            let (from, to) = range(entries, depth, usize::from(number));
            let below = entries.get(from..to).unwrap_or_default();
            *child = self.entries(joined(&path, number), false, below)?;
        }
        Ok(Some(self.put(&path, Page::Branch(Box::new(children)), count)))
    }

    fn put(&mut self, path: &[u8], page: Page, entries: u64) -> PageRef {
        let record = self.pages.codec.write(path, self.number, &page);
        let mac = <[u8; 32]>::try_from(record.mac.as_slice()).unwrap_or_default();
        let page = Arc::new(page);
        // The next reader needs it at once; if the change is not committed, nothing names it.
        self.pages.cache.0.insert(mac, Arc::clone(&page));
        self.written.insert(mac, page);
        self.done.puts.push(record);
        PageRef { mac, entries }
    }
}

/// The part of a sorted list whose keys lead to this child from a page at this depth.
fn range<T>(list: &[(EntryKey, T)], depth: usize, child: usize) -> (usize, usize) {
    let from = list.partition_point(|(key, _)| key.child(depth) < child);
    let to = list.partition_point(|(key, _)| key.child(depth) <= child);
    (from, to)
}

pub(crate) fn joined(path: &[u8], child: u8) -> Vec<u8> {
    [path, &[child]].concat()
}

/// Merges two sorted lists.
fn changed(
    entries: &[(EntryKey, ControlEntry)],
    changes: &[(EntryKey, Option<ControlEntry>)],
) -> Vec<(EntryKey, ControlEntry)> {
    let mut merged: BTreeMap<_, _> = entries.iter().cloned().collect();
    for (key, entry) in changes {
        match entry {
            Some(entry) => merged.insert(*key, entry.clone()),
            None => merged.remove(key),
        };
    }
    merged.into_iter().collect()
}

pub(crate) fn misplaced(path: &[u8]) -> IntegrityFault {
    IntegrityFault::new(RecordKind::ControlPage, path, "it is not the page that the one above it names")
}

#[cfg(test)]
mod tests {
    use petsem_api::HostId;

    use super::*;
    use crate::lab::Lab;
    use crate::records::RevokedAt;

    fn key(number: u64) -> EntryKey {
        let host: HostId = format!("host-{number}").parse().unwrap();
        EntryKey::host(&host)
    }

    /// A tree of pages in a real store.
    struct Tree {
        lab: Lab,
        cache: PageCache,
        top: Option<PageRef>,
        number: u64,
    }

    impl Tree {
        /// Empty: the pages of the installation itself are removed.
        async fn new() -> Self {
            let lab = Lab::new().await;
            let mut change = lab.engine.change_without_line();
            change.deletes.push((RecordKind::ControlPage, Vec::new()));
            lab.engine.store.commit(change).await.unwrap();
            Self { lab, cache: PageCache::default(), top: None, number: 1 }
        }

        fn pages(&self) -> Pages<'_> {
            Pages { store: &*self.lab.engine.store, codec: &self.lab.engine.codec, cache: &self.cache }
        }

        /// Applies changes and returns how many pages were written.
        async fn apply(&mut self, changes: &Changes) -> usize {
            self.number += 1;
            let rewritten = rewrite(self.pages(), self.top, changes, self.number).await.unwrap();
            let mut change = self.lab.engine.change_without_line();
            let written = rewritten.puts.len();
            change.puts = rewritten.puts;
            change.deletes =
                rewritten.deletes.into_iter().map(|path| (RecordKind::ControlPage, path)).collect();
            self.lab.engine.store.commit(change).await.unwrap();
            self.top = rewritten.top;
            // As another node reads it.
            self.cache = PageCache::default();
            written
        }

        async fn entries(&self) -> (BTreeMap<EntryKey, ControlEntry>, u64) {
            let (mut entries, mut pages) = (BTreeMap::new(), 0);
            let mut walk = Walk::new(self.pages(), self.top);
            while let Some(page) = walk.next().await.unwrap() {
                pages += 1;
                if let Page::Leaf(found) = &*page {
                    entries.extend(found.iter().cloned());
                }
            }
            assert_eq!(self.lab.engine.store.count(RecordKind::ControlPage).await.unwrap(), pages);
            (entries, pages)
        }
    }

    fn entry(at: u64) -> ControlEntry {
        ControlEntry::Host(RevokedAt { at })
    }

    #[tokio::test]
    async fn pages_hold_the_same_entries_in_the_same_form_after_any_changes() {
        let mut tree = Tree::new().await;
        let mut model = BTreeMap::new();
        for round in 0_u64..30 {
            // The set grows past several splits, and shrinks again.
            let removes_of_8 = if round < 15 { 1 } else { 6 };
            let mut changes = Changes::new();
            for step in 0..200 {
                // The same numbers in each run.
                let random = u64::from_be_bytes(*key(round * 1000 + step).as_bytes().first_chunk().unwrap());
                let (key, removes) = (key(random % 3000), random >> 32 & 7 < removes_of_8);
                changes.insert(key, (!removes).then(|| entry(round)));
            }
            for (key, entry) in &changes {
                match entry {
                    Some(entry) => model.insert(*key, entry.clone()),
                    None => model.remove(key),
                };
            }
            tree.apply(&changes).await;
            let (entries, pages) = tree.entries().await;
            assert_eq!(entries, model, "round {round}");
            let all: Changes = model.iter().map(|(key, entry)| (*key, Some(entry.clone()))).collect();
            let from_scratch = rewrite(tree.pages(), None, &all, 1).await.unwrap();
            assert_eq!(u64::try_from(from_scratch.puts.len()).unwrap(), pages, "round {round}");
            assert_eq!(tree.top.map_or(0, |top| top.entries), u64::try_from(model.len()).unwrap());
            for number in 0..50 {
                let found = tree.pages().find(tree.top.as_ref(), &key(number)).await.unwrap();
                assert_eq!(found.as_ref(), model.get(&key(number)));
            }
        }
        let none: Changes = model.keys().map(|key| (*key, None)).collect();
        tree.apply(&none).await;
        assert_eq!((tree.top, tree.entries().await.1), (None, 0));
    }

    #[tokio::test]
    async fn a_change_writes_only_the_pages_on_the_way_to_its_entry() {
        let mut tree = Tree::new().await;
        let many: Changes = (0..20_000).map(|number| (key(number), Some(entry(0)))).collect();
        assert!(tree.apply(&many).await > 1000);
        for number in 20_000..20_010 {
            // 20,000 entries are below 16 × 16 × 16 pages of up to 64.
            let written = tree.apply(&Changes::from([(key(number), Some(entry(1)))])).await;
            assert!((3..=4).contains(&written), "{written}");
        }
    }

    #[tokio::test]
    async fn a_page_of_another_state_is_not_used() {
        let mut tree = Tree::new().await;
        let some: Changes = (0..500).map(|number| (key(number), Some(entry(0)))).collect();
        tree.apply(&some).await;
        let before = tree.top;
        tree.apply(&Changes::from([(key(7), Some(entry(1)))])).await;
        let old = tree.pages().find(before.as_ref(), &key(7)).await;
        assert!(matches!(old, Err(PageError::Replaced)), "{old:?}");
        assert_eq!(tree.pages().find(tree.top.as_ref(), &key(7)).await.unwrap(), Some(entry(1)));
    }
}
