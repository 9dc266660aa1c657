//! The control state in memory, which every decision depends on: signing keys, dischargers, issuers, revocations.
//!
//! It is built from the control feed. Changes there are numbered without gaps, and each MAC covers the previous one. A
//! missing number, or a row older than the version that the feed names, fails closed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use petsem_api::{AppId, ErrorCode, IssuerId, OrgId, SigningKeyId, StoreId, TokenUuid};
use petsem_keys::{DischargerKey, Keyring, SigningKey};
use petsem_policy::{MacaroonKey, SharedKey, TokenId};
use petsem_store::Store;
use subtle::ConstantTimeEq;

use crate::authn::issuer_keys::IssuerKeys;
use crate::authn::token_id::token_uuid;
use crate::clock::Timestamp;
use crate::control::revoked::RevokedSet;
use crate::error::Failure;
use crate::fetch::Fetch;
use crate::keyring::state::{KeyringState, owned};
use crate::records::{
    Content, DischargerRow, FeedHeadRow, FeedRow, IntegrityFault, IssuerRow, KeyringKeyRow, REREADS,
    RecordCodec, Row, SigningKeyRow, id_of_hex, read_row,
};

/// Feed entries per read.
const PAGE: u32 = 512;

/// A key that signs tokens.
pub(crate) struct SigningEntry {
    /// Its id: the KID of its tokens.
    pub(crate) id: [u8; 16],
    /// The org that it belongs to; `None` = the platform.
    pub(crate) org: Option<OrgId>,
    /// The key.
    pub(crate) key: MacaroonKey,
}

/// Why there is no key to verify a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// No key has its KID.
    Unknown,
    /// The key was revoked.
    Revoked,
}

/// A registered discharger.
pub(crate) struct DischargerEntry {
    /// Its id.
    pub(crate) id: [u8; 16],
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
#[derive(Clone, Default)]
pub(crate) struct Control {
    /// The number of the last applied change.
    pub(crate) number: u64,
    mac: [u8; 32],
    head_version: u64,
    revoked: RevokedSet,
    signing_keys: HashMap<[u8; 16], Arc<SigningEntry>>,
    platform_key: Option<[u8; 16]>,
    org_keys: HashMap<OrgId, [u8; 16]>,
    known_keys: HashSet<[u8; 16]>,
    /// Keys without a row. Allowed only if a later change destroys the key or deletes its org.
    missing_keys: HashMap<[u8; 16], Option<OrgId>>,
    dischargers: Vec<Arc<DischargerEntry>>,
    issuers: HashMap<String, Arc<IssuerEntry>>,
    deleted_apps: HashSet<AppId>,
    deleted_orgs: HashSet<OrgId>,
    guarded_orgs: HashSet<OrgId>,
    policies: HashMap<AppId, u64>,
    keyring: KeyringVersions,
}

/// The keyring versions that the feed names. No change names version 1 of a new installation.
#[derive(Clone, Debug, Default)]
struct KeyringVersions {
    current: Option<u32>,
    destroyed: BTreeSet<u32>,
    /// Versions without a row. Allowed only if a later change destroys the version.
    missing: BTreeSet<u32>,
}

/// Everything needed to read the feed.
pub(crate) struct Readers<'a> {
    /// The store.
    pub(crate) store: &'a dyn Store,
    /// Decides which URLs may be fetched.
    pub(crate) fetch: &'a dyn Fetch,
    /// Verifies rows.
    pub(crate) codec: &'a RecordCodec,
    /// Opens wrapped keys, and receives new versions of the keyring.
    pub(crate) keys: &'a KeyringState,
    /// The keyring before the first read. It opens rows read earlier, even if their version is destroyed meanwhile.
    pub(crate) before: Arc<Keyring>,
    /// The store's id.
    pub(crate) store_id: StoreId,
    /// The time of the read.
    pub(crate) now: Timestamp,
}

impl Control {
    /// The MAC of the last change.
    pub(crate) fn mac(&self) -> &[u8; 32] {
        &self.mac
    }

    /// The row version of the feed's head.
    pub(crate) fn head_version(&self) -> u64 {
        self.head_version
    }

    /// The revocations.
    pub(crate) fn revoked(&self) -> &RevokedSet {
        &self.revoked
    }

    /// The same state with revocations that the feed does not contain yet.
    pub(crate) fn denying(&self, rows: &[FeedRow]) -> Self {
        let mut next = self.clone();
        rows.iter().for_each(|row| next.revoked.apply(row));
        next
    }

    /// Whether this app was deleted. Rows of a deleted app were restored by hand.
    pub(crate) fn is_app_deleted(&self, app: AppId) -> bool {
        self.deleted_apps.contains(&app)
    }

    /// Whether this org was deleted.
    pub(crate) fn is_org_deleted(&self, org: OrgId) -> bool {
        self.deleted_orgs.contains(&org)
    }

    /// Whether rules that allow boots or reads need a second person in this org.
    pub(crate) fn is_org_guarded(&self, org: OrgId) -> bool {
        self.guarded_orgs.contains(&org)
    }

    /// The newest version of an app's policy that the feed names. An older row was restored by hand.
    pub(crate) fn policy_version(&self, app: AppId) -> u64 {
        self.policies.get(&app).copied().unwrap_or(0)
    }

    /// The signing key with this KID.
    pub(crate) fn signing_key(&self, kid: &[u8]) -> Result<&Arc<SigningEntry>, NoKey> {
        let id = <[u8; 16]>::try_from(kid).map_err(|_| NoKey::Unknown)?;
        if self.revoked.has_key(SigningKeyId::from_bytes(id)) {
            return Err(NoKey::Revoked);
        }
        self.signing_keys.get(&id).ok_or(NoKey::Unknown)
    }

    /// Whether this key signs new tokens.
    pub(crate) fn is_current_key(&self, id: SigningKeyId) -> bool {
        self.platform_key == Some(*id.as_bytes()) || self.org_keys.values().any(|key| key == id.as_bytes())
    }

    /// The signing key that has this id in the lineages of its tokens.
    pub(crate) fn key_with_lineage_id(&self, id: &TokenUuid) -> Option<SigningKeyId> {
        self.signing_keys
            .keys()
            .find(|key| token_uuid(TokenId::of_key(*key)) == *id)
            .map(|key| SigningKeyId::from_bytes(*key))
    }

    /// The platform's key for new tokens.
    pub(crate) fn platform_key(&self) -> Option<&Arc<SigningEntry>> {
        self.signing_keys.get(&self.platform_key?)
    }

    /// An org's key for new tokens.
    pub(crate) fn org_key(&self, org: OrgId) -> Option<&Arc<SigningEntry>> {
        self.signing_keys.get(self.org_keys.get(&org)?)
    }

    /// All keys of an org.
    pub(crate) fn keys_of(&self, org: OrgId) -> Vec<[u8; 16]> {
        self.signing_keys.values().filter(|entry| entry.org == Some(org)).map(|entry| entry.id).collect()
    }

    /// How many keys of an org, or of the platform, are not revoked.
    pub(crate) fn live_keys_of(&self, org: Option<OrgId>) -> usize {
        let live = |entry: &&Arc<SigningEntry>| !self.revoked.has_key(SigningKeyId::from_bytes(entry.id));
        self.signing_keys.values().filter(|entry| entry.org == org).filter(live).count()
    }

    /// The current version of the keyring, if the feed names one.
    pub(crate) fn keyring_version(&self) -> Option<u32> {
        self.keyring.current
    }

    /// The versions of the keyring that were destroyed.
    pub(crate) fn destroyed_keyring_versions(&self) -> &BTreeSet<u32> {
        &self.keyring.destroyed
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

    /// The state at the end of the feed; `None` if there are no new changes.
    pub(crate) async fn advanced(&self, readers: &Readers<'_>) -> Result<Option<Self>, Failure> {
        let mut tries = 0;
        loop {
            let head = readers.head().await?;
            match self.advanced_to(readers, &head).await {
                // A change after this head may have deleted what is missing. Only a fault at the newest head counts.
                Err(failure)
                    if failure.code() == ErrorCode::Integrity
                        && tries < REREADS
                        && readers.head().await?.version != head.version =>
                {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn advanced_to(
        &self,
        readers: &Readers<'_>,
        head: &Row<FeedHeadRow>,
    ) -> Result<Option<Self>, Failure> {
        if head.content.number < self.number || head.version < self.head_version {
            return Err(feed_fault(
                head.content.number + 1,
                "the feed ends before a change that this node has seen",
            ));
        }
        if head.content.number == self.number && head.version == self.head_version {
            return if is_the_mac(&self.mac, &head.content.mac) {
                Ok(None)
            } else {
                Err(feed_fault(self.number, "its MAC is not the one that the feed's head names"))
            };
        }
        let mut next = self.clone();
        next.head_version = head.version;
        while next.number < head.content.number {
            let entries = readers.store.feed(next.number, PAGE).await?;
            if entries.is_empty() {
                return Err(feed_fault(next.number + 1, "it is missing"));
            }
            for entry in &entries {
                if next.number == head.content.number {
                    break; // Written after the head was read; the next refresh applies it.
                }
                let number = next.number + 1;
                let (row, mac) = readers.codec.read_feed(number, &next.mac, entry)?;
                next.apply(readers, row).await?;
                next.number = number;
                next.mac = mac;
            }
        }
        if !is_the_mac(&next.mac, &head.content.mac) {
            return Err(feed_fault(next.number, "its MAC is not the one that the feed's head names"));
        }
        if let Some(version) = next.keyring.missing.first() {
            return Err(
                IntegrityFault::new(KeyringKeyRow::KIND, &version.to_be_bytes(), "it is missing").into()
            );
        }
        if let Some(id) = next.missing_keys.keys().next() {
            return Err(IntegrityFault::new("signing key", id, "it is missing").into());
        }
        next.revoked.remove_expired(readers.now.seconds());
        Ok(Some(next))
    }

    async fn apply(&mut self, readers: &Readers<'_>, row: FeedRow) -> Result<(), Failure> {
        match row {
            FeedRow::TokenRevoked { .. }
            | FeedRow::SigningKeyRevoked { .. }
            | FeedRow::MachineRevoked { .. }
            | FeedRow::HostRevoked { .. }
            | FeedRow::JwtRevoked { .. }
            | FeedRow::JwtSubjectRevoked { .. }
            | FeedRow::JwtIssuerRevoked { .. } => self.revoked.apply(&row),
            // Policies are read at each use and compared with this version.
            FeedRow::PolicySet { app, version, .. } => {
                self.policies.insert(app, version);
            }
            FeedRow::AppDeleted { app, .. } => {
                self.deleted_apps.insert(app);
                self.policies.remove(&app);
                self.revoked.remove_app(app);
            }
            FeedRow::OrgDeleted { org, .. } => {
                self.deleted_orgs.insert(org);
                self.guarded_orgs.remove(&org);
                self.org_keys.remove(&org);
                self.signing_keys.retain(|_, entry| entry.org != Some(org));
                self.missing_keys.retain(|_, owner| *owner != Some(org));
            }
            FeedRow::OrgGuardSet { org, on, .. } => {
                if on {
                    self.guarded_orgs.insert(org);
                } else {
                    self.guarded_orgs.remove(&org);
                }
            }
            FeedRow::IssuerSet { issuer, version, .. } => {
                self.issuers.retain(|_, entry| entry.id != issuer);
                if let Some(row) = readers.at::<IssuerRow>(issuer.as_bytes(), version).await? {
                    let keys = IssuerKeys::of(&row, readers.fetch).map_err(Failure::internal)?;
                    let entry = IssuerEntry { id: issuer, version, row, keys };
                    self.issuers.insert(entry.row.issuer.clone(), Arc::new(entry));
                }
            }
            FeedRow::DischargerSet { discharger, version, .. } => {
                let id = named_id(&discharger)?;
                self.dischargers.retain(|entry| entry.id != id);
                if let Some(row) = readers.at::<DischargerRow>(&id, version).await? {
                    self.dischargers.push(Arc::new(readers.discharger(id, row)?));
                }
            }
            FeedRow::SigningKeyDestroyed { key, .. } => {
                self.signing_keys.remove(key.as_bytes());
                self.missing_keys.remove(key.as_bytes());
            }
            FeedRow::KeyringSet { version, .. } => {
                if !readers.learn_keyring(version).await? {
                    self.keyring.missing.insert(version);
                }
                self.keyring.current = Some(version);
            }
            FeedRow::KeyringDestroyed { version, .. } => {
                self.keyring.missing.remove(&version);
                self.keyring.destroyed.insert(version);
            }
            FeedRow::SigningKeySet { key, org, version, .. } => {
                let id = named_id(&key)?;
                // A key signs new tokens from the change that first names it. A later change that re-wraps it does not matter.
                if self.known_keys.insert(id) {
                    match org {
                        None => self.platform_key = Some(id),
                        Some(org) => {
                            self.org_keys.insert(org, id);
                        }
                    }
                }
                match readers.at::<SigningKeyRow>(&id, version).await? {
                    Some(row) if row.org == org => {
                        self.missing_keys.remove(&id);
                        self.signing_keys.insert(id, Arc::new(readers.signing_key(id, row)?));
                    }
                    Some(_) => {
                        return Err(
                            IntegrityFault::new("signing key", &id, "it belongs to another org").into()
                        );
                    }
                    None => {
                        self.missing_keys.insert(id, org);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Readers<'_> {
    async fn row<T: Content>(&self, id: &[u8]) -> Result<Option<Row<T>>, Failure> {
        Ok(read_row(self.store, self.codec, id).await?.transpose()?)
    }

    async fn head(&self) -> Result<Row<FeedHeadRow>, Failure> {
        let missing = || IntegrityFault::new("feed head", &[], "it is missing");
        Ok(self.row(&[]).await?.ok_or_else(missing)?)
    }

    /// A row that the feed names at a version. A newer row is named by a later change. A missing row was deleted by a
    /// later change or by hand; what it allowed is no longer allowed.
    async fn at<T: Content>(&self, id: &[u8], version: u64) -> Result<Option<T>, Failure> {
        let Some(row) = self.row::<T>(id).await? else { return Ok(None) };
        if row.version < version {
            return Err(IntegrityFault::new(T::KIND, id, "an older version of it was put back").into());
        }
        Ok(Some(row.content))
    }

    /// Loads a version of the keyring into memory; `false` if it has no row.
    async fn learn_keyring(&self, version: u32) -> Result<bool, Failure> {
        if self.keys.keyring().key(version).is_some() {
            return Ok(true);
        }
        let id = version.to_be_bytes();
        let Some(row) = self.row::<KeyringKeyRow>(&id).await? else { return Ok(false) };
        let key =
            self.keys.root().unwrap_keyring_key(&row.content.wrapped, *self.store_id.as_bytes(), version);
        let key = key.map_err(|error| {
            Failure::from(IntegrityFault::new(KeyringKeyRow::KIND, &id, "it does not open")).because(error)
        })?;
        // Another task of this node may have loaded it first.
        Ok(self.keys.change_keyring(|keyring| keyring.add(key)).is_ok()
            || self.keys.keyring().key(version).is_some())
    }

    fn signing_key(&self, id: [u8; 16], row: SigningKeyRow) -> Result<SigningEntry, Failure> {
        let context = owned(self.store_id, id, row.org);
        let key: SigningKey = self.keys.unwrap(&self.before, &row.wrapped, &context).map_err(|error| {
            Failure::from(IntegrityFault::new("signing key", &id, "it does not open")).because(error)
        })?;
        Ok(SigningEntry { id, org: row.org, key: MacaroonKey::held_by(LockedSigningKey(key)) })
    }

    fn discharger(&self, id: [u8; 16], row: DischargerRow) -> Result<DischargerEntry, Failure> {
        let context = owned(self.store_id, id, row.org);
        let key: DischargerKey = self.keys.unwrap(&self.before, &row.wrapped, &context).map_err(|error| {
            Failure::from(IntegrityFault::new("discharger", &id, "it does not open")).because(error)
        })?;
        let key = SharedKey::held_by(LockedDischargerKey(key));
        Ok(DischargerEntry { id, location: row.location, org: row.org, created_at: row.created_at, key })
    }
}

/// Keeps the key in the locked memory where `keys` put it, for as long as the server runs.
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

fn named_id(hex: &str) -> Result<[u8; 16], IntegrityFault> {
    id_of_hex(hex).ok_or_else(|| IntegrityFault::new("control change", hex.as_bytes(), "its id is malformed"))
}

/// Compares two MACs in constant time.
pub(crate) fn is_the_mac(mac: &[u8; 32], hex: &str) -> bool {
    HEXLOWER.encode(mac).as_bytes().ct_eq(hex.as_bytes()).into()
}

fn feed_fault(number: u64, what: &'static str) -> Failure {
    IntegrityFault::new("control change", &number.to_be_bytes(), what).into()
}
