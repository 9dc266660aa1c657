//! The control state, which every decision depends on: signing keys, dischargers, issuers, revocations, floors.
//!
//! It is what the control feed adds up to. The feed's head names its root, so a node reads the state without reading
//! the feed: the directory into memory, entries at each lookup. Changes are numbered without gaps, and each MAC covers
//! the previous one. A missing number, or a row older than the version that the state names, fails closed.

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use petsem_api::{
    AppId, ApprovalId, ErrorCode, HostId, IssuerId, MachineId, OrgId, SigningKeyId, StoreId, TokenUuid,
};
use petsem_keys::{DischargerKey, SigningKey, scrubbed_call};
use petsem_policy::{MacaroonKey, SharedKey};
use petsem_store::{Change, RecordKind, Store};
use quick_cache::sync::Cache;
use subtle::ConstantTimeEq;

use crate::authn::issuer_keys::IssuerKeys;
use crate::control::draft::{Draft, named_id, subjects, typed};
use crate::control::pages::{Changes, PageCache, PageError, Pages, misplaced, rewrite};
use crate::error::Failure;
use crate::fetch::Fetch;
use crate::keyring::state::{KeyringState, owned};
use crate::messages;
use crate::records::{
    AppEntry, Content, ControlEntry, Directory, DischargerRow, EntryKey, FeedHeadRow, FeedRow,
    IntegrityFault, IssuerRow, KeyringKeyRow, KeyringVersions, OrgEntry, PageRef, REREADS, RecordCodec,
    RequestEntry, RevokedJwts, Row, SigningKeyEntry, SigningKeyRow, SigningKeys, TokenEntry, TokenRow,
    expect, read_row,
};

/// Feed entries per read.
const PAGE: u32 = 512;
/// Changes at the end of the feed whose chain a start verifies.
const TAIL: u64 = 64;
/// Signing keys of orgs that are kept open.
const OPEN_KEYS: usize = 4096;
/// What is wrong with a head that is older than this node's state.
const EARLIER: &str = "the feed ends before a change that this node has seen";
/// How often a lookup follows changes that are committed while it reads.
const FOLLOWED: usize = 16;

/// A key that signs tokens.
pub(crate) struct SigningEntry {
    /// Its id: the KID of its tokens.
    pub(crate) id: [u8; 16],
    /// The org that it belongs to; `None` = the platform.
    pub(crate) org: Option<OrgId>,
    /// The key.
    pub(crate) key: MacaroonKey,
}

/// How a JWT was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JwtRevocation {
    /// By its `jti`.
    Alone,
    /// With all JWTs of its subject or issuer that were issued before this time, in unix seconds.
    WithAllBefore(i64),
}

/// Why there is no key to verify a token.
#[derive(Debug)]
pub(crate) enum NoKey {
    /// No key has its KID.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key cannot be read.
    Failed(Failure),
}

impl From<Failure> for NoKey {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<IntegrityFault> for NoKey {
    fn from(fault: IntegrityFault) -> Self {
        Self::Failed(fault.into())
    }
}

/// A registered discharger.
pub(crate) struct DischargerEntry {
    /// Its id.
    pub(crate) id: [u8; 16],
    /// The version of its row that the directory names.
    version: u64,
    /// Its location.
    pub(crate) location: String,
    /// The org that it belongs to; `None` = the platform.
    pub(crate) org: Option<OrgId>,
    /// When it was registered, in Unix milliseconds.
    pub(crate) created_at: u64,
    /// The key that it shares with petsem.
    pub(crate) key: SharedKey,
}

/// A registered issuer of JWTs.
pub(crate) struct IssuerEntry {
    /// Its id.
    pub(crate) id: IssuerId,
    /// The version of its row.
    pub(crate) version: u64,
    /// Its registration.
    pub(crate) row: IssuerRow,
    /// Its keys.
    pub(crate) keys: IssuerKeys,
}

/// The control state after a numbered change.
#[derive(Clone)]
pub(crate) struct Control {
    source: Arc<ControlSource>,
    /// The number of the last applied change.
    pub(crate) number: u64,
    mac: [u8; 32],
    head_version: u64,
    top: Option<PageRef>,
    directory_mac: String,
    directory: Arc<Directory>,
    dischargers: Vec<Arc<DischargerEntry>>,
    issuers: HashMap<String, Arc<IssuerEntry>>,
    /// Revocations of this node that the feed does not contain yet.
    denied: Arc<Changes>,
}

/// Where the control state is read from.
pub(crate) struct ControlSource {
    store: Arc<dyn Store>,
    fetch: Arc<dyn Fetch>,
    codec: Arc<RecordCodec>,
    keys: Arc<KeyringState>,
    store_id: StoreId,
    pages: PageCache,
    /// Keys that are in use. Whether a key is still valid is asked of its entry, at each use.
    signing_keys: Cache<SigningKeyId, Arc<SigningEntry>>,
}

impl ControlSource {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        fetch: Arc<dyn Fetch>,
        codec: Arc<RecordCodec>,
        keys: Arc<KeyringState>,
        store_id: StoreId,
    ) -> Self {
        let (pages, signing_keys) = (PageCache::default(), Cache::new(OPEN_KEYS));
        Self { store, fetch, codec, keys, store_id, pages, signing_keys }
    }

    fn pages(&self) -> Pages<'_> {
        Pages { store: &*self.store, codec: &self.codec, cache: &self.pages }
    }
}

impl Control {
    /// The state before the first change.
    pub(crate) fn before_all(source: ControlSource) -> Self {
        Self {
            source: Arc::new(source),
            number: 0,
            mac: [0; 32],
            head_version: 0,
            top: None,
            directory_mac: String::new(),
            directory: Arc::default(),
            dischargers: Vec::new(),
            issuers: HashMap::new(),
            denied: Arc::default(),
        }
    }

    /// The row version of the feed's head.
    pub(crate) fn head_version(&self) -> u64 {
        self.head_version
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The same state with revocations that the feed does not contain yet.
    pub(crate) fn denying(&self, rows: &[FeedRow]) -> Result<Self, IntegrityFault> {
        let mut draft = Draft::default();
        rows.iter().try_for_each(|row| draft.fold(row))?;
        Ok(Self { denied: Arc::new(draft.changes), ..self.clone() })
    }

    /// What was taken away from an app.
    pub(crate) async fn app(&self, app: AppId) -> Result<AppEntry, Failure> {
        self.typed(&EntryKey::app(app)).await
    }

    /// An org.
    pub(crate) async fn org(&self, org: OrgId) -> Result<OrgEntry, Failure> {
        self.typed(&EntryKey::org(org)).await
    }

    /// The decision of a request for an approval.
    pub(crate) async fn request(&self, request: ApprovalId) -> Result<RequestEntry, Failure> {
        self.typed(&EntryKey::request(request)).await
    }

    /// Whether a token, discharge or renewal was revoked, or the signing key with this id in lineages.
    pub(crate) async fn is_token_revoked(&self, token: &TokenUuid) -> Result<bool, Failure> {
        let key = EntryKey::token(token);
        Ok(self.is_denied(&key) || self.typed::<TokenEntry>(&key).await?.is_revoked)
    }

    /// Whether one of these tokens was revoked.
    pub(crate) async fn is_any_revoked(&self, tokens: &[TokenUuid]) -> Result<bool, Failure> {
        for token in tokens {
            if self.is_token_revoked(token).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a signing key was revoked.
    pub(crate) async fn is_key_revoked(&self, id: SigningKeyId) -> Result<bool, Failure> {
        let key = EntryKey::signing_key(id);
        Ok(self.is_denied(&key) || self.typed::<SigningKeyEntry>(&key).await?.is_revoked)
    }

    /// Whether a host was revoked, which is for ever.
    pub(crate) async fn is_host_revoked(&self, host: &HostId) -> Result<bool, Failure> {
        self.is_present(&EntryKey::host(host)).await
    }

    /// Whether a host, or a Machine of an app, was revoked.
    pub(crate) async fn is_boot_revoked(
        &self,
        host: &HostId,
        app: AppId,
        machine: &MachineId,
    ) -> Result<bool, Failure> {
        Ok(self.is_host_revoked(host).await? || self.is_present(&EntryKey::machine(app, machine)).await?)
    }

    /// How a JWT was revoked, if it was. `issued_at` in unix seconds.
    pub(crate) async fn jwt_revocation(
        &self,
        issuer: &str,
        sub: Option<&str>,
        jti: Option<&str>,
        issued_at: i64,
    ) -> Result<Option<JwtRevocation>, Failure> {
        if let Some(jti) = jti
            && self.is_present(&EntryKey::jwt(issuer, jti)).await?
        {
            return Ok(Some(JwtRevocation::Alone));
        }
        let subject = self.revoked_before(&EntryKey::jwt_subject(issuer, sub.unwrap_or_default())).await?;
        let before = subject.max(self.revoked_before(&EntryKey::jwt_issuer(issuer)).await?);
        Ok((issued_at < before).then_some(JwtRevocation::WithAllBefore(before)))
    }

    /// Whether what an outside discharger proved for a subject at this time was revoked. Unix seconds.
    pub(crate) async fn is_subject_revoked(
        &self,
        discharger: &str,
        sub: &str,
        proved_at: i64,
    ) -> Result<bool, Failure> {
        Ok(proved_at < self.revoked_before(&EntryKey::discharger_subject(discharger, sub)).await?)
    }

    /// The time of a revocation: what was issued before it is revoked.
    async fn revoked_before(&self, key: &EntryKey) -> Result<i64, Failure> {
        let denied: RevokedJwts = typed(key, self.denied.get(key).cloned().flatten())?;
        let stored: RevokedJwts = self.typed(key).await?;
        Ok(denied.before.max(stored.before))
    }

    /// The signing key with this KID.
    pub(crate) async fn signing_key(&self, kid: &[u8]) -> Result<Arc<SigningEntry>, NoKey> {
        let id = SigningKeyId::from_bytes(<[u8; 16]>::try_from(kid).map_err(|_| NoKey::Unknown)?);
        let key = EntryKey::signing_key(id);
        if self.is_denied(&key) {
            return Err(NoKey::Revoked);
        }
        let mut entry = typed::<SigningKeyEntry>(&key, self.stored(&key).await?)?;
        for _ in 0..REREADS {
            match entry {
                SigningKeyEntry { is_revoked: true, .. } => {
                    self.source.signing_keys.remove(&id);
                    return Err(NoKey::Revoked);
                }
                SigningKeyEntry { version: 0, .. } => {
                    self.source.signing_keys.remove(&id);
                    return Err(NoKey::Unknown);
                }
                SigningKeyEntry { version, org, .. } => {
                    if let Some(open) = self.source.signing_keys.get(&id) {
                        return Ok(open);
                    }
                    if let Some(open) = self.source.open_signing_key(id, org, version).await? {
                        let open = Arc::new(open);
                        self.source.signing_keys.insert(id, Arc::clone(&open));
                        return Ok(open);
                    }
                }
            }
            // It was destroyed after this state, or its row by hand.
            entry = typed(&key, self.newest(&key).await?)?;
        }
        Err(IntegrityFault::new(RecordKind::SigningKey, id.as_bytes(), "it is missing").into())
    }

    /// A signing key.
    pub(crate) async fn signing_key_entry(&self, id: SigningKeyId) -> Result<SigningKeyEntry, Failure> {
        self.typed(&EntryKey::signing_key(id)).await
    }

    /// Whether this signing key exists, revoked or not.
    pub(crate) async fn has_key(&self, id: SigningKeyId) -> Result<bool, Failure> {
        Ok(self.signing_key_entry(id).await?.version > 0)
    }

    /// Whether this key signs new tokens.
    pub(crate) async fn is_current_key(&self, id: SigningKeyId) -> Result<bool, Failure> {
        let entry: SigningKeyEntry = self.typed(&EntryKey::signing_key(id)).await?;
        Ok(self.keys_of(entry.org).await?.current() == Some(id))
    }

    /// The signing key that has this id in the lineages of its tokens.
    pub(crate) async fn key_with_lineage_id(&self, id: &TokenUuid) -> Result<Option<SigningKeyId>, Failure> {
        Ok(self.typed::<TokenEntry>(&EntryKey::token(id)).await?.signing_key)
    }

    /// All keys of an org, or of the platform.
    pub(crate) async fn keys_of(&self, org: Option<OrgId>) -> Result<SigningKeys, Failure> {
        match org {
            None => Ok(self.directory.platform_keys.clone()),
            Some(org) => Ok(self.org(org).await?.keys),
        }
    }

    /// How many keys of an org, or of the platform, are not revoked.
    pub(crate) async fn live_keys_of(&self, org: Option<OrgId>) -> Result<usize, Failure> {
        let mut live = 0;
        for key in self.keys_of(org).await?.0 {
            live += usize::from(!self.is_key_revoked(key).await?);
        }
        Ok(live)
    }

    /// The versions of the keyring.
    pub(crate) fn keyring_versions(&self) -> &KeyringVersions {
        &self.directory.keyring
    }

    /// Refuses the store's own row if a change has replaced this version.
    pub(crate) fn check_store_row(&self, version: u64) -> Result<(), IntegrityFault> {
        if version >= self.directory.store {
            return Ok(());
        }
        Err(IntegrityFault::new(RecordKind::Store, &[], "an older version of it was put back"))
    }

    /// All dischargers.
    pub(crate) fn dischargers(&self) -> &[Arc<DischargerEntry>] {
        &self.dischargers
    }

    /// The issuer whose `iss` is exactly this.
    pub(crate) fn issuer(&self, iss: &str) -> Option<&Arc<IssuerEntry>> {
        self.issuers.get(iss)
    }

    /// The issuer with this id.
    pub(crate) fn issuer_by_id(&self, id: IssuerId) -> Option<&Arc<IssuerEntry>> {
        self.issuers.values().find(|entry| entry.id == id)
    }

    /// All issuers.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &Arc<IssuerEntry>> {
        self.issuers.values()
    }

    async fn typed<T: TryFrom<ControlEntry> + Default>(&self, key: &EntryKey) -> Result<T, Failure> {
        Ok(typed(key, self.stored(key).await?)?)
    }

    async fn is_present(&self, key: &EntryKey) -> Result<bool, Failure> {
        Ok(self.is_denied(key) || self.stored(key).await?.is_some())
    }

    fn is_denied(&self, key: &EntryKey) -> bool {
        self.denied.contains_key(key)
    }

    /// The entry that the store has for this key, in this state or a later one.
    pub(crate) async fn stored(&self, key: &EntryKey) -> Result<Option<ControlEntry>, Failure> {
        match self.source.pages().find(self.top.as_ref(), key).await {
            Ok(entry) => Ok(entry),
            Err(PageError::Replaced) => self.newest(key).await,
            Err(PageError::Failed(failure)) => Err(failure),
        }
    }

    /// The entry with this key in the newest state, which is not older than this one.
    async fn newest(&self, key: &EntryKey) -> Result<Option<ControlEntry>, Failure> {
        let mut before = self.head_version;
        for _ in 0..FOLLOWED {
            let head = self.source.head().await?;
            if head.version < before || head.content.number < self.number {
                return Err(feed_fault(head.content.number + 1, EARLIER));
            }
            match self.source.pages().find(head.content.pages.as_ref(), key).await {
                Ok(entry) => return Ok(entry),
                Err(PageError::Failed(failure)) => return Err(failure),
                // No change replaced the page.
                Err(PageError::Replaced) if head.version == before => {
                    return Err(misplaced(key.as_bytes()).into());
                }
                Err(PageError::Replaced) => before = head.version,
            }
        }
        Err(messages::nodes_keep_changing())
    }

    /// Adds control changes to a transaction: their entries of the feed, and the state after them. Returns the number
    /// of the last one.
    pub(crate) async fn extend(&self, change: &mut Change, rows: &[FeedRow]) -> Result<u64, PageError> {
        let mut draft = Draft::of(self.directory().clone());
        for row in rows {
            let mut needed = subjects(row);
            while let Some(key) = needed.pop() {
                if !draft.has(&key)
                    && let Some(entry) = self.stored(&key).await.map_err(PageError::Failed)?
                {
                    needed.extend(draft.load(key, entry, row));
                }
            }
            draft.fold(row)?;
        }
        let ended = draft.ended_keys.iter().map(|key| (RecordKind::SigningKey, key.as_bytes().to_vec()));
        change.deletes.extend(ended);
        let before = StoredState {
            number: self.number,
            mac: self.mac,
            head_version: self.head_version,
            top: self.top,
            directory: Some((&self.directory, &self.directory_mac)),
        };
        before.extend(self.source.pages(), self.source.store_id, change, rows, &draft).await
    }

    /// The state at the end of the feed; `None` if there are no new changes.
    pub(crate) async fn advanced(&self) -> Result<Option<Self>, Failure> {
        let mut tries = 0;
        loop {
            let head = self.source.head().await?;
            match self.advanced_to(&head).await {
                // A change after this head may have replaced what is missing. Only a fault at the newest head counts.
                Err(failure)
                    if failure.code() == ErrorCode::Integrity
                        && tries < FOLLOWED
                        && self.source.head().await?.version != head.version =>
                {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn advanced_to(&self, head: &Row<FeedHeadRow>) -> Result<Option<Self>, Failure> {
        let Row { version, content: head } = head;
        if head.number < self.number || *version < self.head_version {
            return Err(feed_fault(head.number + 1, EARLIER));
        }
        if head.number == self.number && *version == self.head_version {
            let is_same = is_the_mac(&self.mac, &head.mac)
                && head.pages == self.top
                && head.directory == self.directory_mac;
            return if is_same {
                Ok(None)
            } else {
                Err(feed_fault(self.number, "the feed's head names another state after it"))
            };
        }
        let mac = self.follow_feed(head).await?;
        self.source.codec.note_change(head.number);
        let directory = self.source.directory(head).await?;
        let mut next = Self {
            number: head.number,
            mac,
            head_version: *version,
            top: head.pages,
            directory_mac: head.directory.clone(),
            directory: Arc::new(directory),
            ..self.clone()
        };
        next.read_directory().await?;
        Ok(Some(next))
    }

    /// Verifies the changes between this state and the head; at a start, the last ones. Returns the MAC of the last.
    async fn follow_feed(&self, head: &FeedHeadRow) -> Result<[u8; 32], Failure> {
        let ControlSource { store, codec, .. } = &*self.source;
        let is_start = self.head_version == 0;
        let (mut number, mut mac) =
            if is_start { (head.number.saturating_sub(TAIL), [0; 32]) } else { (self.number, self.mac) };
        if is_start && number > 0 {
            // Its MAC is taken as it is: those after it depend on it.
            let entries = store.feed(number - 1, 1).await?;
            let entry = entries.first().filter(|entry| entry.number == number);
            mac = entry
                .and_then(|entry| <[u8; 32]>::try_from(entry.mac.as_slice()).ok())
                .ok_or_else(|| feed_fault(number, "it is missing"))?;
        }
        while number < head.number {
            let entries = store.feed(number, PAGE).await?;
            if entries.is_empty() {
                return Err(feed_fault(number + 1, "it is missing"));
            }
            for entry in &entries {
                if number == head.number {
                    break; // Written after the head was read; the next refresh follows it.
                }
                (_, mac) = codec.read_feed(number + 1, &mac, entry)?;
                number += 1;
            }
        }
        if !is_the_mac(&mac, &head.mac) {
            return Err(feed_fault(number, "its MAC is not the one that the feed's head names"));
        }
        Ok(mac)
    }

    /// Reads what the directory names, as far as it is new.
    async fn read_directory(&mut self) -> Result<(), Failure> {
        let directory = Arc::clone(&self.directory);
        for version in directory.keyring.live() {
            self.source.learn_keyring(version).await?;
        }
        let before: HashMap<IssuerId, Arc<IssuerEntry>> =
            self.issuers.drain().map(|(_, entry)| (entry.id, entry)).collect();
        for (id, version) in &directory.issuers {
            let known = before.get(id).filter(|entry| entry.version == *version);
            let entry = match known {
                Some(entry) => Arc::clone(entry),
                None => Arc::new(self.source.issuer(*id, *version).await?),
            };
            self.issuers.insert(entry.row.issuer.clone(), entry);
        }
        let before = std::mem::take(&mut self.dischargers);
        for (id, version) in &directory.dischargers {
            let id = named_id(id)?;
            let known = before.iter().find(|entry| entry.id == id && entry.version == *version);
            self.dischargers.push(match known {
                Some(entry) => Arc::clone(entry),
                None => Arc::new(self.source.discharger(id, *version).await?),
            });
        }
        Ok(())
    }
}

/// A stored state, as its head names it.
struct StoredState<'a> {
    number: u64,
    mac: [u8; 32],
    head_version: u64,
    top: Option<PageRef>,
    directory: Option<(&'a Directory, &'a str)>,
}

impl StoredState<'_> {
    async fn extend(
        self,
        pages: Pages<'_>,
        store: StoreId,
        change: &mut Change,
        rows: &[FeedRow],
        draft: &Draft,
    ) -> Result<u64, PageError> {
        let (mut number, mut mac) = (self.number, self.mac);
        for row in rows {
            number += 1;
            let entry = pages.codec.write_feed(number, &mac, row);
            mac = <[u8; 32]>::try_from(entry.mac.as_slice()).unwrap_or_default();
            change.feed.push(entry);
        }
        let rewritten = rewrite(pages, self.top, &draft.changes, number).await?;
        change.puts.extend(rewritten.puts);
        change.deletes.extend(rewritten.deletes.into_iter().map(|path| (RecordKind::ControlPage, path)));
        let directory = match self.directory {
            Some((directory, mac)) if *directory == draft.directory => mac.to_owned(),
            _ => {
                let row = pages.codec.write(&[], number, &draft.directory);
                let mac = HEXLOWER.encode(&row.mac);
                change.puts.push(row);
                mac
            }
        };
        let mac = HEXLOWER.encode(&mac);
        let head = FeedHeadRow { store, number, mac, directory, pages: rewritten.top };
        change.expects.push(expect::<FeedHeadRow>(&[], self.head_version));
        change.puts.push(pages.codec.write(&[], self.head_version + 1, &head));
        Ok(number)
    }
}

/// A state that no head names yet: the empty one of a new installation, or one whose pages and changes have new MACs.
#[derive(Default)]
pub(crate) struct UnnamedState {
    /// The number of the last change.
    pub(crate) number: u64,
    /// Its MAC.
    pub(crate) mac: [u8; 32],
    /// The row version of the head from before; 0 if there is none.
    pub(crate) head_version: u64,
    /// The top page.
    pub(crate) top: Option<PageRef>,
    /// The directory.
    pub(crate) directory: Directory,
}

impl UnnamedState {
    /// Adds a head for this state to a transaction, after control changes that read no entry.
    ///
    /// # Errors
    /// A page is missing. None in an empty store.
    pub(crate) async fn extend(
        self,
        store: &dyn Store,
        codec: &RecordCodec,
        store_id: StoreId,
        change: &mut Change,
        rows: &[FeedRow],
    ) -> Result<(), Failure> {
        let mut draft = Draft::of(self.directory);
        rows.iter().try_for_each(|row| draft.fold(row))?;
        let pages = Pages { store, codec, cache: &PageCache::default() };
        let (number, mac, head_version, top) = (self.number, self.mac, self.head_version, self.top);
        // The directory's row has no MAC that a head could name, so it is written, too.
        let before = StoredState { number, mac, head_version, top, directory: None };
        match before.extend(pages, store_id, change, rows, &draft).await {
            Ok(_) => Ok(()),
            Err(PageError::Failed(failure)) => Err(failure),
            Err(PageError::Replaced) => Err(misplaced(&[]).into()),
        }
    }
}

impl ControlSource {
    async fn row<T: Content>(&self, id: &[u8]) -> Result<Option<Row<T>>, Failure> {
        Ok(read_row(&*self.store, &self.codec, id).await?.transpose()?)
    }

    async fn head(&self) -> Result<Row<FeedHeadRow>, Failure> {
        let fault = |what| IntegrityFault::new(RecordKind::FeedHead, &[], what);
        let record = self.store.record(RecordKind::FeedHead, &[]).await?;
        // It says which change is the newest, so its writer may know one that this node does not.
        let (head, _) = self
            .codec
            .read_with_change::<FeedHeadRow>(&[], &record.ok_or_else(|| fault("it is missing"))?)?;
        if head.content.store != self.store_id {
            return Err(fault("it is of another store").into());
        }
        Ok(head)
    }

    async fn directory(&self, head: &FeedHeadRow) -> Result<Directory, Failure> {
        let fault = |what| IntegrityFault::new(RecordKind::ControlDirectory, &[], what);
        let record = self.store.record(RecordKind::ControlDirectory, &[]).await?;
        let record = record.ok_or_else(|| fault("it is missing"))?;
        if !<[u8; 32]>::try_from(record.mac.as_slice()).is_ok_and(|mac| is_the_mac(&mac, &head.directory)) {
            return Err(fault("it is not the one that the feed's head names").into());
        }
        Ok(self.codec.read::<Directory>(&[], &record)?.content)
    }

    /// A row that the state names at a version. A newer row is named by a later change.
    async fn at<T: Content>(&self, id: &[u8], version: u64) -> Result<Option<T>, Failure> {
        let Some(row) = self.row::<T>(id).await? else { return Ok(None) };
        if row.version < version {
            return Err(IntegrityFault::new(T::KIND, id, "an older version of it was put back").into());
        }
        Ok(Some(row.content))
    }

    /// Loads a version of the keyring into memory.
    async fn learn_keyring(&self, version: u32) -> Result<(), Failure> {
        if self.keys.keyring().key(version).is_some() {
            return Ok(());
        }
        let id = version.to_be_bytes();
        let fault = |what| Failure::from(IntegrityFault::new(RecordKind::KeyringKey, &id, what));
        let row = self.row::<KeyringKeyRow>(&id).await?.ok_or_else(|| fault("it is missing"))?;
        let store = *self.store_id.as_bytes();
        let learned: Result<_, Failure> = scrubbed_call(|| {
            let key = self.keys.root().unwrap_keyring_key(&row.content.wrapped, store, version);
            let key = key.map_err(|error| fault("it does not open").because(error))?;
            // Another task of this node may have loaded it first.
            Ok(self.keys.change_keyring(|keyring| keyring.add(key)).is_ok())
        });
        let is_there = learned? || self.keys.keyring().key(version).is_some();
        if is_there { Ok(()) } else { Err(fault("it cannot be added to the keyring")) }
    }

    async fn open_signing_key(
        &self,
        id: SigningKeyId,
        org: Option<OrgId>,
        version: u64,
    ) -> Result<Option<SigningEntry>, Failure> {
        // Opens the row even if its version of the keyring is destroyed meanwhile.
        let before = self.keys.keyring();
        let fault = |what| Failure::from(IntegrityFault::new(RecordKind::SigningKey, id.as_bytes(), what));
        let Some(row) = self.at::<SigningKeyRow>(id.as_bytes(), version).await? else { return Ok(None) };
        if row.org != org {
            return Err(fault("it belongs to another org"));
        }
        let context = owned(self.store_id, *id.as_bytes(), org);
        let key: SigningKey = scrubbed_call(|| self.keys.unwrap(&before, &row.wrapped, &context))
            .map_err(|error| fault("it does not open").because(error))?;
        let key = MacaroonKey::held_by(LockedSigningKey(key));
        Ok(Some(SigningEntry { id: *id.as_bytes(), org, key }))
    }

    async fn issuer(&self, id: IssuerId, version: u64) -> Result<IssuerEntry, Failure> {
        let missing = || IntegrityFault::new(RecordKind::Issuer, id.as_bytes(), "it is missing");
        let row = self.at::<IssuerRow>(id.as_bytes(), version).await?.ok_or_else(missing)?;
        let keys = IssuerKeys::of(&row, &*self.fetch).map_err(Failure::internal)?;
        Ok(IssuerEntry { id, version, row, keys })
    }

    async fn discharger(&self, id: [u8; 16], version: u64) -> Result<DischargerEntry, Failure> {
        let before = self.keys.keyring();
        let fault = |what| Failure::from(IntegrityFault::new(RecordKind::Discharger, &id, what));
        let row = self.at::<DischargerRow>(&id, version).await?.ok_or_else(|| fault("it is missing"))?;
        let context = owned(self.store_id, id, row.org);
        let key: DischargerKey = scrubbed_call(|| self.keys.unwrap(&before, &row.wrapped, &context))
            .map_err(|error| fault("it does not open").because(error))?;
        let key = SharedKey::held_by(LockedDischargerKey(key));
        let DischargerRow { location, org, created_at, .. } = row;
        Ok(DischargerEntry { id, version, location, org, created_at, key })
    }
}

/// Keeps the key in the locked memory where `keys` put it, for as long as it is open.
struct LockedSigningKey(SigningKey);

impl AsRef<[u8]> for LockedSigningKey {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_signing_key()
    }
}

/// Like [`LockedSigningKey`].
struct LockedDischargerKey(DischargerKey);

impl AsRef<[u8; 32]> for LockedDischargerKey {
    fn as_ref(&self) -> &[u8; 32] {
        self.0.expose_discharger_key()
    }
}

/// Compares two MACs in constant time.
pub(crate) fn is_the_mac(mac: &[u8; 32], hex: &str) -> bool {
    HEXLOWER.encode(mac).as_bytes().ct_eq(hex.as_bytes()).into()
}

pub(crate) fn feed_fault(number: u64, what: &'static str) -> Failure {
    IntegrityFault::new("control change", &number.to_be_bytes(), what).into()
}

impl TokenRow {
    /// Whether the token, its key or a token that it was minted from was revoked.
    pub(crate) async fn is_revoked(&self, control: &Control, id: &TokenUuid) -> Result<bool, Failure> {
        Ok(control.is_key_revoked(self.key).await?
            || control.is_token_revoked(id).await?
            || control.is_any_revoked(&self.ancestors).await?)
    }
}
