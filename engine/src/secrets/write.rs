//! Changes an app's secrets. One transaction changes a whole set, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use petsem_api::{
    AppId, AppRef, AppSecret, BulkUpdate, BulkUpdateResponse, Deleted, MAX_VALUE, RollbackRequest,
    SecretName, SetSecret, SetSecretResponse,
};
use petsem_policy::Action;
use petsem_store::{AppPart, CommitError, RecordKind};

use crate::authz::decide::Principal;
use crate::clock::Timestamp;
use crate::engine::{Engine, TRIES};
use crate::error::Failure;
use crate::messages;
use crate::request::AuditRecord;
use crate::secrets::bundle::Amendment;
use crate::tenancy::found::FoundApp;
use crate::tenancy::settings::check_names;

/// The result of a set of changes.
struct Updated {
    /// The app version that holds them.
    version: u64,
    /// The secrets that were set, without values.
    secrets: Vec<AppSecret>,
    /// Those that were to be deleted and do not exist.
    not_found: Vec<SecretName>,
}

impl Updated {
    fn into_one(self) -> Result<SetSecretResponse, Failure> {
        let Self { version, secrets, not_found: _ } = self;
        let secret = secrets.into_iter().next();
        let secret = secret.ok_or_else(|| Failure::internal("a secret that was set is not in the result"))?;
        Ok(SetSecretResponse { secret, version })
    }
}

/// Changes of secrets, and the app version that they expect.
struct Update<'a> {
    amendments: BTreeMap<SecretName, Amendment<'a>>,
    expected_version: Option<u64>,
    now: Timestamp,
}

impl Engine {
    /// Sets one secret.
    ///
    /// # Errors
    /// Refused. Nothing was changed.
    pub async fn set_secret(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        name: SecretName,
        wanted: &SetSecret,
        now: Timestamp,
    ) -> Result<SetSecretResponse, Failure> {
        let amendments = BTreeMap::from([(name, Amendment::Set(&wanted.value))]);
        let update = Update { amendments, expected_version: wanted.expected_version, now };
        self.update(audit, principal, app, &update).await?.into_one()
    }

    /// Sets and deletes many secrets as one app version.
    ///
    /// # Errors
    /// Refused. Nothing was changed.
    pub async fn update_secrets(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        wanted: &BulkUpdate,
        now: Timestamp,
    ) -> Result<BulkUpdateResponse, Failure> {
        let amendments = wanted
            .values
            .iter()
            .map(|(name, value)| (name.clone(), value.as_ref().map_or(Amendment::Delete, Amendment::Set)))
            .collect();
        let update = Update { amendments, expected_version: wanted.expected_version, now };
        let Updated { version, secrets, not_found } = self.update(audit, principal, app, &update).await?;
        Ok(BulkUpdateResponse { secrets, not_found, version })
    }

    /// Deletes one secret; succeeds if the secret does not exist.
    ///
    /// # Errors
    /// Refused. Nothing was changed.
    pub async fn unset_secret(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        name: SecretName,
        now: Timestamp,
    ) -> Result<Deleted, Failure> {
        let amendments = BTreeMap::from([(name, Amendment::Delete)]);
        let update = Update { amendments, expected_version: None, now };
        let Updated { version, secrets: _, not_found } = self.update(audit, principal, app, &update).await?;
        Ok(Deleted { version, not_found: !not_found.is_empty() })
    }

    /// Restores the value that an earlier version set.
    ///
    /// # Errors
    /// Refused. Nothing was changed.
    pub async fn roll_back_secret(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        name: SecretName,
        wanted: &RollbackRequest,
        now: Timestamp,
    ) -> Result<SetSecretResponse, Failure> {
        audit.set_names([&name]);
        audit.set_detail(messages::restored_from(wanted.to_version));
        let app = self.app_for(principal, audit, app, AppPart::Head, &[(Action::Write, Some(&name))]).await?;
        let row = self.restorable(&app, &name, wanted.to_version).await?;
        let amendments = BTreeMap::from([(name, Amendment::Restore(&row))]);
        let update = Update { amendments, expected_version: wanted.expected_version, now };
        // By id: another app may have the name by now.
        self.update(audit, principal, &AppRef::Id(app.id), &update).await?.into_one()
    }

    /// Gives an app the version after `seen`, with the same secrets.
    pub(crate) async fn continue_after(
        &self,
        audit: &mut AuditRecord,
        app: AppId,
        seen: u64,
    ) -> Result<(), Failure> {
        let _turn = self.app_turn(app).await;
        let app = self.with_part(self.current_app(app).await?, AppPart::Bundle).await?;
        let next = self.reseal_after(&app, seen)?;
        audit.set_version(next.version);
        let mut change = self.change(audit);
        next.put_into(&mut change);
        self.commit(audit, change).await?;
        Ok(())
    }

    /// Decides on every name that changes, then changes all of them, or nothing.
    async fn update(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        update: &Update<'_>,
    ) -> Result<Updated, Failure> {
        audit.set_names(update.amendments.keys());
        let mut accesses: Vec<_> = update
            .amendments
            .iter()
            .map(|(name, amendment)| match amendment {
                Amendment::Delete => (Action::Delete, Some(name)),
                Amendment::Set(_) | Amendment::Restore(_) => (Action::Write, Some(name)),
            })
            .collect();
        if accesses.is_empty() {
            // An empty set of changes returns the version to a principal that may write.
            accesses.push((Action::Write, None));
        }
        let mut found = self.app_for(principal, audit, app, AppPart::Bundle, &accesses).await?;
        check_sizes(&update.amendments)?;
        let author = principal.author();
        let id = found.id;
        let turn = self.app_turn(id).await;
        let mut is_stale = turn.waited;
        for _ in 0..TRIES {
            if is_stale {
                found = self.current_app(id).await?;
            }
            check_version(&found, update.expected_version)?;
            check_names(&found.head, set_names(&update.amendments))?;
            let Some(next) = self.amend(&found, &update.amendments, &author, update.now)? else {
                // Deleting a missing secret succeeds and changes nothing.
                let version = found.head.app_version;
                audit.set_version(version);
                let not_found = update.amendments.keys().cloned().collect();
                return Ok(Updated { version, secrets: Vec::new(), not_found });
            };
            let version = next.version;
            audit.set_version(version);
            // A line has room for some thousand names: those that change come before deletions of missing secrets.
            let changed: BTreeSet<_> = next.changed().collect();
            let others: Vec<_> =
                update.amendments.keys().filter(|name| !changed.contains(name)).cloned().collect();
            audit.set_names(changed.iter().copied().chain(&others));
            let mut change = self.change(audit);
            let secrets = next.put_into(&mut change);
            match self.commit(audit, change).await {
                Ok(_) => return Ok(Updated { version, secrets, not_found: others }),
                Err(CommitError::Conflict { kind: RecordKind::AppHead, .. }) => is_stale = true,
                Err(error) => return Err(error.into()),
            }
        }
        Err(messages::app_always_changing())
    }
}

fn check_version(app: &FoundApp, expected: Option<u64>) -> Result<(), Failure> {
    match expected {
        Some(expected) if expected != app.head.app_version => {
            Err(messages::app_version_differs(app.head.app_version, expected))
        }
        _ => Ok(()),
    }
}

/// The names that get a value, whether new or restored. Deleting a name that programs obey always succeeds.
fn set_names<'a>(
    amendments: &'a BTreeMap<SecretName, Amendment<'_>>,
) -> impl Iterator<Item = &'a SecretName> {
    let set = amendments.iter().filter(|(_, amendment)| !matches!(amendment, Amendment::Delete));
    set.map(|(name, _)| name)
}

fn check_sizes(amendments: &BTreeMap<SecretName, Amendment<'_>>) -> Result<(), Failure> {
    let is_too_large =
        |amendment: &Amendment<'_>| matches!(amendment, Amendment::Set(value) if value.len() > MAX_VALUE);
    match amendments.iter().find(|(_, amendment)| is_too_large(amendment)) {
        None => Ok(()),
        Some((name, _)) => Err(messages::value_too_large(name)),
    }
}
