//! What control changes do to the entries and the directory.

use std::collections::HashMap;

use petsem_api::{OrgId, SigningKeyId};
use petsem_policy::TokenId;
use petsem_store::RecordKind;

use crate::authn::token_id::token_uuid;
use crate::control::pages::Changes;
use crate::records::{
    AppEntry, ControlEntry, Directory, EntryKey, FeedRow, IntegrityFault, OrgEntry, RequestEntry, RevokedAt,
    RevokedJwts, SigningKeyEntry, SigningKeys, TokenEntry, id_of_hex,
};

/// A control state with changes that are not committed yet.
#[derive(Default)]
pub(crate) struct Draft {
    /// Entries as they were before.
    loaded: HashMap<EntryKey, ControlEntry>,
    /// Changed entries.
    pub(crate) changes: Changes,
    /// The directory with the changes.
    pub(crate) directory: Directory,
    /// Signing keys that end with these changes; their rows are deleted with them.
    pub(crate) ended_keys: Vec<SigningKeyId>,
}

impl Draft {
    /// A draft that changes nothing yet, of a state with this directory.
    pub(crate) fn of(directory: Directory) -> Self {
        Self { directory, ..Self::default() }
    }

    /// Whether the draft has an entry, or knows that there is none to read.
    pub(crate) fn has(&self, key: &EntryKey) -> bool {
        self.changes.contains_key(key) || self.loaded.contains_key(key)
    }

    /// Adds an entry as it is stored. Returns the entries that a change needs besides: those that this one names.
    pub(crate) fn load(&mut self, key: EntryKey, entry: ControlEntry, row: &FeedRow) -> Vec<EntryKey> {
        let named = match (row, &entry) {
            (FeedRow::OrgDeleted { .. }, ControlEntry::Org(OrgEntry { keys: SigningKeys(keys), .. })) => {
                keys.iter().flat_map(|key| [EntryKey::signing_key(*key), lineage(*key)]).collect()
            }
            (
                FeedRow::SigningKeyDestroyed { .. },
                ControlEntry::SigningKey(SigningKeyEntry { org: Some(org), .. }),
            ) => vec![EntryKey::org(*org)],
            _ => Vec::new(),
        };
        self.loaded.insert(key, entry);
        named
    }

    /// Adds a change. The entries that it reads are in this draft already.
    pub(crate) fn fold(&mut self, row: &FeedRow) -> Result<(), IntegrityFault> {
        match row {
            FeedRow::TokenRevoked { token, ends, at } => {
                self.update(EntryKey::token(token), |entry: &mut TokenEntry| {
                    entry.is_revoked = true;
                    (entry.ends, entry.at) = (entry.ends.max(*ends), entry.at.max(*at));
                })
            }
            FeedRow::SigningKeyRevoked { key, .. } => {
                self.update(EntryKey::signing_key(*key), |entry: &mut SigningKeyEntry| {
                    entry.is_revoked = true;
                })?;
                self.update(lineage(*key), |entry: &mut TokenEntry| entry.is_revoked = true)
            }
            FeedRow::MachineRevoked { app, machine, .. } => {
                let key = EntryKey::machine(*app, machine);
                if self.entry(&key).is_some() {
                    return Ok(());
                }
                self.put(key, ControlEntry::Machine(*app));
                self.update(EntryKey::app(*app), |entry: &mut AppEntry| {
                    entry.machines = entry.machines.saturating_add(1);
                })
            }
            FeedRow::HostRevoked { host, at } => {
                self.put(EntryKey::host(host), ControlEntry::Host(RevokedAt { at: *at }));
                Ok(())
            }
            FeedRow::JwtRevoked { issuer, jti, at } => {
                self.put(EntryKey::jwt(issuer, jti), ControlEntry::Jwt(RevokedAt { at: *at }));
                Ok(())
            }
            FeedRow::JwtSubjectRevoked { issuer, sub, before, at } => {
                self.revoke_jwts(EntryKey::jwt_subject(issuer, sub), *before, *at)
            }
            FeedRow::DischargerSubjectRevoked { discharger, sub, before, at } => {
                self.revoke_jwts(EntryKey::discharger_subject(discharger, sub), *before, *at)
            }
            FeedRow::JwtIssuerRevoked { issuer, before, at } => {
                self.revoke_jwts(EntryKey::jwt_issuer(issuer), *before, *at)
            }
            FeedRow::FloorSet { app, version, .. } => {
                self.update(EntryKey::app(*app), |entry: &mut AppEntry| {
                    entry.floor = entry.floor.max(*version);
                })
            }
            FeedRow::AppCreated { app, org, name, .. } => {
                self.take_name(EntryKey::app_name(name), name.as_str(), ControlEntry::AppName(*app))?;
                self.update(EntryKey::org(*org), |entry: &mut OrgEntry| {
                    entry.apps = entry.apps.saturating_add(1);
                })
            }
            FeedRow::AppDeleted { app, org, name, .. } => {
                self.changes.insert(EntryKey::app_name(name), None);
                self.update(EntryKey::org(*org), |entry: &mut OrgEntry| {
                    entry.apps = entry.apps.saturating_sub(1);
                })?;
                let keyring = self.directory.keyring.current.unwrap_or(1);
                self.update(EntryKey::app(*app), |entry: &mut AppEntry| {
                    entry.deleted_at_keyring = Some(keyring);
                })
            }
            FeedRow::OrgCreated { org, name, .. } => {
                self.take_name(EntryKey::org_name(name), name.as_str(), ControlEntry::OrgName(*org))
            }
            FeedRow::OrgDeleted { org, name, .. } => {
                self.changes.insert(EntryKey::org_name(name), None);
                self.delete_org(*org)
            }
            FeedRow::OrgGuardSet { org, on, .. } => {
                self.update(EntryKey::org(*org), |entry: &mut OrgEntry| entry.is_guarded = *on)
            }
            FeedRow::RequestDecided { request, approved, ends, at } => {
                let entry = RequestEntry { approved: Some(*approved), ends: *ends, at: *at };
                self.put(EntryKey::request(*request), entry.into());
                Ok(())
            }
            FeedRow::IssuerSet { issuer, version, .. } => {
                self.directory.issuers.insert(*issuer, *version);
                Ok(())
            }
            FeedRow::IssuerDeleted { issuer, .. } => {
                self.directory.issuers.remove(issuer);
                Ok(())
            }
            FeedRow::DischargerSet { discharger, version, .. } => {
                self.directory.dischargers.insert(discharger.clone(), *version);
                Ok(())
            }
            FeedRow::DischargerDeleted { discharger, .. } => {
                self.directory.dischargers.remove(discharger);
                Ok(())
            }
            FeedRow::SigningKeySet { key, org, version, .. } => {
                self.set_signing_key(SigningKeyId::from_bytes(named_id(key)?), *org, *version)
            }
            FeedRow::SigningKeyDestroyed { key, .. } => {
                let entry: SigningKeyEntry = self.get(&EntryKey::signing_key(*key))?;
                self.destroy_signing_key(*key)?;
                if entry.org.is_none() {
                    self.directory.past_platform_keys.0.push(*key);
                }
                self.update_keys(entry.org, |keys| keys.retain(|other| other != key))
            }
            FeedRow::Dropped { keys, ended, at } => {
                let now = i64::try_from(at / 1000).unwrap_or_default();
                for key in keys {
                    // It may have been revoked again since it was chosen.
                    let is_ended = self.entry(key).is_none_or(|entry| {
                        matches!(entry, ControlEntry::App(_) | ControlEntry::Machine(_))
                            || entry.ended(now).is_some()
                    });
                    if is_ended {
                        self.changes.insert(*key, None);
                    }
                }
                self.directory.ended = self.directory.ended.max(*ended);
                Ok(())
            }
            FeedRow::StoreSet { version, .. } => {
                self.directory.store = self.directory.store.max(*version);
                Ok(())
            }
            FeedRow::KeyringSet { version, .. } => {
                self.directory.keyring.current = Some(*version);
                Ok(())
            }
            FeedRow::KeyringDestroyed { version, .. } => {
                self.directory.keyring.destroy(*version);
                Ok(())
            }
        }
    }

    /// A name is free until an app or org has it, and again after that was deleted.
    fn take_name(&mut self, key: EntryKey, name: &str, owner: ControlEntry) -> Result<(), IntegrityFault> {
        if self.entry(&key).is_some() {
            let kind = match owner {
                ControlEntry::OrgName(_) => RecordKind::OrgName,
                _ => RecordKind::AppName,
            };
            return Err(IntegrityFault::new(
                kind,
                name.as_bytes(),
                "the name is in use, but its row is missing",
            ));
        }
        self.put(key, owner);
        Ok(())
    }

    fn revoke_jwts(&mut self, key: EntryKey, before: i64, at: u64) -> Result<(), IntegrityFault> {
        self.update(key, |entry: &mut RevokedJwts| {
            entry.before = entry.before.max(before);
            entry.at = entry.at.max(at);
        })
    }

    /// Its keys end with it.
    fn delete_org(&mut self, org: OrgId) -> Result<(), IntegrityFault> {
        let key = EntryKey::org(org);
        let SigningKeys(keys) = self.get::<OrgEntry>(&key)?.keys;
        keys.into_iter().try_for_each(|key| self.destroy_signing_key(key))?;
        self.put(key, OrgEntry { is_deleted: true, ..OrgEntry::default() }.into());
        Ok(())
    }

    /// A key signs new tokens from the change that first names it. A later change only re-wraps it.
    fn set_signing_key(
        &mut self,
        id: SigningKeyId,
        org: Option<OrgId>,
        version: u64,
    ) -> Result<(), IntegrityFault> {
        let key = EntryKey::signing_key(id);
        if self.entry(&key).is_none() {
            self.update(lineage(id), |entry: &mut TokenEntry| entry.signing_key = Some(id))?;
            self.update_keys(org, |keys| keys.push(id))?;
        }
        self.update(key, |entry: &mut SigningKeyEntry| {
            entry.org = org;
            entry.version = version;
        })
    }

    /// The revocation of a key outlives the key.
    fn destroy_signing_key(&mut self, id: SigningKeyId) -> Result<(), IntegrityFault> {
        self.ended_keys.push(id);
        let key = EntryKey::signing_key(id);
        let entry: SigningKeyEntry = self.get(&key)?;
        let left = entry.is_revoked.then(|| SigningKeyEntry { version: 0, ..entry }.into());
        self.changes.insert(key, left);
        // It keeps naming the key, so that it is never dropped.
        let entry: TokenEntry = self.get(&lineage(id))?;
        self.changes.insert(lineage(id), entry.is_revoked.then(|| entry.into()));
        Ok(())
    }

    fn update_keys(
        &mut self,
        org: Option<OrgId>,
        update: impl FnOnce(&mut Vec<SigningKeyId>),
    ) -> Result<(), IntegrityFault> {
        match org {
            Some(org) => self.update(EntryKey::org(org), |entry: &mut OrgEntry| update(&mut entry.keys.0)),
            None => {
                update(&mut self.directory.platform_keys.0);
                Ok(())
            }
        }
    }

    fn update<T: Into<ControlEntry> + TryFrom<ControlEntry> + Default>(
        &mut self,
        key: EntryKey,
        update: impl FnOnce(&mut T),
    ) -> Result<(), IntegrityFault> {
        let mut entry = self.get(&key)?;
        update(&mut entry);
        self.put(key, entry.into());
        Ok(())
    }

    fn get<T: TryFrom<ControlEntry> + Default>(&self, key: &EntryKey) -> Result<T, IntegrityFault> {
        typed(key, self.entry(key))
    }

    /// An entry with the changes.
    pub(crate) fn entry(&self, key: &EntryKey) -> Option<ControlEntry> {
        self.changes.get(key).cloned().unwrap_or_else(|| self.loaded.get(key).cloned())
    }

    fn put(&mut self, key: EntryKey, entry: ControlEntry) {
        self.changes.insert(key, Some(entry));
    }
}

/// The entry that stands for a signing key in the lineages of its tokens.
pub(crate) fn lineage(key: SigningKeyId) -> EntryKey {
    EntryKey::token(&token_uuid(TokenId::of_key(key.as_bytes())))
}

/// An entry of the type that its key has.
pub(crate) fn typed<T: TryFrom<ControlEntry> + Default>(
    key: &EntryKey,
    entry: Option<ControlEntry>,
) -> Result<T, IntegrityFault> {
    let fault =
        |_| IntegrityFault::new("control entry", key.as_bytes(), "it is of another kind than its key");
    entry.map_or_else(|| Ok(T::default()), |entry| T::try_from(entry).map_err(fault))
}

pub(crate) fn named_id(hex: &str) -> Result<[u8; 16], IntegrityFault> {
    id_of_hex(hex).ok_or_else(|| IntegrityFault::new("control change", hex.as_bytes(), "its id is malformed"))
}

/// The entries that a change reads or writes, except those that another entry names.
pub(crate) fn subjects(row: &FeedRow) -> Vec<EntryKey> {
    match row {
        FeedRow::TokenRevoked { token, .. } => vec![EntryKey::token(token)],
        FeedRow::SigningKeyRevoked { key, .. } => vec![EntryKey::signing_key(*key), lineage(*key)],
        FeedRow::JwtSubjectRevoked { issuer, sub, .. } => vec![EntryKey::jwt_subject(issuer, sub)],
        FeedRow::DischargerSubjectRevoked { discharger, sub, .. } => {
            vec![EntryKey::discharger_subject(discharger, sub)]
        }
        FeedRow::JwtIssuerRevoked { issuer, .. } => vec![EntryKey::jwt_issuer(issuer)],
        FeedRow::FloorSet { app, .. } => vec![EntryKey::app(*app)],
        FeedRow::AppCreated { org, name, .. } => vec![EntryKey::app_name(name), EntryKey::org(*org)],
        FeedRow::AppDeleted { app, org, .. } => vec![EntryKey::app(*app), EntryKey::org(*org)],
        FeedRow::OrgCreated { name, .. } => vec![EntryKey::org_name(name)],
        FeedRow::OrgDeleted { org, .. } | FeedRow::OrgGuardSet { org, .. } => vec![EntryKey::org(*org)],
        FeedRow::SigningKeySet { key, org, .. } => {
            let key = id_of_hex(key).map(SigningKeyId::from_bytes);
            let of_key = key.into_iter().flat_map(|key| [EntryKey::signing_key(key), lineage(key)]);
            of_key.chain(org.map(EntryKey::org)).collect()
        }
        FeedRow::SigningKeyDestroyed { key, .. } => vec![EntryKey::signing_key(*key), lineage(*key)],
        FeedRow::Dropped { keys, .. } => keys.clone(),
        FeedRow::MachineRevoked { app, machine, .. } => {
            vec![EntryKey::machine(*app, machine), EntryKey::app(*app)]
        }
        FeedRow::HostRevoked { .. }
        | FeedRow::RequestDecided { .. }
        | FeedRow::JwtRevoked { .. }
        | FeedRow::IssuerSet { .. }
        | FeedRow::IssuerDeleted { .. }
        | FeedRow::DischargerSet { .. }
        | FeedRow::DischargerDeleted { .. }
        | FeedRow::StoreSet { .. }
        | FeedRow::KeyringSet { .. }
        | FeedRow::KeyringDestroyed { .. } => Vec::new(),
    }
}
