//! The one module that opens sealed values.
//!
//! [`Engine::read`] and [`Engine::read_whole`] alone hand values out, and only for a [`ReadableApp`], which exists only
//! after a decision for one of the three reads (design §4). Listing, writing and rotation get `describe`, `amend` and `reseal`, and a verification
//! of the store gets [`SealedApp`]: their results never hold plaintext. A test in `layers.rs` checks that no other
//! module names `AppKek::open`.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use data_encoding::HEXLOWER;
use petsem_api::{
    AppSecret, Digest, HistoryEntry, MAX_BUNDLE, MAX_SECRETS, SecretName, SecretWarning, SecretsJson,
    StoreId, Value, WipedBytes,
};
use petsem_keys::{AppKek, DigestKey, OpenError, RecordContext, RewrapError, SealedRef, WrapContext};
use petsem_store::{BundleRow, Change, NewValue, Record, ValueRow};

use crate::authz::readable::ReadableApp;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::{AppHead, Bundle, BundleError, Details, Entry, IntegrityFault, StoredValue, expect};
use crate::tenancy::found::FoundApp;

/// The secrets that a read may return.
pub(crate) struct ReadSecrets {
    /// With their values, by name.
    pub(crate) secrets: Vec<AppSecret>,
    /// Secrets of the app that the read may not return.
    pub(crate) withheld: usize,
}

/// What happens to one secret in the next app version.
#[derive(Debug)]
pub(crate) enum Amendment<'a> {
    /// It gets this value.
    Set(&'a Value),
    /// It is deleted, if it exists.
    Delete,
    /// It gets the value of an earlier version, as stored.
    Restore(&'a ValueRow),
}

/// The next app version, sealed: the rows of its transaction.
pub(crate) struct NextVersion {
    /// Its number.
    pub(crate) version: u64,
    secrets: Vec<AppSecret>,
    values: Vec<NewValue>,
    bundle: BundleRow,
    head: Record,
}

impl NextVersion {
    /// The names of the secrets that it sets, replaces or deletes.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &SecretName> {
        self.values.iter().map(|value| &value.row.name)
    }

    /// Adds the rows to a transaction; returns the changed secrets without values.
    pub(crate) fn put_into(self, change: &mut Change) -> Vec<AppSecret> {
        change.expects.push(expect::<AppHead>(&self.head.id, self.head.row_version - 1));
        change.puts.push(self.head);
        change.values.extend(self.values);
        change.bundle = Some(self.bundle);
        self.secrets
    }
}

impl Engine {
    /// The secrets of an app that a decision made readable: those that `only` names, or all if it is empty.
    pub(crate) fn read(
        &self,
        readable: &ReadableApp<'_>,
        only: &BTreeSet<SecretName>,
    ) -> Result<ReadSecrets, Failure> {
        let plaintext = self.open_bundle(readable.app())?;
        let entries = Bundle::decode(&plaintext)?.entries;
        readable.check_work(if only.is_empty() { entries.len() } else { only.len() })?;
        let mut read = ReadSecrets { secrets: Vec::new(), withheld: 0 };
        for (name, entry) in entries {
            let name = name_of(name)?;
            if !only.is_empty() && !only.contains(&name) {
                continue;
            }
            if readable.may_read(&name) {
                let value = entry.value()?;
                let warnings = warnings(readable.app(), &name, value.expose_bytes().contains(&0));
                let secret = to_wire(name, &entry.details, warnings);
                read.secrets.push(AppSecret { value: Some(value), ..secret });
            } else {
                read.withheld += 1;
            }
        }
        Ok(read)
    }

    /// All secrets of an app that a decision made readable as a whole, as a boot response has them.
    pub(crate) fn read_whole(&self, readable: &ReadableApp<'_>) -> Result<SecretsJson, Failure> {
        if !readable.is_whole() {
            return Err(Failure::internal("a read of some secrets asked for all"));
        }
        let plaintext = self.open_bundle(readable.app())?;
        let list = Bundle::list_in(&plaintext)?;
        Ok(SecretsJson::new(plaintext, list))
    }

    /// The app's secrets without their values, by name.
    pub(crate) fn describe(&self, app: &FoundApp) -> Result<Vec<AppSecret>, Failure> {
        let plaintext = self.open_bundle(app)?;
        let entries = Bundle::decode(&plaintext)?.entries;
        let secret = |(name, entry): (&&str, &Entry<'_>)| {
            let name = name_of(name)?;
            let warnings = warnings(app, &name, entry.has_nul()?);
            Ok(to_wire(name, &entry.details, warnings))
        };
        entries.iter().map(secret).collect()
    }

    /// The history of a secret without values: one entry for each row.
    pub(crate) fn describe_history(
        &self,
        app: &FoundApp,
        name: &SecretName,
        rows: &[ValueRow],
    ) -> Result<Vec<HistoryEntry>, Failure> {
        let entry = |row: &ValueRow| {
            let (digest, at, author) = match self.open_value(app, name, row)? {
                StoredValue::Set { digest, at, author, value: _ } => (Some(digest), at, author),
                StoredValue::Deleted { at, author } => (None, at, author),
            };
            Ok(HistoryEntry {
                version: row.app_version,
                digest,
                at: Timestamp::from_millis(at).rfc3339(),
                author,
            })
        };
        rows.iter().map(entry).collect()
    }

    /// Whether a row of the history holds a value, not a deletion.
    pub(crate) fn is_restorable(
        &self,
        app: &FoundApp,
        name: &SecretName,
        row: &ValueRow,
    ) -> Result<bool, Failure> {
        Ok(matches!(self.open_value(app, name, row)?, StoredValue::Set { .. }))
    }

    /// Seals the next version with these amendments; `None` if they change nothing.
    pub(crate) fn amend(
        &self,
        app: &FoundApp,
        amendments: &BTreeMap<SecretName, Amendment<'_>>,
        author: &str,
        now: Timestamp,
    ) -> Result<Option<NextVersion>, Failure> {
        let plaintext = self.open_bundle(app)?;
        let mut bundle = Bundle::decode(&plaintext)?;
        let version = app.head.app_version + 1;
        let kek = self.kek(app, app.head.kek_version)?;
        let digest_key: DigestKey = kek
            .unwrap(&app.head.digest_key, *self.store_id.as_bytes(), *app.id.as_bytes())
            .map_err(|error| {
                Failure::from(IntegrityFault::new("digest key", app.id.as_bytes(), "it does not open"))
                    .because(error)
            })?;
        let (mut values, mut secrets) = (Vec::new(), Vec::new());
        for (name, amendment) in amendments {
            let restored;
            let value = match amendment {
                Amendment::Set(value) => Some(*value),
                Amendment::Restore(row) if is_under_destroyed_kek(app, row) => {
                    return Err(messages::kek_rotated_meanwhile());
                }
                Amendment::Restore(row) => match self.open_value(app, name, row)? {
                    StoredValue::Set { value, .. } => {
                        restored = value;
                        Some(&restored)
                    }
                    StoredValue::Deleted { .. } => {
                        return Err(Failure::internal("a deletion was to be restored"));
                    }
                },
                Amendment::Delete => None,
            };
            let plaintext = match value {
                Some(value) => {
                    let replaced = bundle.entries.get(name.as_str());
                    let details = Details {
                        created_at: replaced.map_or(now.millis(), |entry| entry.details.created_at),
                        updated_at: now.millis(),
                        set_in_version: version,
                        digest: Digest::from_bytes(digest_key.digest(name.as_str(), value.expose_bytes())),
                        author,
                    };
                    let warnings = warnings(app, name, value.expose_bytes().contains(&0));
                    secrets.push(to_wire(name.clone(), &details, warnings));
                    let plaintext = StoredValue::encode_set(value, &details);
                    bundle.entries.insert(name.as_str(), Entry::new(name, value, details)?);
                    plaintext
                }
                None if bundle.entries.remove(name.as_str()).is_none() => continue,
                None => StoredValue::encode_deleted(now.millis(), author),
            };
            let context = value_context(app, name, version, self.codec.epoch());
            let sealed = kek.seal(&mut entropy::rng(), &plaintext, &context).map_err(Failure::internal)?;
            values.push(NewValue {
                row: ValueRow {
                    app: app.id,
                    name: name.clone(),
                    app_version: version,
                    wrapped_dek: sealed.wrapped_dek,
                    ciphertext: sealed.ciphertext,
                },
                keep: app.head.settings.history,
            });
        }
        if values.is_empty() {
            return Ok(None);
        }
        check_bundle(&bundle)?;
        let sealed = self.seal_version(app, &kek, &bundle.encode(), version, |_| ())?;
        Ok(Some(NextVersion { secrets, values, ..sealed }))
    }

    /// Seals the next version with the same secrets; `fill` sets other fields of its head.
    pub(crate) fn reseal(
        &self,
        app: &FoundApp,
        kek: &AppKek,
        fill: impl FnOnce(&mut AppHead),
    ) -> Result<NextVersion, Failure> {
        let plaintext = self.open_bundle(app)?;
        self.seal_version(app, kek, &plaintext, app.head.app_version + 1, fill)
    }

    /// Seals the same secrets as the version after `seen`, which is later than the app's own.
    pub(crate) fn reseal_after(&self, app: &FoundApp, seen: u64) -> Result<NextVersion, Failure> {
        let kek = self.kek(app, app.head.kek_version)?;
        let plaintext = self.open_bundle(app)?;
        self.seal_version(app, &kek, &plaintext, seen.saturating_add(1), |_| ())
    }

    fn seal_version(
        &self,
        app: &FoundApp,
        kek: &AppKek,
        bundle: &[u8],
        version: u64,
        fill: impl FnOnce(&mut AppHead),
    ) -> Result<NextVersion, Failure> {
        let epoch = self.codec.epoch();
        let context = bundle_context(app, epoch, version);
        let sealed = kek.seal(&mut entropy::rng(), bundle, &context).map_err(Failure::internal)?;
        let dek = dek_of(&sealed.wrapped_dek)?;
        let mut head = AppHead { app_version: version, bundle_dek: Some(dek), ..AppHead::clone(&app.head) };
        if head.epochs.last().is_none_or(|(last, _)| *last != epoch) {
            head.epochs.push((epoch, version));
        }
        fill(&mut head);
        Ok(NextVersion {
            version,
            secrets: Vec::new(),
            values: Vec::new(),
            bundle: BundleRow {
                app: app.id,
                app_version: version,
                wrapped_dek: sealed.wrapped_dek,
                ciphertext: sealed.ciphertext,
            },
            head: self.codec.write(app.id.as_bytes(), app.head_version + 1, &head),
        })
    }

    /// The bundle under a new KEK, at the same app version: its DEK re-wrapped, or with `rewrite` a new DEK. The
    /// bundle is checked against the head first. `None` if the app has no bundle.
    pub(crate) fn reseal_bundle(
        &self,
        app: &FoundApp,
        old: &AppKek,
        new: &AppKek,
        rewrite: bool,
    ) -> Result<Option<BundleRow>, Failure> {
        let plaintext = self.open_bundle(app)?;
        let Some(row) = app.bundle_row()? else { return Ok(None) };
        let fault = |what| IntegrityFault::new("bundle", app.id.as_bytes(), what);
        if !rewrite {
            let wrapped_dek = rewrap_dek(old, new, &row.wrapped_dek)
                .map_err(|error| Failure::from(fault("its DEK does not open")).because(error))?;
            return Ok(Some(BundleRow { wrapped_dek, ..row.clone() }));
        }
        let version = app.head.app_version;
        let epoch = app.head.epoch_of(version).ok_or_else(|| fault("its epoch is unknown"))?;
        let context = bundle_context(app, epoch, version);
        let sealed = new.seal(&mut entropy::rng(), &plaintext, &context).map_err(Failure::internal)?;
        let (wrapped_dek, ciphertext) = (sealed.wrapped_dek, sealed.ciphertext);
        Ok(Some(BundleRow { app: app.id, app_version: version, wrapped_dek, ciphertext }))
    }

    /// A value of the history under a new KEK; `None` if it already is.
    pub(crate) fn reseal_value(
        &self,
        app: &FoundApp,
        new: &AppKek,
        row: &ValueRow,
        rewrite: bool,
    ) -> Result<Option<ValueRow>, Failure> {
        let id = app.row_name(row.name.as_str());
        let fault = |what| Failure::from(IntegrityFault::new("value", &id, what));
        let version = AppKek::version_of_dek(&row.wrapped_dek).map_err(|_| fault("its DEK does not open"))?;
        if version == new.version() {
            return Ok(None);
        }
        let old = self.kek(app, version)?;
        if !rewrite {
            let wrapped_dek = rewrap_dek(&old, new, &row.wrapped_dek)
                .map_err(|error| fault("its DEK does not open").because(error))?;
            return Ok(Some(ValueRow { wrapped_dek, ..row.clone() }));
        }
        let epoch = app.head.epoch_of(row.app_version).ok_or_else(|| fault("its epoch is unknown"))?;
        let context = value_context(app, &row.name, row.app_version, epoch);
        let sealed = SealedRef { wrapped_dek: &row.wrapped_dek, ciphertext: &row.ciphertext };
        let plaintext =
            old.open(sealed, &context).map_err(|error| fault("it does not open").because(error))?;
        let sealed = new.seal(&mut entropy::rng(), &plaintext, &context).map_err(Failure::internal)?;
        let (wrapped_dek, ciphertext) = (sealed.wrapped_dek, sealed.ciphertext);
        Ok(Some(ValueRow { wrapped_dek, ciphertext, ..row.clone() }))
    }

    /// The app's KEK of this version.
    pub(crate) fn kek(&self, app: &FoundApp, version: u32) -> Result<AppKek, Failure> {
        let unwrap = |wrapped: &[u8], context: &WrapContext| self.keys.unwrap(&app.keyring, wrapped, context);
        open_kek(app, version, self.store_id, unwrap)
    }

    fn open_bundle(&self, app: &FoundApp) -> Result<WipedBytes, Failure> {
        open_bundle(app, |version| self.kek(app, version))
    }

    fn open_value(&self, app: &FoundApp, name: &SecretName, row: &ValueRow) -> Result<StoredValue, Failure> {
        open_value(app, name, row, |version| self.kek(app, version))
    }
}

/// An app of a store that no engine serves. Opens its sealed rows only to prove that they are unchanged.
pub(crate) struct SealedApp<'a> {
    /// The store's id.
    pub(crate) store: StoreId,
    /// The app. Its keyring is that of the store.
    pub(crate) app: &'a FoundApp,
}

impl SealedApp<'_> {
    /// Checks that the bundle opens, as the one that the head names.
    pub(crate) fn check_bundle(&self) -> Result<(), Failure> {
        let plaintext = open_bundle(self.app, |version| self.kek(version))?;
        Ok(Bundle::decode(&plaintext).map(drop)?)
    }

    /// Checks that a value of the history opens, at its own place.
    pub(crate) fn check_value(&self, row: &ValueRow) -> Result<(), Failure> {
        open_value(self.app, &row.name, row, |version| self.kek(version)).map(drop)
    }

    /// The app's KEK of this version.
    pub(crate) fn kek(&self, version: u32) -> Result<AppKek, Failure> {
        let unwrap = |wrapped: &[u8], context: &WrapContext| self.app.keyring.unwrap(wrapped, context);
        open_kek(self.app, version, self.store, unwrap)
    }
}

fn open_kek(
    app: &FoundApp,
    version: u32,
    store: StoreId,
    unwrap: impl FnOnce(&[u8], &WrapContext) -> Result<AppKek, OpenError>,
) -> Result<AppKek, Failure> {
    let fault = |what| IntegrityFault::new("app KEK", app.id.as_bytes(), what);
    let row =
        app.head.keks.iter().find(|kek| kek.version == version).ok_or_else(|| fault("it is missing"))?;
    unwrap(&row.wrapped, &WrapContext::app_kek(*store.as_bytes(), *app.id.as_bytes(), version))
        .map_err(|error| Failure::from(fault("it does not open")).because(error))
}

/// The plaintext of the app's bundle. It must be the one that the head names: its app, its version, the DEK that encrypts
/// only it.
fn open_bundle(
    app: &FoundApp,
    kek: impl FnOnce(u32) -> Result<AppKek, Failure>,
) -> Result<WipedBytes, Failure> {
    let fault = |what| Failure::from(IntegrityFault::new("bundle", app.id.as_bytes(), what));
    let version = app.head.app_version;
    let (Some(row), Some(named)) = (app.bundle_row()?, &app.head.bundle_dek) else {
        return match (version, app.bundle_row()?) {
            (0, None) => Ok(Bundle::default().encode()),
            _ => Err(fault("it is missing, or the head does not name it")),
        };
    };
    let sealed = SealedRef { wrapped_dek: &row.wrapped_dek, ciphertext: &row.ciphertext };
    let does_not_open = |error: OpenError| fault("it does not open").because(error);
    let dek = AppKek::id_of_dek(sealed.wrapped_dek).map_err(does_not_open)?;
    if row.app_version != version || HEXLOWER.encode(&dek) != *named {
        return Err(fault("it is not the one that the app head names"));
    }
    let epoch = app.head.epoch_of(version).ok_or_else(|| fault("its epoch is unknown"))?;
    let kek = kek(AppKek::version_of_dek(sealed.wrapped_dek).map_err(does_not_open)?)?;
    let mut plaintext = kek.open(sealed, &bundle_context(app, epoch, version)).map_err(does_not_open)?;
    Ok(WipedBytes::new(mem::take(&mut *plaintext)))
}

fn open_value(
    app: &FoundApp,
    name: &SecretName,
    row: &ValueRow,
    kek: impl FnOnce(u32) -> Result<AppKek, Failure>,
) -> Result<StoredValue, Failure> {
    let fault = |what| {
        let id = app.row_name(name.as_str());
        Failure::from(IntegrityFault::new("value", &id, what))
    };
    if row.app_version > app.head.app_version {
        return Err(fault("it is of a version that the app has not reached"));
    }
    let sealed = SealedRef { wrapped_dek: &row.wrapped_dek, ciphertext: &row.ciphertext };
    let kek_version =
        AppKek::version_of_dek(sealed.wrapped_dek).map_err(|_| fault("its DEK does not open"))?;
    let epoch = app.head.epoch_of(row.app_version).ok_or_else(|| fault("its epoch is unknown"))?;
    let plaintext = kek(kek_version)?
        .open(sealed, &value_context(app, name, row.app_version, epoch))
        .map_err(|error| fault("it does not open").because(error))?;
    Ok(StoredValue::decode(&plaintext)?)
}

/// The id of the DEK of a bundle that was just sealed, as its head names it.
pub(crate) fn dek_of(wrapped_dek: &[u8]) -> Result<String, Failure> {
    AppKek::id_of_dek(wrapped_dek).map(|id| HEXLOWER.encode(&id)).map_err(Failure::internal)
}

/// A secret as a list shows it: without its value.
fn to_wire(name: SecretName, details: &Details<'_>, warnings: Vec<SecretWarning>) -> AppSecret {
    AppSecret {
        name,
        value: None,
        digest: details.digest,
        created_at: Timestamp::from_millis(details.created_at).rfc3339(),
        updated_at: Timestamp::from_millis(details.updated_at).rfc3339(),
        set_in_version: details.set_in_version,
        author: details.author.to_owned(),
        warnings,
    }
}

/// Why environments leave a secret out.
fn warnings(app: &FoundApp, name: &SecretName, has_nul: bool) -> Vec<SecretWarning> {
    let is_reserved = name.reserved().is_some() && !app.head.settings.allowed_reserved_names.contains(name);
    let nul_byte = has_nul.then_some(SecretWarning::NulByte);
    nul_byte.into_iter().chain(is_reserved.then_some(SecretWarning::ReservedName)).collect()
}

/// A name of a bundle that was decoded.
fn name_of(text: &str) -> Result<SecretName, Failure> {
    text.parse().map_err(|_| BundleError.into())
}

fn bundle_context(app: &FoundApp, epoch: u64, version: u64) -> RecordContext<'static> {
    RecordContext::Bundle { epoch, org: *app.head.org.as_bytes(), app: *app.id.as_bytes(), version }
}

fn value_context<'a>(app: &FoundApp, name: &'a SecretName, version: u64, epoch: u64) -> RecordContext<'a> {
    RecordContext::Value {
        epoch,
        org: *app.head.org.as_bytes(),
        app: *app.id.as_bytes(),
        name: name.as_str(),
        version,
    }
}

fn rewrap_dek(old: &AppKek, new: &AppKek, wrapped_dek: &[u8]) -> Result<Vec<u8>, RewrapError> {
    old.rewrap_dek(&mut entropy::rng(), new, wrapped_dek)
}

/// Whether a row, which was read before the head, names a KEK that a rotation destroyed in between.
fn is_under_destroyed_kek(app: &FoundApp, row: &ValueRow) -> bool {
    AppKek::version_of_dek(&row.wrapped_dek).is_ok_and(|version| !app.has_kek(version))
}

fn check_bundle(bundle: &Bundle<'_>) -> Result<(), Failure> {
    if bundle.entries.len() > MAX_SECRETS {
        return Err(messages::too_many_secrets(MAX_SECRETS));
    }
    if bundle.size() > MAX_BUNDLE {
        return Err(messages::bundle_too_large());
    }
    Ok(())
}
