//! Apps: created in an org, deleted with their keys.

use petsem_api::{
    App, AppId, AppList, AppName, AppOrganization, AppRef, AppSettings, AppStatus, CreateApp, DeletedApp,
    MAX_ALLOWED_NAMES, OrgId, OrgName, OrgRef,
};
use petsem_keys::{AppKek, DigestKey, WrapContext};
use petsem_policy::Action;
use petsem_store::{AppPart, RecordKind};

use crate::authz::decide::Principal;
use crate::clock::{Timestamp, time_text};
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::{
    AppHead, AppNameRow, AppState, FeedRow, IntegrityFault, KekRow, LONGEST_RENEWAL, OrgAppRow, OrgRow,
    expect,
};
use crate::request::AuditRecord;
use crate::tenancy::orgs::FoundOrg;

/// Apps on one page of a list.
const PAGE: u32 = 500;
/// Most values kept of a secret.
const MOST_HISTORY: u32 = 100;

impl Engine {
    /// Creates an app in an org.
    ///
    /// # Errors
    /// Refused, or the name is in use. Nothing was changed.
    pub async fn create_app(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        wanted: CreateApp,
        now: Timestamp,
    ) -> Result<App, Failure> {
        if !(wanted.network.is_empty() && wanted.app_role_id.is_empty()) {
            return Err(messages::no_networks_and_roles());
        }
        let org = match (&wanted.org, &wanted.org_slug) {
            (Some(org), None) | (None, Some(org)) => org,
            _ => return Err(messages::not_one_org()),
        };
        let org = self.org_for(audit, principal, org, Action::Write, now).await?;
        self.check_new_settings(audit, principal, &org, &wanted.settings, now).await?;
        self.make_app(audit, &org, &wanted.name, wanted.settings).await
    }

    /// A page of an org's apps, by id.
    ///
    /// # Errors
    /// Refused.
    pub async fn list_apps(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &OrgRef,
        after: Option<AppId>,
        now: Timestamp,
    ) -> Result<AppList, Failure> {
        let org = self.org_for(audit, principal, org, Action::List, now).await?;
        audit.set_org(org.id);
        let control = self.control();
        let after = after.map(|app| org_app(org.id, app));
        let page = self.scan::<OrgAppRow>(PAGE).within(org.id.as_bytes(), after).next_page().await?;
        let full = page.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut apps = Vec::with_capacity(page.len());
        for entry in page {
            let ((_, id), _) = entry?;
            // Deleted since the page was read.
            if let Some(head) = self.row::<AppHead>(id.as_bytes()).await? {
                if control.app(id).await?.is_deleted() {
                    // Deleted since its row was read.
                    if self.row::<AppHead>(id.as_bytes()).await?.is_none() {
                        continue;
                    }
                    let what = "the app was deleted, but its row exists again";
                    return Err(IntegrityFault::new(RecordKind::AppHead, id.as_bytes(), what).into());
                }
                apps.push(to_wire(id, &head.content, &org.row.content.name));
            }
        }
        let next = apps.last().filter(|_| full).map(|app| app.id);
        Ok(AppList { apps, next })
    }

    /// One app.
    ///
    /// # Errors
    /// Refused, or it does not exist.
    pub async fn show_app(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
    ) -> Result<App, Failure> {
        let app = self.app_for(principal, audit, app, AppPart::Head, &[(Action::List, None)]).await?;
        let org = self.org_name(app.head.org).await?;
        Ok(to_wire(app.id, &app.head, &org))
    }

    /// Deletes an app, its name, its policy, its values and its KEKs.
    ///
    /// # Errors
    /// Refused. Nothing was changed.
    pub async fn delete_app(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
    ) -> Result<DeletedApp, Failure> {
        let id = self.app_for(principal, audit, app, AppPart::Head, &[(Action::Delete, None)]).await?.id;
        self.remove_app(audit, id).await
    }

    /// [`Self::delete_app`], once that is decided.
    pub(crate) async fn remove_app(&self, audit: &mut AuditRecord, id: AppId) -> Result<DeletedApp, Failure> {
        let _turn = self.app_turn(id).await;
        // Read under the app's lock: a concurrent set has ended.
        let app = self.current_app(id).await?;
        let (org, name) = (app.head.org, app.head.name.clone());
        let feed = [FeedRow::AppDeleted { app: id, org, name, at: self.now().millis() }];
        self.commit_control(audit, &feed, |change| {
            change.expects.push(expect::<AppHead>(id.as_bytes(), app.head_version));
            change.deletes.push((RecordKind::AppHead, id.as_bytes().to_vec()));
            change.deletes.push((RecordKind::AppName, app.head.name.as_str().as_bytes().to_vec()));
            change.deletes.push((RecordKind::OrgApp, org_app(app.head.org, id)));
            change.deletes.push((RecordKind::Policy, id.as_bytes().to_vec()));
            change.deletes.push((RecordKind::SecretKeys, id.as_bytes().to_vec()));
            change.deletes.push((RecordKind::AppRotation, id.as_bytes().to_vec()));
            change.delete_app = Some(id);
            change.erases = true;
        })
        .await?;
        Ok(DeletedApp { id, notice: messages::APP_DELETED.to_owned() })
    }

    /// Creates an app with its own KEK.
    pub(crate) async fn make_app(
        &self,
        audit: &mut AuditRecord,
        org: &FoundOrg,
        name: &AppName,
        settings: AppSettings,
    ) -> Result<App, Failure> {
        check_settings(&settings)?;
        // Each new app changes the org's row, so that the org is not deleted in the meantime. Concurrent creations in
        // one org wait for each other here instead of failing.
        let _turn = self.app_turns(std::iter::once(org.id.as_bytes().as_slice())).await;
        let org = &self.find_org(&OrgRef::Id(org.id)).await?.ok_or_else(messages::org_deleted_meanwhile)?;
        let now = self.now().millis();
        let id = AppId::new_v7(now, &entropy::bytes());
        let store = *self.store_id.as_bytes();
        let (keyring, fence) = self.wrapping().await?;
        let rng = &mut entropy::rng();
        let kek = AppKek::generate(rng, *id.as_bytes(), 1);
        let digest_key = DigestKey::generate(rng);
        let wrapped = keyring
            .wrap(rng, &kek, &WrapContext::app_kek(store, *id.as_bytes(), 1))
            .map_err(Failure::internal)?;
        let head = AppHead {
            org: org.id,
            name: name.clone(),
            state: AppState::Live,
            app_version: 0,
            bundle_dek: None,
            policy_version: 0,
            secret_keys_version: 0,
            kek_version: 1,
            keks: vec![KekRow { version: 1, wrapped }],
            digest_key: kek.wrap(rng, &digest_key, store, *id.as_bytes()).map_err(Failure::internal)?,
            epochs: vec![(self.codec.epoch(), 1)],
            settings,
            created_at: now,
        };
        audit.set_org(org.id);
        audit.set_detail(messages::app_created(&name, id));
        let label = name.as_str().as_bytes();
        // A name whose row was deleted by others is not free: its app is still there.
        let feed = [FeedRow::AppCreated { app: id, org: org.id, name: name.clone(), at: now }];
        let created = self.commit_control(audit, &feed, |change| {
            change.expects.push(fence.clone());
            change.expects.push(expect::<AppNameRow>(label, 0));
            change.expects.push(expect::<OrgRow>(org.id.as_bytes(), org.row.version));
            change.puts.push(self.codec.write(org.id.as_bytes(), org.row.version + 1, &org.row.content));
            change.puts.push(self.codec.write(label, 1, &AppNameRow { app: id }));
            change.puts.push(self.codec.write(id.as_bytes(), 1, &head));
            change.puts.push(self.codec.write(&org_app(org.id, id), 1, &OrgAppRow {}));
        });
        match created.await {
            Ok(_) => Ok(to_wire(id, &head, &org.row.content.name)),
            // After a commit that is not in force, the name's row is this app's.
            Err(_) if self.row::<AppNameRow>(label).await?.is_some_and(|row| row.content.app != id) => {
                Err(messages::app_name_taken(name, &org.row.content.name))
            }
            Err(failure) => Err(failure),
        }
    }
}

/// An app as the API shows it.
pub(crate) fn to_wire(id: AppId, head: &AppHead, org: &OrgName) -> App {
    App {
        id,
        name: head.name.clone(),
        org: head.org,
        organization: AppOrganization { name: org.clone(), slug: org.clone() },
        status: AppStatus::Pending,
        version: head.app_version,
        settings: head.settings.clone(),
        created_at: time_text(head.created_at),
    }
}

fn org_app(org: OrgId, app: AppId) -> Vec<u8> {
    [org.as_bytes().as_slice(), app.as_bytes().as_slice()].concat()
}

/// Refuses settings that no app may have.
pub(crate) fn check_settings(settings: &AppSettings) -> Result<(), Failure> {
    if settings.renewal_life > LONGEST_RENEWAL {
        return Err(messages::renewal_life_too_long());
    }
    if !(1..=MOST_HISTORY).contains(&settings.history) {
        return Err(messages::invalid_history());
    }
    if settings.allowed_reserved_names.len() > MAX_ALLOWED_NAMES {
        return Err(messages::too_many_allowed_names());
    }
    Ok(())
}
