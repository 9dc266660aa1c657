//! An app's secret keys: made or brought here, used here, never answered.
//!
//! All keys of an app stand in one row, whose version the app head names: none can be dropped, swapped or put
//! back alone, and a row of another time is `integrity`. Each change is an app version like a set of a
//! secret, so that a writer can wait for it by version. Material is wrapped by the app's KEK, opened for one
//! use, and wiped.

use petsem_api::{AppId, AppRef, ErrorCode, MAX_SECRET_KEYS, SecretKey, SecretKeyName, SecretKeyType, Value};
use petsem_keys::{AppKek, ImportError, KeyUseError, SecretKeyMaterial};
use petsem_store::{CommitError, RecordKind};

use crate::clock::Timestamp;
use crate::engine::{Engine, REREADS};
use crate::tenancy::found::OpenApp;
use crate::entropy;
use crate::error::Failure;
use crate::request::AuditRecord;
use crate::records::{IntegrityFault, Row, SecretKeyRow, SecretKeysRow};
use crate::secrets::write::{TRIES, WriteError, always_changing, gone};

/// What a change does to one key.
pub(crate) enum KeyWrite {
    /// Put this key under the label; one that is there is gone.
    Put(petsem_keys::SecretKey),
    /// Delete the key.
    Delete,
}

/// Who changes which key, and when.
pub(crate) struct KeyChange<'a> {
    pub(crate) app: AppId,
    pub(crate) name: &'a SecretKeyName,
    pub(crate) write: &'a KeyWrite,
    pub(crate) author: &'a str,
    pub(crate) now: Timestamp,
}

impl Engine {
    /// Puts or deletes a key, as one new app version. Answers the version, and the key where there is one now.
    pub(crate) async fn change_secret_key(
        &self,
        audit: &mut AuditRecord,
        change: &KeyChange<'_>,
    ) -> Result<(u64, Option<SecretKey>), Failure> {
        let _turn = self.app_turn(change.app).await;
        for _ in 0..TRIES {
            let app = self.find_app(&AppRef::Id(change.app)).await?.ok_or_else(gone)?;
            let (app, keys) = self.secret_keys_of(app).await?;
            match self.write_secret_key(audit, &app, keys, change).await {
                Err(WriteError::Commit(CommitError::Conflict { kind: RecordKind::AppHead, .. })) => {}
                Err(WriteError::Commit(error)) => return Err(error.into()),
                Err(WriteError::Refused(failure)) => return Err(failure),
                Ok(written) => return Ok(written),
            }
        }
        Err(always_changing())
    }

    async fn write_secret_key(
        &self,
        audit: &mut AuditRecord,
        app: &OpenApp,
        mut row: SecretKeysRow,
        wanted: &KeyChange<'_>,
    ) -> Result<(u64, Option<SecretKey>), WriteError> {
        let version = app.head.app_version + 1;
        let kek = self.kek(app, app.head.kek_version)?;
        match wanted.write {
            KeyWrite::Delete => {
                row.keys.remove(wanted.name).ok_or_else(|| no_such_key(wanted.name))?;
            }
            KeyWrite::Put(key) => {
                let id = entropy::bytes::<16>();
                let wrapped = kek
                    .wrap(&mut entropy::rng(), key.material(), *self.store_id.as_bytes(), id)
                    .map_err(Failure::internal)?;
                let key_row = SecretKeyRow {
                    id: id.to_vec(),
                    kind: wire_type(key.kind()),
                    wrapped,
                    public_key: key.public_key().map_err(Failure::internal)?.unwrap_or_default(),
                    created_at: wanted.now.millis(),
                    set_in_version: version,
                    author: wanted.author.to_owned(),
                };
                row.keys.insert(wanted.name.clone(), key_row);
                if row.keys.len() > MAX_SECRET_KEYS {
                    return Err(too_many().into());
                }
            }
        }
        let shown = row.keys.get(wanted.name).map(|key| shown(wanted.name, key));
        let row_version = app.head.secret_keys_version + 1;
        let mut change = self.change(audit);
        let bundle = self.open_bundle(app)?;
        self.seal_version(&mut change, app, &kek, &bundle, |head| head.secret_keys_version = row_version)?;
        change.puts.push(self.codec.write(app.id.as_bytes(), row_version, &row));
        audit.set_version(version);
        change.request.line = self.line(audit);
        self.commit(audit, change).await.map_err(WriteError::Commit)?;
        Ok((version, shown))
    }

    /// The app's keys, at the version that its head names; and the app as of then.
    pub(crate) async fn secret_keys_of(&self, mut app: OpenApp) -> Result<(OpenApp, SecretKeysRow), Failure> {
        let id = app.id;
        let mut tries = 0;
        loop {
            let record = self.store.record(RecordKind::SecretKeys, id.as_bytes()).await?;
            let row: Option<Row<SecretKeysRow>> =
                record.map(|record| self.codec.read(id.as_bytes(), &record)).transpose()?;
            if row.as_ref().map_or(0, |row| row.version) == app.head.secret_keys_version {
                return Ok((app, row.map(|row| row.content).unwrap_or_default()));
            }
            // Changed between the two reads: the head says the newer version by now. Otherwise it was put there.
            tries += 1;
            if tries > REREADS {
                let what = "it is not at the version that the app head names";
                return Err(IntegrityFault::new(RecordKind::SecretKeys, id.as_bytes(), what).into());
            }
            app = self.find_app(&AppRef::Id(id)).await?.ok_or_else(gone)?;
        }
    }

    /// A key, opened for one use.
    pub(crate) fn open_secret_key(
        &self,
        app: &OpenApp,
        name: &SecretKeyName,
        row: &SecretKeyRow,
    ) -> Result<petsem_keys::SecretKey, Failure> {
        let fault = |what| {
            let id = [app.id.as_bytes(), name.as_str().as_bytes()].concat();
            Failure::from(IntegrityFault::new("secret key", &id, what))
        };
        let id: [u8; 16] = row.id.as_slice().try_into().map_err(|_| fault("its id has the wrong length"))?;
        let version = AppKek::version_of(&row.wrapped).map_err(|_| fault("it does not open"))?;
        let material: SecretKeyMaterial = self
            .kek(app, version)?
            .unwrap(&row.wrapped, *self.store_id.as_bytes(), id)
            .map_err(|error| fault("it does not open").because(error))?;
        petsem_keys::SecretKey::from_material(key_type(row.kind), material)
            .map_err(|_| fault("it is not of its type"))
    }
}

/// A key that its owner brings.
pub(crate) fn brought(kind: SecretKeyType, material: &Value) -> Result<petsem_keys::SecretKey, Failure> {
    petsem_keys::SecretKey::import(key_type(kind), material.expose_bytes()).map_err(bad_key)
}

/// A new key.
pub(crate) fn generated(kind: SecretKeyType) -> petsem_keys::SecretKey {
    petsem_keys::SecretKey::generate(&mut entropy::rng(), key_type(kind))
}

/// A key as everybody who may list sees it.
pub(crate) fn shown(name: &SecretKeyName, row: &SecretKeyRow) -> SecretKey {
    let public_key = Some(&row.public_key).filter(|key| !key.is_empty());
    SecretKey {
        name: name.clone(),
        kind: row.kind,
        public_key: public_key.map(|key| data_encoding::BASE64.encode(key)),
        created_at: Timestamp::from_millis(row.created_at).rfc3339(),
        set_in_version: row.set_in_version,
        author: row.author.clone(),
    }
}

/// A key that is not there, told to those who may know.
pub(crate) fn no_such_key(name: &SecretKeyName) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("the app has no secret key {name}; `petsem keys list` shows what there is"),
    )
}

/// Why a key did not do what it was asked.
pub(crate) fn unusable(error: KeyUseError) -> Failure {
    let code = match error {
        KeyUseError::Unsupported { .. } | KeyUseError::AssociatedData { .. } => ErrorCode::WrongKeyType,
        KeyUseError::TooLong { .. } => ErrorCode::ValueTooLarge,
        KeyUseError::NotAuthentic => ErrorCode::DecryptionFailed,
        KeyUseError::SignatureMismatch => ErrorCode::SignatureMismatch,
        _ => return Failure::internal(error),
    };
    Failure::new(code, error.to_string())
}

fn bad_key(error: ImportError) -> Failure {
    Failure::new(ErrorCode::BadKey, format!("{error}; nothing was changed"))
}

fn too_many() -> Failure {
    Failure::new(
        ErrorCode::BundleTooLarge,
        format!(
            "an app has at most {MAX_SECRET_KEYS} secret keys; nothing was changed; delete old versions first"
        ),
    )
}

fn key_type(kind: SecretKeyType) -> petsem_keys::SecretKeyType {
    use petsem_keys::SecretKeyType as Key;
    match kind {
        SecretKeyType::Hs256 => Key::Hs256,
        SecretKeyType::Hs384 => Key::Hs384,
        SecretKeyType::Hs512 => Key::Hs512,
        SecretKeyType::Xaes256Gcm => Key::Xaes256Gcm,
        SecretKeyType::NaclAuth => Key::NaclAuth,
        SecretKeyType::NaclBox => Key::NaclBox,
        SecretKeyType::NaclSecretbox => Key::NaclSecretbox,
        SecretKeyType::NaclSign => Key::NaclSign,
        SecretKeyType::Es256 => Key::Es256,
    }
}

fn wire_type(kind: petsem_keys::SecretKeyType) -> SecretKeyType {
    use petsem_keys::SecretKeyType as Key;
    match kind {
        Key::Hs256 => SecretKeyType::Hs256,
        Key::Hs384 => SecretKeyType::Hs384,
        Key::Hs512 => SecretKeyType::Hs512,
        Key::Xaes256Gcm => SecretKeyType::Xaes256Gcm,
        Key::NaclAuth => SecretKeyType::NaclAuth,
        Key::NaclBox => SecretKeyType::NaclBox,
        Key::NaclSecretbox => SecretKeyType::NaclSecretbox,
        Key::NaclSign => SecretKeyType::NaclSign,
        Key::Es256 => SecretKeyType::Es256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_the_wire_are_those_of_the_keys() {
        for kind in SecretKeyType::ALL {
            assert_eq!(wire_type(key_type(*kind)), *kind);
            assert_eq!(key_type(*kind).as_str(), kind.as_str());
        }
        assert_eq!(petsem_keys::SECRET_KEY_MESSAGE_MAXIMUM, petsem_api::MAX_KEY_MESSAGE);
        assert_eq!(petsem_keys::SecretKeyType::ALL.len(), SecretKeyType::ALL.len());
    }
}
