//! The history of a secret: its earlier values are listed without their content, and restored.

use petsem_api::{AppRef, History, SecretName};
use petsem_keys::AppKek;
use petsem_policy::Action;
use petsem_store::{AppPart, ValueRow};

use crate::authz::decide::Principal;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::IntegrityFault;
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;

impl Engine {
    /// The history of a secret, newest first, without values.
    ///
    /// # Errors
    /// Refused, or the name never existed.
    pub async fn secret_history(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        name: &SecretName,
    ) -> Result<History, Failure> {
        audit.set_names([name]);
        let app = self.app_for(principal, audit, app, AppPart::Head, &[(Action::List, Some(name))]).await?;
        let mut rows = self.store.history(app.id, name).await?;
        let newer = self.newer_head(&app, &rows).await?;
        let app = newer.as_ref().unwrap_or(&app);
        let mut newest = app.head.app_version;
        if rows.iter().any(|row| row.app_version > newest) {
            // If it was written after the head was read, a new head names it; otherwise the row was forged or restored.
            let app = self.current_app(app.id).await?;
            newest = app.head.app_version;
        }
        if rows.iter().any(|row| row.app_version > newest) {
            let id = app.row_name(name.as_str());
            let what = "it is of a version that the app has not reached";
            return Err(IntegrityFault::new("value", &id, what).into());
        }
        rows.retain(|row| row.app_version <= app.head.app_version);
        let history = self.describe_history(app, name, &rows)?;
        if history.is_empty() {
            return Err(messages::no_such_secret(name));
        }
        Ok(History { name: name.clone(), history })
    }

    /// The row of the value that this version set, if the history still holds it.
    pub(crate) async fn restorable(
        &self,
        app: &FoundApp,
        name: &SecretName,
        version: u64,
    ) -> Result<ValueRow, Failure> {
        let absent = || messages::no_such_version(name, version);
        if version > app.head.app_version {
            return Err(absent());
        }
        let row = self.store.value(app.id, name, version).await?.ok_or_else(absent)?;
        let newer = self.newer_head(app, std::slice::from_ref(&row)).await?;
        match self.is_restorable(newer.as_ref().unwrap_or(app), name, &row)? {
            true => Ok(row),
            false => Err(absent()),
        }
    }

    /// The current app, if values are under a KEK that the earlier head does not name: the KEK was rotated in between.
    async fn newer_head(&self, app: &FoundApp, rows: &[ValueRow]) -> Result<Option<FoundApp>, Failure> {
        let is_known = |row: &ValueRow| {
            AppKek::version_of_dek(&row.wrapped_dek).is_ok_and(|version| app.has_kek(version))
        };
        match rows.iter().all(is_known) {
            true => Ok(None),
            false => self.find_app(&AppRef::Id(app.id)).await,
        }
    }
}
