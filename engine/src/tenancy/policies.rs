//! The policies of apps: read at each decision, set by those who manage them.

use petsem_api::{AppRef, PolicyDocument, PutPolicy};
use petsem_policy::Action;
use petsem_policy::evaluate::{AppPolicy, PolicyError};
use petsem_store::{Change, RecordKind};

use crate::approvals::request::{ApprovalRequest, Requested, registration_ends};
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{AppHead, FeedRow, IntegrityFault, PolicyRow, ProtectedChange, REREADS, expect};
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;

/// The policy of an app at the version that its head names.
pub(crate) struct CurrentPolicy {
    /// Its version; 0 = none was set.
    version: u64,
    pub(crate) policy: AppPolicy,
    /// As it was set.
    document: serde_json::Value,
}

impl Engine {
    /// The app's policy, for principals that manage it.
    ///
    /// # Errors
    /// Refused.
    pub async fn show_policy(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
    ) -> Result<PolicyDocument, Failure> {
        let app = self.app_for(principal, audit, app, &[(Action::ManagePolicy, None)]).await?;
        let CurrentPolicy { version, document, .. } = self.policy_of(&app).await?;
        Ok(PolicyDocument { version, policy: document })
    }

    /// Sets the app's policy, or requests a second person's approval if the org guards its policies.
    ///
    /// # Errors
    /// Refused, or the policy cannot take effect. Nothing was changed.
    pub async fn put_policy(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        wanted: PutPolicy,
        now: Timestamp,
    ) -> Result<Requested<PolicyDocument>, Failure> {
        let app = self.app_for(principal, audit, app, &[(Action::ManagePolicy, None)]).await?;
        if !self.control().is_org_guarded(app.head.org) || !has_rules(&wanted.policy) {
            let author = principal.author();
            let set = self.set_policy(audit, &app, wanted.policy, wanted.expected_version, &author, |_| {});
            return Ok(Requested::Done(set.await?));
        }
        // No approval is requested for a policy that could never take effect.
        self.check_policy(&wanted.policy)?;
        check_policy_version(&app, wanted.expected_version)?;
        let target = AccessTarget { app: Some(&app), ..AccessTarget::default() };
        let requester = principal.require(audit, &target, Action::ManagePolicy, now)?;
        let expected_version = wanted.expected_version.unwrap_or(app.head.policy_version);
        let request = ApprovalRequest {
            change: ProtectedChange::Policy { policy: wanted.policy, expected_version },
            summary: messages::policy_change(&app.head.name, app.id),
            org: Some(app.head.org),
            app: Some(app.id),
            reason: "policy",
            ends_at: registration_ends(now),
        };
        let approval = self.request_registration(audit, &requester.token, request, now).await?;
        Ok(Requested::Pending(Box::new(approval)))
    }

    /// The app's policy, at the version that its head names. Without a policy there is no rule and no access.
    pub(crate) async fn policy_of(&self, app: &FoundApp) -> Result<CurrentPolicy, Failure> {
        let fault = |what| Failure::from(IntegrityFault::new(RecordKind::Policy, app.id.as_bytes(), what));
        let mut version = app.head.policy_version;
        let mut tries = 0;
        let (row, newest) = loop {
            // Read before the row: a policy that is set after the row was read does not make the row an old one.
            let newest = self.control().policy_version(app.id);
            let row = self.row::<PolicyRow>(app.id.as_bytes()).await?;
            let found = row.as_ref().map_or(0, |row| row.version);
            if found == version {
                break (row, newest);
            }
            // If it was set between the two reads, the current head names it; otherwise the row was forged or restored.
            tries += 1;
            if tries > REREADS {
                return Err(fault("it is not at the version that the app head names"));
            }
            version = self.current_app(app.id).await?.head.policy_version;
        };
        if version < newest {
            return Err(fault("an older version of it was put back"));
        }
        let Some(row) = row else {
            return Ok(CurrentPolicy {
                version: 0,
                policy: AppPolicy { format: 1, rules: Vec::new() },
                document: serde_json::json!({"format": 1, "rules": []}),
            });
        };
        let policy = AppPolicy::parse(&row.content.policy.to_string())
            .map_err(|error| fault("it does not read").because(error))?;
        Ok(CurrentPolicy { version, policy, document: row.content.policy })
    }

    /// Refuses a policy that cannot be parsed, or that trusts an unregistered issuer.
    pub(crate) fn check_policy(&self, policy: &serde_json::Value) -> Result<(), Failure> {
        let parsed = AppPolicy::parse(&policy.to_string())
            .map_err(|error| messages::invalid_policy(&to_text(&error)))?;
        let control = self.control();
        match parsed.rules.iter().find(|rule| control.issuer(&rule.issuer).is_none()) {
            None => Ok(()),
            Some(rule) => Err(messages::policy_trusts_unregistered(&rule.name, &rule.issuer)),
        }
    }

    /// Sets the app's policy, and in the same transaction what `also` adds. Refuses rules that could let the wrong
    /// workload boot or read.
    pub(crate) async fn set_policy(
        &self,
        audit: &mut AuditRecord,
        app: &FoundApp,
        policy: serde_json::Value,
        expected: Option<u64>,
        author: &str,
        also: impl Fn(&mut Change) + Send + Sync,
    ) -> Result<PolicyDocument, Failure> {
        self.check_policy(&policy)?;
        let _turn = self.app_turn(app.id).await;
        let app = self.current_app(app.id).await?;
        let version = app.head.policy_version;
        check_policy_version(&app, expected)?;
        let now = self.now().millis();
        let row = PolicyRow { policy: policy.clone(), author: author.to_owned(), at: now };
        let head = AppHead { policy_version: version + 1, ..app.head.clone() };
        audit.set_detail(messages::policy_version(version + 1));
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

/// A policy without rules allows nothing, so it needs no approval; one that cannot be parsed is refused later.
fn has_rules(policy: &serde_json::Value) -> bool {
    policy.get("rules").and_then(serde_json::Value::as_array).is_none_or(|rules| !rules.is_empty())
}

/// Refuses a change of a policy version that is not the current one.
fn check_policy_version(app: &FoundApp, expected: Option<u64>) -> Result<(), Failure> {
    let version = app.head.policy_version;
    match expected.filter(|expected| *expected != version) {
        None => Ok(()),
        Some(expected) => Err(messages::policy_version_differs(version, expected)),
    }
}

/// The error of a policy. If its JSON is invalid, the text quotes nothing of it.
fn to_text(error: &PolicyError) -> String {
    match error {
        PolicyError::Json(error) => messages::policy_shape(error.line(), error.column()),
        error => error.to_string(),
    }
}
