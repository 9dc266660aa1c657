//! An app's secrets: set, delete, list, history, rollback. One transaction changes a whole set, or nothing.

use std::collections::BTreeMap;

use petsem_api::{
    AppId, AppRef, AppSecret, Digest, ErrorCode, History, HistoryEntry, MAX_BUNDLE, MAX_SECRETS, MAX_VALUE,
    SecretName, Value,
};
use petsem_keys::{AppKek, DigestKey, RecordContext, SealedRef};
use petsem_store::{BundleRow, Change, CommitError, NewValue, RecordKind, ValueRow};

use crate::clock::{Timestamp, rfc3339_seconds};
use crate::engine::Engine;
use crate::records::expect;
use crate::secrets::bundle::bundle_digest;
use crate::tenancy::found::OpenApp;
use crate::entropy;
use crate::error::Failure;
use crate::request::AuditRecord;
use crate::records::{AppHead, Bundle, Entry, IntegrityFault, StoredValue};

/// How often a set without a version is tried anew when another node was faster.
pub(crate) const TRIES: usize = 8;

/// What a set of changes became.
pub(crate) struct Updated {
    /// The app version that holds them.
    pub(crate) version: u64,
    /// What was set, without values.
    pub(crate) secrets: Vec<AppSecret>,
}

/// Who changes what, and when.
pub(crate) struct Update<'a> {
    pub(crate) app: AppId,
    /// Name → value, or `None` to delete.
    pub(crate) values: &'a BTreeMap<SecretName, Option<Value>>,
    pub(crate) expected_version: Option<u64>,
    pub(crate) author: &'a str,
    pub(crate) now: Timestamp,
}

impl Engine {
    /// Applies a set of changes to an app: all of it as one new app version, or nothing.
    pub(crate) async fn update(&self, audit: &mut AuditRecord, update: &Update<'_>) -> Result<Updated, Failure> {
        check_sizes(update.values)?;
        let _turn = self.app_turn(update.app).await;
        for _ in 0..TRIES {
            let app = self.find_app(&AppRef::Id(update.app)).await?.ok_or_else(gone)?;
            check_version(&app, update.expected_version)?;
            let bundle = self.open_bundle(&app)?;
            let changes = update
                .values
                .iter()
                .any(|(name, value)| value.is_some() || bundle.entries.contains_key(name));
            if !changes {
                // Deleting what is not there succeeds and changes nothing.
                return Ok(Updated { version: app.head.app_version, secrets: Vec::new() });
            }
            match self.write_version(audit, &app, bundle, update).await {
                Err(WriteError::Commit(CommitError::Conflict { kind: RecordKind::AppHead, .. })) => {}
                Err(WriteError::Commit(error)) => return Err(error.into()),
                Err(WriteError::Refused(failure)) => return Err(failure),
                Ok(updated) => return Ok(updated),
            }
        }
        Err(always_changing())
    }

    async fn write_version(
        &self,
        audit: &mut AuditRecord,
        app: &OpenApp,
        mut bundle: Bundle,
        update: &Update<'_>,
    ) -> Result<Updated, WriteError> {
        let version = app.head.app_version + 1;
        let kek = self.kek(app, app.head.kek_version)?;
        let digest_key: DigestKey = kek
            .unwrap(&app.head.digest_key, *self.store_id.as_bytes(), *app.id.as_bytes())
            .map_err(|error| {
                Failure::from(IntegrityFault::new("digest key", app.id.as_bytes(), "it does not open"))
                    .because(error)
            })?;
        let mut change = self.change(audit);
        let mut secrets = Vec::new();
        for (name, value) in update.values {
            let now = update.now.millis();
            let plaintext = match value {
                Some(value) => {
                    let created_at = bundle.entries.get(name).map_or(now, |entry| entry.created_at);
                    let entry = Entry {
                        value: Value::new(value.expose_bytes().to_vec()),
                        created_at,
                        updated_at: now,
                        set_in_version: version,
                        digest: Digest::from_bytes(digest_key.digest(name.as_str(), value.expose_bytes())),
                        author: update.author.to_owned(),
                    };
                    secrets.push(shown(name, &entry));
                    let plaintext = StoredValue::encode_set(&entry);
                    bundle.entries.insert(name.clone(), entry);
                    plaintext
                }
                None => {
                    if bundle.entries.remove(name).is_none() {
                        continue;
                    }
                    StoredValue::encode_deleted(now, update.author)
                }
            };
            let context = value_context(app, name, version, self.codec.epoch());
            let sealed = kek.seal(&mut entropy::rng(), &plaintext, &context).map_err(Failure::internal)?;
            change.values.push(NewValue {
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
        check_bundle(&bundle)?;
        self.seal_version(&mut change, app, &kek, &bundle, |_| ())?;
        audit.set_version(version);
        change.request.line = self.line(audit);
        self.commit(audit, change).await.map_err(WriteError::Commit)?;
        Ok(Updated { version, secrets })
    }

    /// Makes the next app version: seals the whole bundle for it and writes the head that names it. `fill` says
    /// what else the head names now.
    pub(crate) fn seal_version(
        &self,
        change: &mut Change,
        app: &OpenApp,
        kek: &AppKek,
        bundle: &Bundle,
        fill: impl FnOnce(&mut AppHead),
    ) -> Result<(), Failure> {
        let version = app.head.app_version + 1;
        let context = RecordContext::Bundle {
            epoch: self.codec.epoch(),
            org: *app.head.org.as_bytes(),
            app: *app.id.as_bytes(),
            version,
        };
        let sealed = kek.seal(&mut entropy::rng(), &bundle.encode(), &context).map_err(Failure::internal)?;
        let digest = bundle_digest(sealed.borrowed());
        let mut head = AppHead { app_version: version, bundle_digest: Some(digest), ..app.head.clone() };
        if head.epochs.last().is_none_or(|(epoch, _)| *epoch != self.codec.epoch()) {
            head.epochs.push((self.codec.epoch(), version));
        }
        fill(&mut head);
        change.expects.push(expect::<AppHead>(app.id.as_bytes(), app.head_version));
        change.puts.push(self.codec.write(app.id.as_bytes(), app.head_version + 1, &head));
        change.bundle = Some(BundleRow {
            app: app.id,
            app_version: version,
            wrapped_dek: sealed.wrapped_dek,
            ciphertext: sealed.ciphertext,
        });
        Ok(())
    }

    /// What was set at an app version that the history still holds.
    pub(crate) async fn value_at(
        &self,
        app: &OpenApp,
        name: &SecretName,
        version: u64,
    ) -> Result<Value, Failure> {
        let absent = || {
            Failure::new(
                ErrorCode::NotFound,
                format!(
                    "no value of {name} was set in version {version}, or it is no longer kept; ask for its history"
                ),
            )
        };
        if version > app.head.app_version {
            return Err(absent());
        }
        let row = self.store.value(app.id, name, version).await?.ok_or_else(absent)?;
        let newer = self.newer_head(app, std::slice::from_ref(&row)).await?;
        match self.open_value(newer.as_ref().unwrap_or(app), name, &row)? {
            StoredValue::Set(entry) => Ok(entry.value),
            StoredValue::Deleted { .. } => Err(absent()),
        }
    }

    /// What became of a secret, newest first; empty if it never was.
    pub(crate) async fn history_of(&self, app: &OpenApp, name: &SecretName) -> Result<History, Failure> {
        let rows = self.store.history(app.id, name).await?;
        let newer = self.newer_head(app, &rows).await?;
        let app = newer.as_ref().unwrap_or(app);
        let entry = |row: &ValueRow| -> Result<HistoryEntry, Failure> {
            Ok(match self.open_value(app, name, row)? {
                StoredValue::Set(entry) => HistoryEntry {
                    version: row.app_version,
                    digest: Some(entry.digest),
                    at: Timestamp::from_millis(entry.updated_at).rfc3339(),
                    author: entry.author,
                },
                StoredValue::Deleted { at, author } => HistoryEntry {
                    version: row.app_version,
                    digest: None,
                    at: Timestamp::from_millis(at).rfc3339(),
                    author,
                },
            })
        };
        let mut newest = app.head.app_version;
        if rows.iter().any(|row| row.app_version > newest) {
            // Written after the head was read, so the head says it by now; else it was put there.
            let app = self.find_app(&AppRef::Id(app.id)).await?.ok_or_else(gone)?;
            newest = app.head.app_version;
        }
        if rows.iter().any(|row| row.app_version > newest) {
            let id = [app.id.as_bytes(), name.as_str().as_bytes()].concat();
            let what = "it is of a version that the app has not reached";
            return Err(IntegrityFault::new("value", &id, what).into());
        }
        let known = rows.iter().filter(|row| row.app_version <= app.head.app_version);
        Ok(History { name: name.clone(), history: known.map(entry).collect::<Result<_, _>>()? })
    }

    /// The app as of now, if values are under a KEK that its head as of then does not name: it was rotated in between.
    async fn newer_head(&self, app: &OpenApp, rows: &[ValueRow]) -> Result<Option<OpenApp>, Failure> {
        let is_known = |row: &ValueRow| {
            AppKek::version_of_dek(&row.wrapped_dek).is_ok_and(|version| app.has_kek(version))
        };
        match rows.iter().all(is_known) {
            true => Ok(None),
            false => self.find_app(&AppRef::Id(app.id)).await,
        }
    }

    fn open_value(&self, app: &OpenApp, name: &SecretName, row: &ValueRow) -> Result<StoredValue, Failure> {
        let fault = |what| {
            Failure::from(IntegrityFault::new(
                "value",
                &[app.id.as_bytes(), name.as_str().as_bytes()].concat(),
                what,
            ))
        };
        if row.app_version > app.head.app_version {
            return Err(fault("it is of a version that the app has not reached"));
        }
        let sealed = SealedRef { wrapped_dek: &row.wrapped_dek, ciphertext: &row.ciphertext };
        let kek_version =
            AppKek::version_of_dek(sealed.wrapped_dek).map_err(|_| fault("its DEK does not open"))?;
        let epoch = app.head.epoch_of(row.app_version).ok_or_else(|| fault("its epoch is unknown"))?;
        let context = value_context(app, name, row.app_version, epoch);
        let plaintext = self
            .kek(app, kek_version)?
            .open(sealed, &context)
            .map_err(|error| fault("it does not open").because(error))?;
        Ok(StoredValue::decode(&plaintext, row.app_version)?)
    }
}

/// A secret as everybody who may list sees it: without its value.
pub(crate) fn shown(name: &SecretName, entry: &Entry) -> AppSecret {
    AppSecret {
        name: name.clone(),
        value: None,
        digest: entry.digest,
        created_at: Timestamp::from_millis(entry.created_at).rfc3339(),
        updated_at: Timestamp::from_millis(entry.updated_at).rfc3339(),
        set_in_version: entry.set_in_version,
        author: entry.author.clone(),
    }
}

fn value_context<'a>(app: &OpenApp, name: &'a SecretName, version: u64, epoch: u64) -> RecordContext<'a> {
    RecordContext::Value {
        epoch,
        org: *app.head.org.as_bytes(),
        app: *app.id.as_bytes(),
        name: name.as_str(),
        version,
    }
}

/// Demands that the app stands at the lowest version that the principal wants, or later.
pub(crate) fn check_reached(app: &OpenApp, min_version: Option<u64>) -> Result<(), Failure> {
    match min_version {
        Some(wanted) if wanted > app.head.app_version => Err(Failure::new(
            ErrorCode::VersionNotReached,
            format!("the app stands at version {}, not yet at {wanted}; try again", app.head.app_version),
        )
        .retry_after(1)),
        _ => Ok(()),
    }
}

pub(crate) enum WriteError {
    Commit(CommitError),
    Refused(Failure),
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

fn check_version(app: &OpenApp, expected: Option<u64>) -> Result<(), Failure> {
    match expected {
        Some(expected) if expected != app.head.app_version => Err(Failure::new(
            ErrorCode::StaleVersion,
            format!(
                "the app stands at version {}, not at {expected}; nothing was changed; look at what changed and try again",
                app.head.app_version
            ),
        )),
        _ => Ok(()),
    }
}

fn check_sizes(values: &BTreeMap<SecretName, Option<Value>>) -> Result<(), Failure> {
    let too_large =
        values.iter().find(|(_, value)| value.as_ref().is_some_and(|value| value.len() > MAX_VALUE));
    match too_large {
        None => Ok(()),
        Some((name, _)) => Err(Failure::new(
            ErrorCode::ValueTooLarge,
            format!(
                "the value of {name} is over 64 KiB; nothing was changed; split it, or keep it in object storage and its key here"
            ),
        )),
    }
}

fn check_bundle(bundle: &Bundle) -> Result<(), Failure> {
    if bundle.entries.len() > MAX_SECRETS {
        return Err(Failure::new(
            ErrorCode::BundleTooLarge,
            format!("an app has at most {MAX_SECRETS} secrets; nothing was changed; delete some first"),
        ));
    }
    if bundle.size() > MAX_BUNDLE {
        return Err(Failure::new(
            ErrorCode::BundleTooLarge,
            "the names and values of an app are at most 1 MiB together; nothing was changed; delete some first",
        ));
    }
    Ok(())
}

/// Other nodes were faster, every time.
pub(crate) fn always_changing() -> Failure {
    Failure::new(ErrorCode::Busy, "the app changes all the time; nothing was changed; try again")
        .retry_after(1)
}

pub(crate) fn gone() -> Failure {
    Failure::new(ErrorCode::NotFound, "the app was deleted meanwhile; nothing was changed")
}

/// RFC 3339 of a time in unix milliseconds.
pub(crate) fn time_text(millis: u64) -> String {
    rfc3339_seconds(i64::try_from(millis / 1000).unwrap_or(i64::MAX))
}
