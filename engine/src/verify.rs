//! `petsem operator verify`: whether the store is unchanged, and has everything that the audit log recorded.
//!
//! It needs a seal. It verifies MACs of rows, the chain of control changes, and the newest version of each app that the
//! log names. It opens each bundle, value of the history and secret key, because only the AEAD proves that they are
//! unchanged; the modules that open them return no plaintext. It continues after a fault, so that one run finds all
//! faults.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use petsem_api::{AppId, AppName, OrgId, StoreId};
use petsem_audit::verify_lines;
use petsem_keys::Keyring;
use petsem_store::{AppPart, PartRows, ReadError, RecordKind, Store};
use serde::{Deserialize, Serialize};

use crate::control::draft::Draft;
use crate::control::pages::{PageCache, PageError, Pages, Walk};
use crate::control::state::is_the_mac;
use crate::error::Failure;
use crate::keyring::node_keys::NodeKeys;
use crate::keyring::unlock::{UnlockError, Unlocked};
use crate::messages;
use crate::records::{
    AppHead, AppNameRow, AppRotationRow, ApprovalRow, Content, ControlEntry, Directory, DischargerRow,
    EntryKey, FeedHeadRow, FeedRow, IntegrityFault, IssuerRow, KeyringKeyRow, NodeRow, OrgAppRow, OrgNameRow,
    OrgRow, Page, PolicyRow, PollRow, RecordCodec, RequestEntry, Row, Scan, SealRow, SecretKeysRow,
    SignedNote, SigningKeyRow, StoreRow, TokenRow, read_row,
};
use crate::secret_keys::check_secret_key;
use crate::secrets::bundle::SealedApp;
use crate::tenancy::found::FoundApp;

/// Rows, values and control changes on one page.
const PAGE: u32 = 500;
/// Faults that are listed; further ones are only counted.
const LISTED: usize = 1000;

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// Rows whose MACs were verified.
    pub rows: u64,
    /// Apps whose bundles were compared with their heads.
    pub apps: u64,
    /// Values of the history that opened.
    pub values: u64,
    /// Secret keys that opened.
    pub secret_keys: u64,
    /// Control changes.
    pub changes: u64,
    /// Lines of this node's audit log that are on this node; `None` if it never wrote one.
    pub audit_lines: Option<u64>,
    /// The number of the first of them; above 1 if the files before it were moved or removed.
    pub audit_first_line: Option<u64>,
    /// What is wrong with that log; then only the lines before it were compared with the store.
    pub audit_fault: Option<String>,
    /// Apps whose newest version in the log is above the store's.
    pub behind: Vec<AppBehind>,
    /// The first 1000 faults.
    pub faults: Vec<String>,
    /// The number of faults.
    pub fault_count: u64,
}

/// An app that was restored to an earlier version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppBehind {
    /// Its id.
    pub app: AppId,
    /// Its version in the store; `None` if it is missing.
    pub store_version: Option<u64>,
    /// The newest version that the log names.
    pub audit_version: u64,
}

impl StoreReport {
    /// Whether no fault was found.
    pub fn is_good(&self) -> bool {
        self.has_good_store() && self.audit_fault.is_none()
    }

    /// Whether no fault was found in the store itself.
    pub fn has_good_store(&self) -> bool {
        self.fault_count == 0 && self.behind.is_empty()
    }

    fn fault(&mut self, text: impl ToString) {
        self.fault_count += 1;
        if self.faults.len() < LISTED {
            self.faults.push(text.to_string());
        }
    }

    /// Lists the fault in a row of the app, if there is one; returns whether there is none.
    fn checked(&mut self, app: AppId, result: Result<(), Failure>) -> bool {
        match result {
            Ok(()) => true,
            Err(failure) => {
                self.fault(messages::app_fault(app, failure.operator_text()));
                false
            }
        }
    }
}

/// Verifies the whole store, and this node's audit log if it has one.
///
/// # Errors
/// The store cannot be read. The report lists the faults in it.
pub async fn verify_store(
    store: &dyn Store,
    unlocked: &Unlocked,
    log: Option<(NodeKeys, &Path)>,
) -> Result<StoreReport, UnlockError> {
    let mut verifier = StoreVerifier {
        store,
        store_id: unlocked.store_id,
        keyring: Arc::new(unlocked.keyring.share()),
        codec: &unlocked.codec,
        names: HashMap::new(),
        listed: HashSet::new(),
        heads: BTreeMap::new(),
        report: StoreReport::default(),
    };
    verifier.note_newest_change().await?;
    verifier.rows::<StoreRow>().await?;
    verifier.rows::<SealRow>().await?;
    verifier.rows::<KeyringKeyRow>().await?;
    verifier.rows::<OrgRow>().await?;
    verifier.rows::<OrgNameRow>().await?;
    let names = verifier.each::<AppNameRow>().await?;
    verifier.names = names.into_iter().map(|(name, row)| (name, row.content.app)).collect();
    let listed = verifier.each::<OrgAppRow>().await?;
    verifier.listed = listed.into_iter().map(|(id, _)| id).collect();
    verifier.rows::<PolicyRow>().await?;
    verifier.rows::<SecretKeysRow>().await?;
    verifier.rows::<IssuerRow>().await?;
    verifier.rows::<DischargerRow>().await?;
    verifier.rows::<SigningKeyRow>().await?;
    verifier.rows::<TokenRow>().await?;
    verifier.rows::<NodeRow>().await?;
    verifier.rows::<ApprovalRow>().await?;
    verifier.rows::<PollRow>().await?;
    verifier.rows::<AppRotationRow>().await?;
    let versions = verifier.apps().await?;
    let deleted = verifier.feed().await?;
    if let Some((keys, directory)) = log {
        verifier.audit(keys, directory, &versions, &deleted).await?;
    }
    Ok(verifier.report)
}

struct StoreVerifier<'a> {
    store: &'a dyn Store,
    store_id: StoreId,
    keyring: Arc<Keyring>,
    codec: &'a RecordCodec,
    /// The apps by the rows of their names.
    names: HashMap<Vec<u8>, AppId>,
    /// The apps in the lists of their orgs.
    listed: HashSet<(OrgId, AppId)>,
    /// Org and name of each app, from its head.
    heads: BTreeMap<AppId, (OrgId, AppName)>,
    report: StoreReport,
}

impl StoreVerifier<'_> {
    /// Rows that name a later control change than the feed's head are faults.
    async fn note_newest_change(&self) -> Result<(), ReadError> {
        // A fault in the head is reported with the feed.
        if let Some(record) = self.store.record(RecordKind::FeedHead, &[]).await?
            && let Ok((head, _)) = self.codec.read_with_change::<FeedHeadRow>(&[], &record)
        {
            self.codec.note_change(head.content.number);
        }
        Ok(())
    }

    /// Verifies every row of a kind.
    async fn rows<T: Content>(&mut self) -> Result<(), ReadError> {
        self.each::<T>().await.map(drop)
    }

    /// The same, and returns the valid rows.
    async fn each<T: Content>(&mut self) -> Result<Vec<(T::Id, Row<T>)>, ReadError> {
        let mut good = Vec::new();
        let mut scan = Scan::<T>::new(self.store, self.codec, PAGE);
        loop {
            let page = scan.next_page().await?;
            if page.is_empty() {
                return Ok(good);
            }
            for entry in page {
                match entry {
                    Ok(entry) => {
                        self.report.rows += 1;
                        good.push(entry);
                    }
                    Err(fault) => self.report.fault(fault),
                }
            }
        }
    }

    /// Verifies what each app has; returns the versions of the apps.
    async fn apps(&mut self) -> Result<HashMap<AppId, u64>, ReadError> {
        let mut versions = HashMap::new();
        for (app, head) in self.each::<AppHead>().await? {
            versions.insert(app, head.content.app_version);
            self.heads.insert(app, (head.content.org, head.content.name.clone()));
            self.report.apps += 1;
            match self.app(app, head).await {
                // A row of another form than petsem writes; the other apps are still verified.
                Err(error @ ReadError::Corrupt(_)) => {
                    self.report.fault(messages::app_unreadable(app, &error));
                }
                done => done?,
            }
        }
        Ok(versions)
    }

    /// Verifies that an app's policy and secret keys are those that its head names, and that all that is sealed opens.
    async fn app(&mut self, id: AppId, head: Row<AppHead>) -> Result<(), ReadError> {
        let rows = self.store.app(id, AppPart::Secrets).await?;
        let none = PartRows::Secrets { policy: None, bundle: None };
        let part = rows.map_or(none, |rows| rows.part);
        let policy_version = match &part {
            PartRows::Secrets { policy: Some(row), .. } => row.row_version,
            _ => 0,
        };
        let keyring = Arc::clone(&self.keyring);
        let Row { version: head_version, content: head } = head;
        let app = FoundApp { id, head_version, head: Arc::new(head), part, keyring };
        let sealed = SealedApp { store: self.store_id, app: &app };

        self.report.checked(id, sealed.check_bundle());
        if policy_version != app.head.policy_version {
            let named = app.head.policy_version;
            self.report.fault(messages::policy_version_missing(id, named, policy_version));
        }
        self.secret_keys(&sealed).await?;
        self.history(&sealed).await
    }

    async fn secret_keys(&mut self, sealed: &SealedApp<'_>) -> Result<(), ReadError> {
        let (id, named) = (sealed.app.id, sealed.app.head.secret_keys_version);
        let row = match read_row::<SecretKeysRow>(self.store, self.codec, id.as_bytes()).await? {
            None => Row { version: 0, content: SecretKeysRow::default() },
            Some(Ok(row)) => row,
            // Reported with the rows of its kind.
            Some(Err(_)) => return Ok(()),
        };
        if row.version != named {
            self.report.fault(messages::secret_keys_version_missing(id, named, row.version));
        }
        for (name, key) in &row.content.keys {
            let opens = self.report.checked(id, check_secret_key(sealed, name, key));
            self.report.secret_keys += u64::from(opens);
        }
        Ok(())
    }

    async fn history(&mut self, sealed: &SealedApp<'_>) -> Result<(), ReadError> {
        let mut last = None;
        loop {
            let after = last.as_ref().map(|(name, version)| (name, *version));
            let page = self.store.values(sealed.app.id, after, PAGE).await?;
            for row in &page {
                let opens = self.report.checked(sealed.app.id, sealed.check_value(row));
                self.report.values += u64::from(opens);
            }
            match page.into_iter().next_back() {
                None => return Ok(()),
                Some(row) => last = Some((row.name, row.app_version)),
            }
        }
    }

    /// Verifies the control changes from the first; returns the apps that were deleted.
    async fn feed(&mut self) -> Result<HashSet<AppId>, ReadError> {
        let mut deleted = HashSet::new();
        let head = match read_row::<FeedHeadRow>(self.store, self.codec, &[]).await? {
            Some(Ok(row)) => row.content,
            Some(Err(fault)) => {
                self.report.fault(fault);
                return Ok(deleted);
            }
            None => {
                self.report.fault(messages::NO_FEED_HEAD);
                return Ok(deleted);
            }
        };
        let (mut number, mut mac, mut state) = (0, [0; 32], Draft::default());
        while number < head.number {
            let entries = self.store.feed(number, PAGE).await?;
            if entries.is_empty() {
                self.report.fault(messages::control_changes_missing(number + 1));
                return Ok(deleted);
            }
            for entry in entries {
                match self.codec.read_feed(number + 1, &mac, &entry) {
                    Ok((row, next)) => {
                        if let Err(fault) = state.fold(&row) {
                            self.report.fault(fault);
                        }
                        match row {
                            FeedRow::AppDeleted { app, .. } => {
                                deleted.insert(app);
                            }
                            FeedRow::KeyringDestroyed { version, .. } => {
                                self.check_destroyed(version).await?;
                            }
                            _ => {}
                        }
                        number += 1;
                        mac = next;
                        self.report.changes += 1;
                    }
                    Err(fault) => {
                        // Every later one depends on this one.
                        self.report.fault(fault);
                        return Ok(deleted);
                    }
                }
            }
        }
        if !is_the_mac(&mac, &head.mac) {
            self.report.fault(messages::FEED_HEAD_DIFFERS);
        }
        self.control_state(&head, state).await?;
        Ok(deleted)
    }

    /// Verifies that the stored control state is what all control changes add up to.
    async fn control_state(&mut self, head: &FeedHeadRow, expected: Draft) -> Result<(), ReadError> {
        match read_row::<Directory>(self.store, self.codec, &[]).await? {
            Some(Ok(row)) if row.content == expected.directory => self.report.rows += 1,
            Some(Err(fault)) => self.report.fault(fault),
            Some(Ok(_)) | None => self.report.fault(messages::CONTROL_DIRECTORY_DIFFERS),
        }
        let pages = Pages { store: self.store, codec: self.codec, cache: &PageCache::default() };
        let (mut entries, mut count) = (BTreeMap::new(), 0);
        let mut walk = Walk::new(pages, head.pages);
        loop {
            match walk.next().await {
                Ok(None) => break,
                Ok(Some(page)) => {
                    count += 1;
                    if let Page::Leaf(found) = &*page {
                        entries.extend(found.iter().cloned());
                    }
                }
                Err(PageError::Replaced) => {
                    self.report.fault(messages::CONTROL_PAGES_DIFFER);
                    return Ok(());
                }
                Err(PageError::Failed(failure)) => {
                    self.report.fault(failure.operator_text());
                    return Ok(());
                }
            }
        }
        self.report.rows += count;
        self.named_rows(&expected).await?;
        self.signing_keys(&expected).await?;
        self.app_names(&expected);
        let expected: BTreeMap<_, _> =
            expected.changes.into_iter().filter_map(|(key, entry)| Some((key, entry?))).collect();
        if BTreeMap::from_iter(entries) != expected
            || self.store.count(RecordKind::ControlPage).await? != count
        {
            self.report.fault(messages::CONTROL_PAGES_DIFFER);
        }
        Ok(())
    }

    /// Verifies that each signing key that a control change names has its row.
    async fn signing_keys(&mut self, expected: &Draft) -> Result<(), ReadError> {
        let of_orgs = expected.changes.values().filter_map(|entry| match entry {
            Some(ControlEntry::Org(org)) => Some(&org.keys),
            _ => None,
        });
        let keys = of_orgs.chain([&expected.directory.platform_keys]).flat_map(|keys| &keys.0);
        for key in keys {
            if read_row::<SigningKeyRow>(self.store, self.codec, key.as_bytes()).await?.is_none() {
                self.report.fault(IntegrityFault::new(
                    RecordKind::SigningKey,
                    key.as_bytes(),
                    "it is missing",
                ));
            }
        }
        Ok(())
    }

    /// Verifies that each app has its name, and its place in the list of its org.
    fn app_names(&mut self, expected: &Draft) {
        let named = expected.changes.values().filter_map(|entry| match entry {
            Some(ControlEntry::AppName(app)) => Some(*app),
            _ => None,
        });
        for app in named.filter(|app| !self.heads.contains_key(app)) {
            self.report.fault(IntegrityFault::new(RecordKind::AppHead, app.as_bytes(), "it is missing"));
        }
        for (app, (org, name)) in &self.heads {
            if expected.entry(&EntryKey::app_name(name)) != Some(ControlEntry::AppName(*app))
                || self.names.get(name.as_str().as_bytes()) != Some(app)
            {
                self.report.fault(messages::app_without_name(*app, name));
            }
            if !self.listed.contains(&(*org, *app)) {
                self.report.fault(messages::app_not_listed(*app, *org));
            }
        }
    }

    /// Verifies that no row is from before the version or the decision that a control change names. Called after the
    /// changes are read: later ones only make the rows newer.
    async fn named_rows(&mut self, expected: &Draft) -> Result<(), ReadError> {
        let store = read_row::<StoreRow>(self.store, self.codec, &[]).await?;
        if store.is_some_and(|row| row.is_ok_and(|row| row.version < expected.directory.store)) {
            let what = "an older version of it was put back";
            self.report.fault(IntegrityFault::new(RecordKind::Store, &[], what));
        }
        let mut scan = Scan::<ApprovalRow>::new(self.store, self.codec, PAGE);
        loop {
            let page = scan.next_page().await?;
            if page.is_empty() {
                return Ok(());
            }
            // Rows that cannot be read are faults already.
            for (id, row) in page.into_iter().flatten() {
                let entry = expected.entry(&EntryKey::request(id));
                let entry = entry.and_then(|entry| RequestEntry::try_from(entry).ok()).unwrap_or_default();
                if entry.is_after(row.content.approved()) {
                    let what = "it was put back to before its decision";
                    self.report.fault(IntegrityFault::new(RecordKind::Approval, id.as_bytes(), what));
                }
            }
        }
    }

    /// Checks that a destroyed version of the keyring has no row.
    async fn check_destroyed(&mut self, version: u32) -> Result<(), ReadError> {
        if self.store.record(RecordKind::KeyringKey, &version.to_be_bytes()).await?.is_some() {
            self.report.fault(messages::destroyed_version_exists(version));
        }
        Ok(())
    }

    /// Verifies this node's audit log, and compares the store with it.
    async fn audit(
        &mut self,
        keys: NodeKeys,
        directory: &Path,
        versions: &HashMap<AppId, u64>,
        deleted: &HashSet<AppId>,
    ) -> Result<(), ReadError> {
        let verify_keys = keys.for_verification();
        let mut seen = Versions::default();
        match verify_lines(directory, verify_keys, &mut |line| seen.add(line)) {
            Ok(report) => {
                // The lines of changes that a kill kept from the log; the next start writes them.
                for change in self.store.unaudited(report.node.unwrap_or_default()).await? {
                    if let Some(line) =
                        self.codec.read_note(SignedNote::Line, change.request_id, &change.line)
                    {
                        seen.add(&[b"{", line, b"}"].concat());
                    }
                }
                self.report.audit_lines = Some(report.lines());
                self.report.audit_first_line = Some(report.first_line);
                if let Some(last) = report.seen_revision
                    && self.store.mark(last.revision).await? != Some(last.mark)
                {
                    self.report.fault(messages::revision_missing(last.revision));
                }
                for (app, version) in versions {
                    if let Some(named) = seen.named.get(app).filter(|named| *named < version) {
                        self.report.fault(messages::change_without_line(*app, *version, *named));
                    }
                }
            }
            Err(finding) => self.report.audit_fault = Some(finding.to_string()),
        }
        let mut behind: Vec<AppBehind> = seen
            .done
            .into_iter()
            .map(|(app, audit_version)| AppBehind {
                app,
                store_version: versions.get(&app).copied(),
                audit_version,
            })
            .filter(|app| app.store_version.is_none_or(|version| version < app.audit_version))
            .filter(|app| !deleted.contains(&app.app))
            .collect();
        behind.sort_by_key(|app| *app.app.as_bytes());
        self.report.behind = behind;
        Ok(())
    }
}

/// The newest version of each app in the lines of a log.
#[derive(Default)]
struct Versions {
    /// Of requests that succeeded.
    done: HashMap<AppId, u64>,
    /// Of any request.
    named: HashMap<AppId, u64>,
}

impl Versions {
    fn add(&mut self, line: &[u8]) {
        let Ok(seen) = serde_json::from_slice::<Seen>(line) else { return };
        // Hosts choose the version of their reports.
        if seen.action == "boot.report" {
            return;
        }
        let Some((app, version)) = seen.app.zip(seen.version) else { return };
        let was_done = matches!(seen.outcome.as_str(), "allowed" | "recovered");
        for newest in [Some(&mut self.named), was_done.then_some(&mut self.done)].into_iter().flatten() {
            let newest = newest.entry(app).or_default();
            *newest = version.max(*newest);
        }
    }
}

/// The fields of a line that show the version of an app.
#[derive(Deserialize)]
struct Seen {
    action: String,
    outcome: String,
    app: Option<AppId>,
    version: Option<u64>,
}
