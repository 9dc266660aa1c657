//! An app's secret keys: generated or imported, used here, never returned.
//!
//! All keys of an app are in one row, whose version the app head names: no key can be dropped, swapped or restored
//! alone, and an older row is `integrity`. Each change is an app version, like a set of a secret, so that a writer can
//! wait for it by version. Material is wrapped by the app's KEK, opened for one use, and wiped.

use std::sync::Arc;

use petsem_api::{
    AppId, AppRef, DecryptRequest, DecryptResponse, Deleted, EncryptRequest, EncryptResponse, ErrorCode,
    GenerateSecretKey, MAX_SECRET_KEYS, SecretKey, SecretKeyList, SecretKeyName, SecretKeyType, SetSecretKey,
    SetSecretKeyResponse, SignRequest, SignResponse, StoreId, Value, VerifyRequest,
};
use petsem_keys::{AppKek, KeyUseError, SecretKeyMaterial};
use petsem_policy::{Action, Resource};
use petsem_store::{AppPart, Record, RecordKind};

use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::{Engine, TRIES};
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::{IntegrityFault, REREADS, Row, SecretKeyRow, SecretKeysRow};
use crate::request::AuditRecord;
use crate::secrets::bundle::SealedApp;
use crate::tenancy::found::{FoundApp, check_reached};

/// A change of one key.
enum KeyWrite {
    /// Sets this key under the label; an existing key is replaced.
    Put(petsem_keys::SecretKey),
    /// Delete the key.
    Delete,
}

/// The key to change, the principal, and the time.
struct KeyChange<'a> {
    name: &'a SecretKeyName,
    write: &'a KeyWrite,
    author: &'a str,
    now: Timestamp,
}

/// A key that was set or deleted.
struct KeyChanged {
    /// The app version with the change.
    version: u64,
    /// The key, if it was set.
    key: Option<SecretKey>,
    /// Whether it replaced another one.
    replaced: bool,
}

/// The parameters of a list of keys.
#[derive(Clone, Debug, Default)]
pub struct KeyQuery {
    /// The lowest acceptable app version.
    pub min_version: Option<u64>,
    /// Only keys of these types; `None` = all.
    pub types: Option<Vec<String>>,
}

/// One of an app's secret keys, and the principal that names it.
#[derive(Clone, Copy)]
pub struct KeyRequest<'a> {
    /// The principal.
    pub principal: &'a Principal,
    /// The app.
    pub app: &'a AppRef,
    /// The key's label.
    pub name: &'a SecretKeyName,
    /// The lowest acceptable app version, for uses and reads.
    pub min_version: Option<u64>,
    /// The time of the request.
    pub now: Timestamp,
}

impl Engine {
    /// The app's secret keys that the principal may list, without their material.
    ///
    /// # Errors
    /// Refused.
    pub async fn list_secret_keys(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        query: &KeyQuery,
        now: Timestamp,
    ) -> Result<SecretKeyList, Failure> {
        let (app, all) = self.app_for_list(principal, audit, app, Resource::SecretKey, now).await?;
        let (app, row) = self.secret_keys_of(app).await?;
        check_reached(&app, query.min_version)?;
        audit.set_version(app.head.app_version);
        if !all {
            principal.check_work(row.keys.len())?;
        }
        let may_list = |audit: &mut AuditRecord, name| {
            let target = AccessTarget { app: Some(&app), secret_key: Some(name), ..AccessTarget::default() };
            all || principal.allows(audit, &target, Action::List, now).is_ok()
        };
        let allowed: Vec<_> = row.keys.iter().filter(|(name, _)| may_list(audit, name)).collect();
        if !all && allowed.is_empty() {
            // No key is allowed: the refusal names the caveat.
            self.app_for(principal, audit, &AppRef::Id(app.id), AppPart::Head, &[(Action::List, None)])
                .await?;
        }
        let is_wanted = |row: &SecretKeyRow| {
            query.types.as_ref().is_none_or(|types| types.iter().any(|wanted| wanted == row.kind.as_str()))
        };
        let secret_keys =
            allowed.into_iter().filter(|(_, row)| is_wanted(row)).map(|(name, row)| to_wire(name, row));
        Ok(SecretKeyList { secret_keys: secret_keys.collect(), version: app.head.app_version })
    }

    /// One secret key, without its material.
    ///
    /// # Errors
    /// Refused, or the app has no such key.
    pub async fn show_secret_key(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
    ) -> Result<SecretKey, Failure> {
        let (_, row) = self.keys_for(audit, request, Action::List).await?;
        let key = row.keys.get(request.name);
        key.map(|row| to_wire(request.name, row)).ok_or_else(|| messages::no_such_secret_key(request.name))
    }

    /// Imports a key.
    ///
    /// # Errors
    /// Refused, or the material is not of that type. Nothing was changed.
    pub async fn import_secret_key(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        wanted: &SetSecretKey,
    ) -> Result<SetSecretKeyResponse, Failure> {
        audit.set_detail(messages::key_type(wanted.kind));
        let app = self.key_app(audit, request, Action::Write, AppPart::Bundle).await?;
        let key = petsem_keys::SecretKey::import(key_type(wanted.kind), wanted.value.expose_bytes());
        self.put_secret_key(audit, request, app, key.map_err(|error| messages::key_not_imported(&error))?)
            .await
    }

    /// Generates a key.
    ///
    /// # Errors
    /// Refused. Nothing was changed.
    pub async fn generate_secret_key(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        wanted: &GenerateSecretKey,
    ) -> Result<SetSecretKeyResponse, Failure> {
        if wanted.value.is_some() {
            return Err(messages::generated_key_has_value());
        }
        audit.set_detail(messages::key_type(wanted.kind));
        let app = self.key_app(audit, request, Action::Write, AppPart::Bundle).await?;
        let key = petsem_keys::SecretKey::generate(&mut entropy::rng(), key_type(wanted.kind));
        self.put_secret_key(audit, request, app, key).await
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// Refused, or the app has no such key. Nothing was changed.
    pub async fn delete_secret_key(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
    ) -> Result<Deleted, Failure> {
        let app = self.key_app(audit, request, Action::Delete, AppPart::Bundle).await?;
        let version = self.change_secret_key(audit, request, app, &KeyWrite::Delete).await?.version;
        Ok(Deleted { version, not_found: false })
    }

    /// Deletes a key, if the app has it, once that is decided.
    pub(crate) async fn remove_secret_key(
        &self,
        audit: &mut AuditRecord,
        app: AppId,
        name: &SecretKeyName,
    ) -> Result<bool, Failure> {
        let _turn = self.app_turn(app).await;
        let (app, keys) = self.secret_keys_of(self.current_app(app).await?).await?;
        if !keys.keys.contains_key(name) {
            return Ok(false);
        }
        let change = KeyChange { name, write: &KeyWrite::Delete, author: "node", now: self.now() };
        self.write_secret_key(audit, &app, keys, &change).await?;
        Ok(true)
    }

    /// Encrypts with a key.
    ///
    /// # Errors
    /// Refused, or the key's type does not support this use.
    pub async fn encrypt(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        wanted: &EncryptRequest,
    ) -> Result<EncryptResponse, Failure> {
        let key = self.key_for_use(audit, request).await?;
        let (plaintext, data) = (wanted.plaintext.expose_bytes(), wanted.associated_data.expose_bytes());
        let ciphertext = key.encrypt(&mut entropy::rng(), plaintext, data).map_err(unusable)?;
        Ok(EncryptResponse { ciphertext: Value::new(ciphertext) })
    }

    /// Decrypts with a key.
    ///
    /// # Errors
    /// Refused, or the key did not make this ciphertext.
    pub async fn decrypt(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        wanted: &DecryptRequest,
    ) -> Result<DecryptResponse, Failure> {
        let key = self.key_for_use(audit, request).await?;
        let (ciphertext, data) = (wanted.ciphertext.expose_bytes(), wanted.associated_data.expose_bytes());
        let mut plaintext = key.decrypt(ciphertext, data).map_err(unusable)?;
        Ok(DecryptResponse { plaintext: Value::new(std::mem::take(&mut *plaintext)) })
    }

    /// Signs with a key.
    ///
    /// # Errors
    /// Refused, or the key's type does not support this use.
    pub async fn sign(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        wanted: &SignRequest,
    ) -> Result<SignResponse, Failure> {
        let key = self.key_for_use(audit, request).await?;
        let signature = key.sign(wanted.plaintext.expose_bytes()).map_err(unusable)?;
        Ok(SignResponse { signature: Value::new(signature) })
    }

    /// Verifies a signature with a key.
    ///
    /// # Errors
    /// Refused, or the key did not make this signature.
    pub async fn verify_signature(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        wanted: &VerifyRequest,
    ) -> Result<(), Failure> {
        let key = self.key_for_use(audit, request).await?;
        key.verify(wanted.plaintext.expose_bytes(), wanted.signature.expose_bytes()).map_err(unusable)
    }

    async fn put_secret_key(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        app: FoundApp,
        key: petsem_keys::SecretKey,
    ) -> Result<SetSecretKeyResponse, Failure> {
        let KeyChanged { version, key, replaced } =
            self.change_secret_key(audit, request, app, &KeyWrite::Put(key)).await?;
        let key = key.ok_or_else(|| Failure::internal("a key that was put is not in the result"))?;
        Ok(SetSecretKeyResponse { key, version, replaced })
    }

    /// The key, for a principal that may use it. It is opened last, so that plaintext material exists only during its
    /// use.
    async fn key_for_use(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
    ) -> Result<petsem_keys::SecretKey, Failure> {
        let (app, row) = self.keys_for(audit, request, Action::UseKey).await?;
        let row = row.keys.get(request.name).ok_or_else(|| messages::no_such_secret_key(request.name))?;
        self.open_secret_key(&app, request.name, row)
    }

    /// The app's keys, for a principal that may perform this action with the named key.
    async fn keys_for(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        action: Action,
    ) -> Result<(FoundApp, Arc<SecretKeysRow>), Failure> {
        let app = self.key_app(audit, request, action, AppPart::SecretKeys).await?;
        let record = app.secret_keys_row()?;
        let row = match self.named_keys(&app, record) {
            // Another node committed a control change that this node has not read yet.
            Err(fault) if fault.is_ahead() => {
                self.refresh().await?;
                self.named_keys(&app, record)
            }
            row => row,
        }?;
        check_reached(&app, request.min_version)?;
        audit.set_version(app.head.app_version);
        Ok((app, row))
    }

    /// The keys in this row, if it is the one that the head names.
    fn named_keys(
        &self,
        app: &FoundApp,
        record: Option<&Record>,
    ) -> Result<Arc<SecretKeysRow>, IntegrityFault> {
        let read = |record| self.codec.read_kept::<SecretKeysRow>(app.id.as_bytes(), record);
        let row = record.map(read).transpose()?;
        if row.as_ref().map_or(0, |row| row.version) != app.head.secret_keys_version {
            return Err(other_keys(app.id));
        }
        Ok(row.map(|row| row.content).unwrap_or_default())
    }

    async fn key_app(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        action: Action,
        part: AppPart,
    ) -> Result<FoundApp, Failure> {
        self.app_for_key(request.principal, audit, request.app, action, request.name, part).await
    }

    /// Sets or deletes a key, as one new app version.
    async fn change_secret_key(
        &self,
        audit: &mut AuditRecord,
        request: &KeyRequest<'_>,
        app: FoundApp,
        write: &KeyWrite,
    ) -> Result<KeyChanged, Failure> {
        let author = request.principal.author();
        let change = KeyChange { name: request.name, write, author: &author, now: request.now };
        let id = app.id;
        let turn = self.app_turn(id).await;
        let (mut found, mut is_stale) = (app, turn.waited);
        for _ in 0..TRIES {
            if is_stale {
                found = self.current_app(id).await?;
            }
            let (app, keys) = self.secret_keys_of(found).await?;
            // Here, because another conflict is a reason to try again.
            if let KeyWrite::Put(key) = write {
                check_type(&keys, change.name, wire_type(key.kind()))?;
            }
            match self.write_secret_key(audit, &app, keys, &change).await {
                Err(failure) if failure.code() == ErrorCode::Conflict => is_stale = true,
                written => return written,
            }
            found = app;
        }
        Err(messages::app_always_changing())
    }

    async fn write_secret_key(
        &self,
        audit: &mut AuditRecord,
        app: &FoundApp,
        mut row: SecretKeysRow,
        wanted: &KeyChange<'_>,
    ) -> Result<KeyChanged, Failure> {
        let version = app.head.app_version + 1;
        let kek = self.kek(app, app.head.kek_version)?;
        // A key that is set again replaces the one before.
        let takes_away = row.keys.contains_key(wanted.name);
        match wanted.write {
            KeyWrite::Delete => {
                row.keys.remove(wanted.name).ok_or_else(|| messages::no_such_secret_key(wanted.name))?;
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
                    return Err(messages::too_many_secret_keys(MAX_SECRET_KEYS));
                }
            }
        }
        let key = row.keys.get(wanted.name).map(|key| to_wire(wanted.name, key));
        let row_version = app.head.secret_keys_version + 1;
        let next = self.reseal(app, &kek, |head| head.secret_keys_version = row_version)?;
        audit.set_version(version);
        let mut change = self.change(audit);
        change.erases = takes_away;
        next.put_into(&mut change);
        change.puts.push(self.codec.write(app.id.as_bytes(), row_version, &row));
        self.commit_head(audit, app, takes_away, None, change).await?;
        let replaced = takes_away && key.is_some();
        Ok(KeyChanged { version, key, replaced })
    }

    /// The app's keys at the version that its head names, and the app with that head.
    pub(crate) async fn secret_keys_of(
        &self,
        mut app: FoundApp,
    ) -> Result<(FoundApp, SecretKeysRow), Failure> {
        let id = app.id;
        let mut tries = 0;
        loop {
            let row: Option<Row<SecretKeysRow>> = self.row(id.as_bytes()).await?;
            if row.as_ref().map_or(0, |row| row.version) == app.head.secret_keys_version {
                return Ok((app, row.map(|row| row.content).unwrap_or_default()));
            }
            // If it was changed between the two reads, the current head names it; otherwise the row was forged or
            // restored.
            tries += 1;
            if tries > REREADS {
                return Err(other_keys(id).into());
            }
            app = self.current_app(id).await?;
        }
    }

    /// A key, opened for one use.
    fn open_secret_key(
        &self,
        app: &FoundApp,
        name: &SecretKeyName,
        row: &SecretKeyRow,
    ) -> Result<petsem_keys::SecretKey, Failure> {
        open_secret_key(app, name, row, self.store_id, |version| self.kek(app, version))
    }
}

/// The row of an app's keys was forged or restored.
fn other_keys(app: AppId) -> IntegrityFault {
    let what = "it is not at the version that the app head names";
    IntegrityFault::new(RecordKind::SecretKeys, app.as_bytes(), what)
}

/// All versions of a label have one type: clients use the newest, and a key of another type would do something else
/// with the same label.
fn check_type(row: &SecretKeysRow, name: &SecretKeyName, kind: SecretKeyType) -> Result<(), Failure> {
    let is_version = |other: &SecretKeyName| other.unversioned() == name.unversioned();
    // Where versions differ already, one of them may still be replaced by its own type.
    let stays = row.keys.get(name).is_some_and(|key| key.kind == kind);
    match row.keys.iter().any(|(other, key)| is_version(other) && key.kind != kind) {
        true if !stays => Err(messages::other_key_type(name, kind)),
        _ => Ok(()),
    }
}

/// Checks that a secret key opens, as a key of its type. For a store that no engine serves.
pub(crate) fn check_secret_key(
    sealed: &SealedApp<'_>,
    name: &SecretKeyName,
    row: &SecretKeyRow,
) -> Result<(), Failure> {
    open_secret_key(sealed.app, name, row, sealed.store, |version| sealed.kek(version)).map(drop)
}

fn open_secret_key(
    app: &FoundApp,
    name: &SecretKeyName,
    row: &SecretKeyRow,
    store: StoreId,
    kek: impl FnOnce(u32) -> Result<AppKek, Failure>,
) -> Result<petsem_keys::SecretKey, Failure> {
    let fault = |what| {
        let id = app.row_name(name.as_str());
        Failure::from(IntegrityFault::new("secret key", &id, what))
    };
    let id: [u8; 16] = row.id.as_slice().try_into().map_err(|_| fault("its id has the wrong length"))?;
    let version = AppKek::version_of(&row.wrapped).map_err(|_| fault("it does not open"))?;
    let material: SecretKeyMaterial = kek(version)?
        .unwrap(&row.wrapped, *store.as_bytes(), id)
        .map_err(|error| fault("it does not open").because(error))?;
    petsem_keys::SecretKey::from_material(key_type(row.kind), material)
        .map_err(|_| fault("it is not of its type"))
}

/// The public description of a key.
fn to_wire(name: &SecretKeyName, row: &SecretKeyRow) -> SecretKey {
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

/// The error of a use of a key.
fn unusable(error: KeyUseError) -> Failure {
    let code = match error {
        KeyUseError::Unsupported { .. } | KeyUseError::AssociatedData { .. } => ErrorCode::WrongKeyType,
        KeyUseError::TooLong { .. } => ErrorCode::ValueTooLarge,
        KeyUseError::NotAuthentic => ErrorCode::DecryptionFailed,
        KeyUseError::SignatureMismatch => ErrorCode::SignatureMismatch,
        _ => return Failure::internal(error),
    };
    messages::refused(code, &error)
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
    fn the_key_types_of_the_api_are_those_of_the_keys_crate() {
        for kind in SecretKeyType::ALL {
            assert_eq!(wire_type(key_type(*kind)), *kind);
            assert_eq!(key_type(*kind).as_str(), kind.as_str());
        }
        assert_eq!(petsem_keys::SECRET_KEY_MESSAGE_MAXIMUM, petsem_api::MAX_KEY_MESSAGE);
        assert_eq!(petsem_keys::SecretKeyType::ALL.len(), SecretKeyType::ALL.len());
    }
}
