//! The settings of apps. Consent to a reserved name lets a writer of secrets choose what a reader's program runs, so it
//! is guarded like a rule that reads.

use std::collections::BTreeSet;

use petsem_api::{App, AppRef, AppSettings, ChangeAppSettings, MAX_ALLOWED_NAMES, OrgId, SecretName};
use petsem_policy::Action;
use petsem_store::AppPart;

use crate::approvals::request::{ApprovalRequest, DecidedRequest, Requested, registration_ends};
use crate::authn::tokens::Verified;
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{AppHead, ProtectedChange, expect};
use crate::request::AuditRecord;
use crate::tenancy::apps::{check_settings, to_wire};
use crate::tenancy::found::FoundApp;
use crate::tenancy::orgs::FoundOrg;

impl Engine {
    /// Changes settings of an app. What gives more waits for a second person if the org guards its policies, or if the
    /// token comes from the platform.
    ///
    /// # Errors
    /// Refused. Nothing was changed.
    pub async fn change_app_settings(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        app: &AppRef,
        wanted: ChangeAppSettings,
        now: Timestamp,
    ) -> Result<Requested<App>, Failure> {
        let app = self.app_for(principal, audit, app, AppPart::Head, &[(Action::ManagePolicy, None)]).await?;
        let next = changed(&app.head.settings, &wanted)?;
        let target = AccessTarget { app: Some(&app), ..AccessTarget::default() };
        let requester = principal.require(audit, &target, Action::ManagePolicy, now)?;
        let may_give_more = !self.needs_second_person(requester, app.head.org).await?;
        if may_give_more || !gives_more(&app.head.settings, &next) {
            audit.set_detail(messages::changed_settings(&wanted));
            let set = self.set_settings(audit, &app, &wanted, may_give_more, None);
            return Ok(Requested::Done(set.await?));
        }
        audit.set_names(named(&wanted));
        let request = ApprovalRequest {
            summary: messages::settings_change(&app.head.name, app.id, &wanted),
            change: ProtectedChange::Settings(wanted),
            org: Some(app.head.org),
            app: Some(app.id),
            reason: "settings",
            ends_at: registration_ends(now),
        };
        let approval = self.request_registration(audit, &requester.token, request, now, None).await?;
        Ok(Requested::Pending(Box::new(approval)))
    }

    /// Changes settings of an app, and decides the request that led to it in the same transaction. Refused if it gives
    /// more than the settings of that moment, and may not: what was decided on older settings could undo a withdrawal.
    pub(crate) async fn set_settings(
        &self,
        audit: &mut AuditRecord,
        app: &FoundApp,
        wanted: &ChangeAppSettings,
        may_give_more: bool,
        decided: Option<&DecidedRequest>,
    ) -> Result<App, Failure> {
        let _turn = self.app_turn(app.id).await;
        let app = self.current_app(app.id).await?;
        let settings = changed(&app.head.settings, wanted)?;
        if !may_give_more && gives_more(&app.head.settings, &settings) {
            return Err(messages::settings_changed_meanwhile());
        }
        audit.set_names(named(wanted));
        let org = self.org_name(app.head.org).await?;
        let is_less = takes_away(&app.head.settings, &settings);
        let head = AppHead { settings, ..AppHead::clone(&app.head) };
        let mut change = self.change(audit);
        change.expects.push(expect::<AppHead>(app.id.as_bytes(), app.head_version));
        change.puts.push(self.codec.write(app.id.as_bytes(), app.head_version + 1, &head));
        if let Some(request) = decided {
            request.add_to(&self.codec, &mut change);
        }
        self.commit_head(audit, &app, is_less, decided.map(DecidedRequest::feed), change).await?;
        Ok(to_wire(app.id, &head, &org))
    }

    /// Refuses settings of a new app that its creator may not give.
    pub(crate) async fn check_new_settings(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &FoundOrg,
        settings: &AppSettings,
        now: Timestamp,
    ) -> Result<(), Failure> {
        check_settings(settings)?;
        if !gives_more(&AppSettings::default(), settings) {
            return Ok(());
        }
        audit.set_names(&settings.allowed_reserved_names);
        let target = AccessTarget { org: Some(org.id), ..AccessTarget::default() };
        let creator = principal.require(audit, &target, Action::ManagePolicy, now)?;
        if self.needs_second_person(creator, org.id).await? {
            return Err(messages::settings_need_second_person());
        }
        check_reserved(&settings.allowed_reserved_names)
    }

    /// Whether a change that can lead to reading needs a second person: the org guards its policies, or the token comes
    /// of the platform.
    pub(crate) async fn needs_second_person(&self, verified: &Verified, org: OrgId) -> Result<bool, Failure> {
        Ok(verified.is_platforms || self.control().org(org).await?.is_guarded)
    }
}

/// The names that a change allows or withdraws.
fn named(wanted: &ChangeAppSettings) -> impl Iterator<Item = &SecretName> {
    wanted.allow_reserved_names.iter().chain(&wanted.withdraw_reserved_names)
}

/// Refuses consent to a name that needs none: it may be misspelled.
fn check_reserved(names: &BTreeSet<SecretName>) -> Result<(), Failure> {
    match names.iter().find(|name| name.reserved().is_none()) {
        None => Ok(()),
        Some(name) => Err(messages::name_is_not_reserved(name)),
    }
}

/// The settings after a change.
fn changed(old: &AppSettings, wanted: &ChangeAppSettings) -> Result<AppSettings, Failure> {
    let ChangeAppSettings { renewal_life, history, allow_reserved_names, withdraw_reserved_names } = wanted;
    if let Some(both) = allow_reserved_names.intersection(withdraw_reserved_names).next() {
        return Err(messages::name_allowed_and_withdrawn(both));
    }
    if withdraw_reserved_names.len() > MAX_ALLOWED_NAMES {
        return Err(messages::too_many_allowed_names());
    }
    check_reserved(allow_reserved_names)?;
    // A name that is reserved and not allowed may be withdrawn again; any other one is misspelled.
    let is_known =
        |name: &&SecretName| old.allowed_reserved_names.contains(*name) || name.reserved().is_some();
    if let Some(other) = withdraw_reserved_names.iter().find(|name| !is_known(name)) {
        return Err(messages::no_such_allowed_name(other));
    }
    let allowed = old.allowed_reserved_names.union(allow_reserved_names);
    let settings = AppSettings {
        renewal_life: renewal_life.unwrap_or(old.renewal_life),
        history: history.unwrap_or(old.history),
        allowed_reserved_names: allowed
            .filter(|name| !withdraw_reserved_names.contains(name))
            .cloned()
            .collect(),
    };
    check_settings(&settings)?;
    Ok(settings)
}

/// Refuses names that programs obey, unless the app's settings allow them.
pub(crate) fn check_names<'n>(
    app: &AppHead,
    names: impl Iterator<Item = &'n SecretName>,
) -> Result<(), Failure> {
    let refused = names.filter(|name| !app.settings.allowed_reserved_names.contains(*name));
    let refused: Vec<_> = refused.filter_map(|name| Some((name, name.reserved()?.obeyed_by))).collect();
    if refused.is_empty() { Ok(()) } else { Err(messages::reserved_names(&app.name, &refused)) }
}

/// Whether new settings allow something that the old ones do not.
fn gives_more(old: &AppSettings, new: &AppSettings) -> bool {
    takes_away(new, old)
}

/// Whether new settings allow less: the old ones must then never count again.
fn takes_away(old: &AppSettings, new: &AppSettings) -> bool {
    new.renewal_life < old.renewal_life || !old.allowed_reserved_names.is_subset(&new.allowed_reserved_names)
}
