//! Takes away again what the lost changes took away, and ends what the lost store may have signed.
//!
//! Each step leaves the same state if it runs again, so the command that was interrupted repeats them all.

use petsem_api::{AppId, AppRef, ChangeAppSettings, ErrorCode, OrgRef, SecretKeyName};
use petsem_store::AppPart;
use serde::Serialize;
use serde_json::json;

use super::ACTION;
use super::lost::{LostChanges, Withdrawn};
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::FeedRow;
use crate::request::{AuditRecord, local_record};
use crate::tenancy::found::FoundApp;
use crate::tokens::revoke::all_so_far;

/// What was taken away again. Names are those of the copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repeated {
    /// Revocations of JWTs, subjects, Machines and hosts.
    pub revocations: usize,
    /// Issuers all of whose JWTs from before are refused.
    pub revoked_issuers: Vec<String>,
    /// Issuers that were deleted, because they had been changed or deleted.
    pub deleted_issuers: Vec<String>,
    /// Requests for approvals that were denied.
    pub denied_requests: usize,
    /// Apps that were deleted again.
    pub deleted_apps: Vec<String>,
    /// Orgs that were deleted again.
    pub deleted_orgs: Vec<String>,
    /// Apps that have a policy without rules now.
    pub ended_policies: Vec<String>,
    /// Apps that have no renewals and no consent to reserved names now.
    pub reset_settings: Vec<String>,
    /// Secret keys that were deleted, as `app/key`.
    pub deleted_secret_keys: Vec<String>,
    /// Orgs whose policies have a guard again.
    pub guarded_orgs: usize,
    /// Apps whose versions continue after those of the lost store.
    pub continued_apps: usize,
    /// What could not be changed, because a row differs from what was written: it stays refused.
    pub faults: Vec<String>,
}

impl Repeated {
    /// Notes an integrity fault of one app, which no decision uses any more, and goes on.
    fn passing_over<T>(&mut self, app: AppId, result: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match result {
            Err(fault) if fault.code() == ErrorCode::Integrity => {
                self.faults.push(format!("{app}: {}", fault.operator_text()));
                Ok(None)
            }
            result => result.map(Some),
        }
    }
}

impl Engine {
    /// Takes away again what the lost changes took away, and refuses every JWT from before.
    ///
    /// # Errors
    /// The store accepts no writes, or a row differs from what was written. What was taken away stays so.
    pub async fn take_away_again(&self, lost: &LostChanges) -> Result<Repeated, Failure> {
        let Withdrawn { revocations, issuers, apps, orgs, guards, policies, settings, secret_keys, versions } =
            &lost.withdrawn;
        let mut done = Repeated::default();
        // A client that has seen a lost version never takes another state for it.
        for (id, seen) in versions {
            let continued = self.continue_version(*id, *seen).await;
            done.continued_apps += usize::from(done.passing_over(*id, continued)?.unwrap_or(false));
        }
        self.revoke_again(revocations, &mut done).await?;
        done.denied_requests = self.deny_all_requests(ACTION).await?;
        for id in issuers {
            if let Some(entry) = self.control().issuer_by_id(*id) {
                let mut audit = self.audit_record();
                self.remove_issuer(&mut audit, *id).await?;
                self.record(&audit).await?;
                done.deleted_issuers.push(entry.row.issuer.clone());
            }
        }
        for id in apps {
            let deleted = self.delete_app_again(*id).await;
            let deleted = done.passing_over(*id, deleted)?;
            done.deleted_apps.extend(deleted.flatten());
        }
        for id in orgs {
            if let Some(org) = self.find_org(&OrgRef::Id(*id)).await? {
                let mut audit = self.audit_record();
                self.remove_org(&mut audit, &org).await?;
                self.record(&audit).await?;
                done.deleted_orgs.push(org.row.content.name.to_string());
            }
        }
        for id in guards {
            if self.find_org(&OrgRef::Id(*id)).await?.is_some() {
                let feed = [FeedRow::OrgGuardSet { org: *id, on: true, at: self.now().millis() }];
                self.commit_with_line(self.audit_record(), &feed).await?;
                done.guarded_orgs += 1;
            }
        }
        for id in policies {
            let ended = self.end_policy(*id).await;
            let ended = done.passing_over(*id, ended)?;
            done.ended_policies.extend(ended.flatten());
        }
        for id in settings {
            let reset = self.reset_settings(*id).await;
            let reset = done.passing_over(*id, reset)?;
            done.reset_settings.extend(reset.flatten());
        }
        for (id, name) in secret_keys {
            let deleted = self.delete_key_again(*id, name).await;
            let deleted = done.passing_over(*id, deleted)?;
            done.deleted_secret_keys.extend(deleted.flatten());
        }
        Ok(done)
    }

    /// Deletes an app. Returns its name, if the copy has it.
    async fn delete_app_again(&self, id: AppId) -> Result<Option<String>, Failure> {
        let Some(app) = self.app_of_copy(id).await? else { return Ok(None) };
        let mut audit = self.audit_record_of(&app);
        self.remove_app(&mut audit, id).await?;
        self.record(&audit).await?;
        Ok(Some(app.head.name.to_string()))
    }

    /// Replaces the policy of an app by one without rules. Returns the app's name, if it has a policy.
    async fn end_policy(&self, id: AppId) -> Result<Option<String>, Failure> {
        let Some(app) = self.app_of_copy(id).await?.filter(|app| app.head.policy_version > 0) else {
            return Ok(None);
        };
        let mut audit = self.audit_record_of(&app);
        let none = json!({ "format": 1, "rules": [] });
        self.set_policy(&mut audit, &app, none, None, ACTION, None).await?;
        self.record(&audit).await?;
        Ok(Some(app.head.name.to_string()))
    }

    /// Sets what settings allow to the least. Returns the app's name.
    async fn reset_settings(&self, id: AppId) -> Result<Option<String>, Failure> {
        let Some(app) = self.app_of_copy(id).await? else { return Ok(None) };
        let mut audit = self.audit_record_of(&app);
        let wanted = ChangeAppSettings {
            renewal_life: Some(0),
            withdraw_reserved_names: app.head.settings.allowed_reserved_names.clone(),
            ..ChangeAppSettings::default()
        };
        self.set_settings(&mut audit, &app, &wanted, false, None).await?;
        self.record(&audit).await?;
        Ok(Some(app.head.name.to_string()))
    }

    /// Deletes a secret key. Returns `app/key`, if the app has it.
    async fn delete_key_again(&self, id: AppId, name: &str) -> Result<Option<String>, Failure> {
        let Some(app) = self.app_of_copy(id).await? else { return Ok(None) };
        // The line of a change names a key as its request did, so it is a valid name.
        let Ok(name) = name.parse::<SecretKeyName>() else { return Ok(None) };
        let mut audit = self.audit_record_of(&app);
        audit.set_secret_key(&name);
        if !self.remove_secret_key(&mut audit, id, &name).await? {
            return Ok(None);
        }
        self.record(&audit).await?;
        Ok(Some(format!("{}/{name}", app.head.name)))
    }

    /// Revokes what was revoked, and every JWT that was issued before now: a lost revocation of one covers no more.
    async fn revoke_again(&self, revocations: &[FeedRow], done: &mut Repeated) -> Result<(), Failure> {
        let now = self.now();
        let mut feed = Vec::new();
        for row in revocations {
            match row {
                // Without its app, the entry would stay for ever.
                FeedRow::MachineRevoked { app, .. } => {
                    let found = self.app_of_copy(*app).await;
                    if done.passing_over(*app, found)?.flatten().is_some() {
                        feed.push(row.clone());
                    }
                }
                row => feed.push(row.clone()),
            }
        }
        done.revocations = feed.len();
        let (before, at) = (all_so_far(now), now.millis());
        let mut issuers: Vec<_> = self.control().issuers().map(|entry| entry.row.issuer.clone()).collect();
        issuers.sort();
        let all = |issuer: &String| FeedRow::JwtIssuerRevoked { issuer: issuer.clone(), before, at };
        feed.extend(issuers.iter().map(all));
        done.revoked_issuers = issuers;
        // Each with its own line: one line has room for one change with the longest names.
        for row in feed {
            self.commit_with_line(self.audit_record(), &[row]).await?;
        }
        Ok(())
    }

    /// Gives an app the version after `seen`, if its own is lower. Returns whether it was.
    async fn continue_version(&self, id: AppId, seen: u64) -> Result<bool, Failure> {
        let Some(app) = self.app_of_copy(id).await?.filter(|app| app.head.app_version < seen) else {
            return Ok(false);
        };
        let mut audit = self.audit_record_of(&app);
        audit.set_detail(messages::version_continued(app.head.app_version, seen));
        self.continue_after(&mut audit, id, seen).await?;
        self.record(&audit).await?;
        Ok(true)
    }

    async fn app_of_copy(&self, id: AppId) -> Result<Option<FoundApp>, Failure> {
        self.find_app_with(&AppRef::Id(id), AppPart::Head).await
    }

    async fn commit_with_line(&self, mut audit: AuditRecord, feed: &[FeedRow]) -> Result<(), Failure> {
        self.commit_control(&mut audit, feed, |_| {}).await?;
        self.record(&audit).await
    }

    fn audit_record(&self) -> AuditRecord {
        local_record(self.now(), ACTION)
    }

    fn audit_record_of(&self, app: &FoundApp) -> AuditRecord {
        let mut audit = self.audit_record();
        audit.set_app(app);
        audit
    }
}
