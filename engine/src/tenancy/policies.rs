//! The policies of apps: read at each decision, set by those who manage them.

use petsem_api::{AppRef, OrgId, PolicyDocument, PutPolicy, from_json};
use petsem_policy::Action;
use petsem_policy::evaluate::{AppPolicy, PolicyError};
use petsem_store::{AppPart, RecordKind};
use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::approvals::request::{ApprovalRequest, DecidedRequest, Requested, registration_ends};
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{AppHead, IntegrityFault, PolicyRow, ProtectedChange, expect};
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;

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
        let app =
            self.app_for(principal, audit, app, AppPart::Policy, &[(Action::ManagePolicy, None)]).await?;
        let policy = match self.policy_row(&app)? {
            Some(row) => serde_json::from_str(row.policy.get()).map_err(Failure::internal)?,
            None => serde_json::json!({"format": 1, "rules": []}),
        };
        Ok(PolicyDocument { version: app.head.policy_version, policy })
    }

    /// Sets the app's policy, or requests a second person's approval if it adds a rule and the org guards its policies,
    /// or the token comes of the platform.
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
        let app =
            self.app_for(principal, audit, app, AppPart::Policy, &[(Action::ManagePolicy, None)]).await?;
        let target = AccessTarget { app: Some(&app), ..AccessTarget::default() };
        let requester = principal.require(audit, &target, Action::ManagePolicy, now)?;
        let is_needed = self.needs_second_person(requester, app.head.org).await?;
        if !is_needed || !adds_rules(self.policy_row(&app)?.as_ref(), &wanted.policy) {
            let expected = if is_needed {
                // It may add rules to another version than the one it was compared with.
                check_policy_version(&app, wanted.expected_version)?;
                Some(app.head.policy_version)
            } else {
                wanted.expected_version
            };
            let author = principal.author();
            let set = self.set_policy(audit, &app, wanted.policy, expected, &author, None);
            return Ok(Requested::Done(set.await?));
        }
        // No approval is requested for a policy that could never take effect.
        self.check_policy(&wanted.policy, app.head.org)?;
        check_policy_version(&app, wanted.expected_version)?;
        let expected_version = wanted.expected_version.unwrap_or(app.head.policy_version);
        let request = ApprovalRequest {
            change: ProtectedChange::Policy { policy: wanted.policy, expected_version },
            summary: messages::policy_change(&app.head.name, app.id),
            org: Some(app.head.org),
            app: Some(app.id),
            reason: "policy",
            ends_at: registration_ends(now),
        };
        let approval = self.request_registration(audit, &requester.token, request, now, None).await?;
        Ok(Requested::Pending(Box::new(approval)))
    }

    /// The app's policy, which was read together with its head. Without a policy there is no rule and no access.
    pub(crate) fn policy_of(&self, app: &FoundApp) -> Result<AppPolicy, Failure> {
        match self.policy_row(app)? {
            None => Ok(AppPolicy { format: 1, rules: Vec::new() }),
            Some(row) => AppPolicy::parse(row.policy.get())
                .map_err(|error| Failure::from(policy_fault(app, "it does not read")).because(error)),
        }
    }

    /// The row of the app's policy, if it is the one that the head names.
    fn policy_row(&self, app: &FoundApp) -> Result<Option<PolicyRow>, Failure> {
        let record = app.policy_row()?;
        let row = record.map(|record| self.codec.read::<PolicyRow>(app.id.as_bytes(), record)).transpose()?;
        if row.as_ref().map_or(0, |row| row.version) != app.head.policy_version {
            return Err(policy_fault(app, "it is not at the version that the app head names").into());
        }
        Ok(row.map(|row| row.content))
    }

    /// Refuses a policy that cannot be parsed, or that trusts an issuer or discharger that is not registered.
    fn check_policy(&self, policy: &Value, org: OrgId) -> Result<(), Failure> {
        let text = policy.to_string();
        let parsed =
            AppPolicy::parse(&text).map_err(|error| messages::invalid_policy(&to_text(&error, &text)))?;
        let control = self.control();
        let is_discharger = |location: &str| {
            control.dischargers().iter().any(|entry| {
                entry.location == location
                    && entry.org.is_none_or(|owner| owner == org)
                    && !self.is_own(entry)
            })
        };
        parsed.rules.iter().try_for_each(|rule| match &rule.discharger {
            Some(location) if is_discharger(location) => Ok(()),
            Some(location) => Err(messages::policy_trusts_unknown_discharger(&rule.name, location)),
            None if control.issuer(&rule.issuer).is_some() => Ok(()),
            None => Err(messages::policy_trusts_unregistered(&rule.name, &rule.issuer)),
        })
    }

    /// Sets the app's policy, and decides the request that led to it in the same transaction. Refuses rules that could
    /// let the wrong workload boot or read.
    pub(crate) async fn set_policy(
        &self,
        audit: &mut AuditRecord,
        app: &FoundApp,
        policy: Value,
        expected: Option<u64>,
        author: &str,
        decided: Option<&DecidedRequest>,
    ) -> Result<PolicyDocument, Failure> {
        self.check_policy(&policy, app.head.org)?;
        let _turn = self.app_turn(app.id).await;
        let app = self.current_app(app.id).await?;
        let version = app.head.policy_version;
        check_policy_version(&app, expected)?;
        let text = to_raw_value(&policy).map_err(Failure::internal)?;
        let row = PolicyRow { policy: text, author: author.to_owned(), at: self.now().millis() };
        let head = AppHead { policy_version: version + 1, ..AppHead::clone(&app.head) };
        if decided.is_none() {
            audit.set_detail(messages::policy_version(version + 1));
        }
        let mut change = self.change(audit);
        change.expects.push(expect::<AppHead>(app.id.as_bytes(), app.head_version));
        change.puts.push(self.codec.write(app.id.as_bytes(), app.head_version + 1, &head));
        change.puts.push(self.codec.write(app.id.as_bytes(), version + 1, &row));
        if let Some(request) = decided {
            request.add_to(&self.codec, &mut change);
        }
        let takes_away = self.policy_row(&app)?.is_some_and(|old| takes_away(&old, &policy));
        self.commit_head(audit, &app, takes_away, decided.map(DecidedRequest::feed), change).await?;
        Ok(PolicyDocument { version: version + 1, policy })
    }
}

/// Whether a policy lacks a rule of the one before it. A rule that is written in another way counts as another rule.
fn takes_away(old: &PolicyRow, new: &Value) -> bool {
    let Ok(Value::Object(mut old)) = serde_json::from_str(old.policy.get()) else { return true };
    let Some(mut new) = new.as_object().cloned() else { return true };
    let (old_rules, new_rules) = (old.remove("rules"), new.remove("rules"));
    let (Some(Value::Array(old_rules)), Some(Value::Array(new_rules))) = (old_rules, new_rules) else {
        return true;
    };
    old != new || !old_rules.iter().all(|rule| new_rules.contains(rule))
}

/// A fault in the row of the app's policy.
fn policy_fault(app: &FoundApp, what: &'static str) -> IntegrityFault {
    IntegrityFault::new(RecordKind::Policy, app.id.as_bytes(), what)
}

/// Whether a policy has a rule that the one before it lacks. One that cannot be parsed is refused later.
fn adds_rules(old: Option<&PolicyRow>, new: &Value) -> bool {
    let Some(new) = new.get("rules").and_then(Value::as_array) else { return true };
    let old: Value = old.and_then(|row| serde_json::from_str(row.policy.get()).ok()).unwrap_or_default();
    let old = old.get("rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    !new.iter().all(|rule| old.contains(rule))
}

/// Refuses a change of a policy version that is not the current one.
fn check_policy_version(app: &FoundApp, expected: Option<u64>) -> Result<(), Failure> {
    let version = app.head.policy_version;
    match expected.filter(|expected| *expected != version) {
        None => Ok(()),
        Some(expected) => Err(messages::policy_version_differs(version, expected)),
    }
}

/// The error of a policy. That of its JSON names the field as errors of bodies do, and quotes nothing else.
fn to_text(error: &PolicyError, policy: &str) -> String {
    match error {
        PolicyError::Json(error) => match from_json::<AppPolicy>(policy.as_bytes()) {
            Err(fault) => messages::policy_does_not_parse(&fault),
            Ok(_) => messages::policy_shape(error.line(), error.column()),
        },
        error => error.to_string(),
    }
}
