//! Apps: made in an org, deleted with their keys; and their policies.

use petsem_api::{
    App, AppId, AppList, AppName, AppSettings, DeletedApp, ErrorCode, OrgId, OrgRef, PolicyDocument,
};
use petsem_keys::{AppKek, DigestKey, WrapContext};
use petsem_policy::evaluate::{AppPolicy, PolicyError};
use petsem_store::{Change, RecordKind};

use crate::engine::{Engine, REREADS};
use crate::records::expect;
use crate::tenancy::found::OpenApp;
use crate::entropy;
use crate::error::Failure;
use crate::tenancy::orgs::{OpenOrg, is_taken, taken};
use crate::request::AuditRecord;
use crate::records::{AppHead, AppNameRow, AppState, Content, FeedRow, IntegrityFault, KekRow, OrgAppRow, OrgRow, PolicyRow, Row};
use crate::secrets::write::time_text;

/// Apps on one page of a list.
const PAGE: u32 = 500;
/// Longest `renewal_life`, in seconds.
pub(crate) const LONGEST_RENEWAL: u64 = 30 * 24 * 60 * 60;
/// Most values kept of a secret.
const MOST_HISTORY: u32 = 100;

const DELETED: &str = "The app's keys are destroyed: from now on no node, query or new backup yields its values. \
    Older backups, WAL archives and copies of dead rows still open for whoever holds them and a seal that was valid at \
    that time. To end that, destroy those copies; or leave nobody such a seal: give the store new seals (`petsem \
    operator seal add`, `petsem operator seal remove`), then a new root key and a new keyring (`petsem operator \
    rotate-root`, `petsem operator rotate-keyring`), and destroy what the old seals hold.";

impl Engine {
    /// Makes an app with a KEK of its own.
    pub(crate) async fn create_app(
        &self,
        audit: &mut AuditRecord,
        org: &OpenOrg,
        name: &AppName,
        settings: AppSettings,
    ) -> Result<App, Failure> {
        check_settings(&settings)?;
        // Each new app changes the org's row, so that the org is not deleted meanwhile: makers of one org wait for each
        // other here, rather than be refused.
        let _turn = self.app_turns(std::iter::once(org.id.as_bytes().as_slice())).await;
        let org = &self.find_org(&OrgRef::Id(org.id)).await?.ok_or_else(|| {
            Failure::new(ErrorCode::NotFound, "the org was deleted meanwhile; nothing was made")
        })?;
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
            bundle_digest: None,
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
        audit.set_detail(format_args!("app {name} {id}"));
        let label = name.as_str().as_bytes();
        let mut change = self.change(audit);
        change.expects.push(fence);
        change.expects.push(expect::<AppNameRow>(label, 0));
        change.expects.push(expect::<OrgRow>(org.id.as_bytes(), org.row.version));
        change.puts.push(self.codec.write(org.id.as_bytes(), org.row.version + 1, &org.row.content));
        change.puts.push(self.codec.write(label, 1, &AppNameRow { app: id }));
        change.puts.push(self.codec.write(id.as_bytes(), 1, &head));
        change.puts.push(self.codec.write(&org_app(org.id, id), 1, &OrgAppRow {}));
        match self.commit(audit, change).await {
            Ok(_) => Ok(shown(id, &head)),
            Err(error) if is_taken(&error, RecordKind::AppName) => Err(taken(name.as_str(), "app")),
            Err(error) => Err(error.into()),
        }
    }

    /// An org's apps, by id.
    pub(crate) async fn list_apps(&self, org: OrgId, after: Option<AppId>) -> Result<AppList, Failure> {
        let control = self.control();
        let after = after.map(|app| org_app(org, app));
        let records = self.store.records(RecordKind::OrgApp, org.as_bytes(), after.as_deref(), PAGE).await?;
        let mut apps = Vec::with_capacity(records.len());
        for record in &records {
            self.codec.read::<OrgAppRow>(&record.id, record)?;
            let id = record
                .id
                .strip_prefix(org.as_bytes())
                .and_then(|id| <[u8; 16]>::try_from(id).ok())
                .ok_or_else(|| {
                    IntegrityFault::new(RecordKind::OrgApp, &record.id, "its id has the wrong length")
                })?;
            let id = AppId::from_bytes(id);
            // Deleted since the page was read: not an app any more.
            if let Some(head) = self.store.record(RecordKind::AppHead, id.as_bytes()).await? {
                if control.is_app_deleted(id) {
                    let what = "the app was deleted, and its row is there again";
                    return Err(IntegrityFault::new(RecordKind::AppHead, id.as_bytes(), what).into());
                }
                apps.push(shown(id, &self.codec.read::<AppHead>(id.as_bytes(), &head)?.content));
            }
        }
        let full = records.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
        let next = apps.last().filter(|_| full).map(|app| app.id);
        Ok(AppList { apps, next })
    }

    /// Deletes an app: its name, its policy, its values, and its KEKs.
    pub(crate) async fn delete_app(&self, audit: &mut AuditRecord, app: &OpenApp) -> Result<DeletedApp, Failure> {
        let _turn = self.app_turn(app.id).await;
        let now = self.now().millis();
        let feed = [FeedRow::AppDeleted { app: app.id, at: now }];
        // Read under the app's turn: a set that was under way is done.
        let app_now = self
            .find_app(&petsem_api::AppRef::Id(app.id))
            .await?
            .ok_or_else(|| Failure::new(ErrorCode::NotFound, "the app was deleted meanwhile"))?;
        self.commit_control(audit, &feed, |change| {
            change.expects.push(expect::<AppHead>(app.id.as_bytes(), app_now.head_version));
            change.deletes.push((RecordKind::AppHead, app.id.as_bytes().to_vec()));
            change.deletes.push((RecordKind::AppName, app_now.head.name.as_str().as_bytes().to_vec()));
            change.deletes.push((RecordKind::OrgApp, org_app(app_now.head.org, app.id)));
            change.deletes.push((RecordKind::Policy, app.id.as_bytes().to_vec()));
            change.deletes.push((RecordKind::SecretKeys, app.id.as_bytes().to_vec()));
            change.deletes.push((RecordKind::AppRotation, app.id.as_bytes().to_vec()));
            change.delete_app = Some(app.id);
        })
        .await?;
        Ok(DeletedApp { id: app.id, notice: DELETED.to_owned() })
    }

    /// The app's policy, at the version that its head names; none = no rule, no access.
    pub(crate) async fn policy_of(
        &self,
        app: &OpenApp,
    ) -> Result<(u64, AppPolicy, serde_json::Value), Failure> {
        let fault = |what| Failure::from(IntegrityFault::new(RecordKind::Policy, app.id.as_bytes(), what));
        let mut version = app.head.policy_version;
        let mut tries = 0;
        let (row, newest) = loop {
            // Before the row: a policy that is set after it was read makes it no older one.
            let newest = self.control().policy_version(app.id);
            let row = self.policy_row(app).await?;
            let found = row.as_ref().map_or(0, |row| row.version);
            if found == version {
                break (row, newest);
            }
            // Set between the two reads: the head says the newer version by now. Otherwise it was put there.
            tries += 1;
            if tries > REREADS {
                return Err(fault("it is not at the version that the app head names"));
            }
            version = match self.find_app(&petsem_api::AppRef::Id(app.id)).await? {
                Some(app) => app.head.policy_version,
                None => return Err(Failure::new(ErrorCode::NotFound, "the app was deleted meanwhile")),
            };
        };
        if version < newest {
            return Err(fault("an older version of it was put back"));
        }
        let Some(row) = row else {
            return Ok((
                0,
                AppPolicy { format: 1, rules: Vec::new() },
                serde_json::json!({"format": 1, "rules": []}),
            ));
        };
        let policy = AppPolicy::parse(&row.content.policy.to_string())
            .map_err(|error| fault("it does not read").because(error))?;
        Ok((version, policy, row.content.policy))
    }

    async fn policy_row(&self, app: &OpenApp) -> Result<Option<Row<PolicyRow>>, Failure> {
        match self.store.record(PolicyRow::KIND, app.id.as_bytes()).await? {
            None => Ok(None),
            Some(record) => Ok(Some(self.codec.read(app.id.as_bytes(), &record)?)),
        }
    }

    /// Refuses a policy that cannot be read, or that trusts somebody whom nobody registered.
    pub(crate) fn check_policy(&self, policy: &serde_json::Value) -> Result<(), Failure> {
        let parsed = AppPolicy::parse(&policy.to_string()).map_err(|error| {
            Failure::new(ErrorCode::BadPolicy, format!("{}; the policy was not changed", told(&error)))
        })?;
        let control = self.control();
        match parsed.rules.iter().find(|rule| control.issuer(&rule.issuer).is_none()) {
            None => Ok(()),
            Some(rule) => Err(Failure::new(
                ErrorCode::BadPolicy,
                format!(
                    "rule {:?} trusts an issuer that is not registered, {}; the policy was not changed; an operator \
                     registers issuers (`petsem issuer add`)",
                    rule.name, rule.issuer
                ),
            )),
        }
    }

    /// Sets the app's policy, and in the same transaction what `also` adds. Rules that could let the wrong one boot
    /// or read are refused here.
    pub(crate) async fn set_policy(
        &self,
        audit: &mut AuditRecord,
        app: &OpenApp,
        policy: serde_json::Value,
        expected: Option<u64>,
        author: &str,
        also: impl Fn(&mut Change) + Send + Sync,
    ) -> Result<PolicyDocument, Failure> {
        self.check_policy(&policy)?;
        let _turn = self.app_turn(app.id).await;
        let app = self
            .find_app(&petsem_api::AppRef::Id(app.id))
            .await?
            .ok_or_else(|| Failure::new(ErrorCode::NotFound, "the app was deleted meanwhile"))?;
        let version = app.head.policy_version;
        check_policy_version(&app, expected)?;
        let now = self.now().millis();
        let row = PolicyRow { policy: policy.clone(), author: author.to_owned(), at: now };
        let head = AppHead { policy_version: version + 1, ..app.head.clone() };
        audit.set_detail(format_args!("policy version {}", version + 1));
        let feed = [FeedRow::PolicySet { app: app.id, version: version + 1, at: now }];
        self.commit_control(audit, &feed, |change| {
            change.expects.push(expect::<AppHead>(app.id.as_bytes(), app.head_version));
            change.puts.push(self.codec.write(app.id.as_bytes(), app.head_version + 1, &head));
            change.puts.push(self.codec.write(app.id.as_bytes(), version + 1, &row));
            also(change);
        })
        .await?;
        Ok(PolicyDocument { version: version + 1, policy })
    }
}

/// Refuses a change of another policy than the one that stands.
pub(crate) fn check_policy_version(app: &OpenApp, expected: Option<u64>) -> Result<(), Failure> {
    let version = app.head.policy_version;
    match expected.filter(|expected| *expected != version) {
        None => Ok(()),
        Some(expected) => Err(Failure::new(
            ErrorCode::StaleVersion,
            format!(
                "the policy stands at version {version}, not at {expected}; nothing was changed; look at it and try again"
            ),
        )),
    }
}

/// What is wrong with a policy, without a word of its text where the JSON itself is wrong.
fn told(error: &PolicyError) -> String {
    match error {
        PolicyError::Json(error) => format!(
            "a field of the policy is unknown, missing or of the wrong type (line {}, column {} of its compact form)",
            error.line(),
            error.column()
        ),
        error => error.to_string(),
    }
}

/// An app as the API shows it.
pub(crate) fn shown(id: AppId, head: &AppHead) -> App {
    App {
        id,
        name: head.name.clone(),
        org: head.org,
        version: head.app_version,
        settings: head.settings,
        created_at: time_text(head.created_at),
    }
}

fn org_app(org: OrgId, app: AppId) -> Vec<u8> {
    [org.as_bytes().as_slice(), app.as_bytes().as_slice()].concat()
}

fn check_settings(settings: &AppSettings) -> Result<(), Failure> {
    if settings.renewal_life > LONGEST_RENEWAL {
        return Err(Failure::new(
            ErrorCode::BadRequest,
            "renewal_life is at most 2592000 seconds (30 days); 0 = none",
        ));
    }
    if !(1..=MOST_HISTORY).contains(&settings.history) {
        return Err(Failure::new(ErrorCode::BadRequest, "history is 1 to 100 values of each secret"));
    }
    Ok(())
}
