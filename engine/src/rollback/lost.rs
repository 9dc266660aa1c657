//! What the audit log of this node names and an older copy of the store lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use petsem_api::{AppId, IssuerId, OrgId};
use petsem_audit::{Checkpoint, Revision, StorePosition, VerifiedLine, verify_all_lines};
use petsem_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Failure;
use crate::keyring::node_keys::NodeKeys;
use crate::keyring::replacement::AcceptedLines;
use crate::keyring::unlock::{UnlockError, Unlocked};
use crate::messages;
use crate::records::{AppHead, FeedHeadRow, FeedRow, PolicyRow, read_row};
use crate::recovery::missing_from_store;

/// Details that are kept of the changes of one kind.
const MOST_DETAILS: usize = 8;
/// The action of lines whose version a host chose.
const REPORT: &str = "boot.report";
/// Secrets that are named of one app's lost changes.
const MOST_NAMES: usize = 100;

/// What an older copy of the store lacks.
#[derive(Clone, Debug, Serialize)]
pub struct LostChanges {
    /// The last line of the audit log that the copy is not behind.
    pub after_line: u64,
    /// The last line of the log.
    pub last_line: u64,
    /// The number of the copy's last control change.
    pub after_change: u64,
    /// The lost changes, those of one kind and app together. One that names no version, of the last second before the
    /// copy, may be here although the copy has it.
    pub changes: Vec<LostChange>,
    /// The policies of the copy that end, because the lost store had other ones that allowed less.
    pub policies: Vec<EndingPolicy>,
    #[serde(skip)]
    pub(super) withdrawn: Withdrawn,
}

/// Lost changes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostChange {
    /// The action of their audit lines.
    pub action: String,
    /// The app, by its name at that time, or its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// How many there are.
    pub count: u64,
    /// When the last one was made, RFC 3339.
    pub last_at: String,
    /// The highest app version that they name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The app version of the copy; `None` if it has no such app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_version: Option<u64>,
    /// The secrets and secret keys that they name; at most 100.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
    /// What their audit lines say besides; at most 8 lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// A policy that ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndingPolicy {
    /// The app's name.
    pub app: String,
    /// The policy, which its owner may set again.
    pub policy: Value,
}

/// What lost changes took away, and which versions they reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Withdrawn {
    /// Revocations of JWTs, subjects, Machines and hosts. Tokens and keys all end anyway.
    pub(super) revocations: Vec<FeedRow>,
    /// Issuers that were changed or deleted.
    pub(super) issuers: BTreeSet<IssuerId>,
    /// Apps that were deleted.
    pub(super) apps: BTreeSet<AppId>,
    /// Orgs that were deleted.
    pub(super) orgs: BTreeSet<OrgId>,
    /// Orgs whose policies got a guard.
    pub(super) guards: BTreeSet<OrgId>,
    /// Apps whose policy allowed less than before.
    pub(super) policies: BTreeSet<AppId>,
    /// Apps whose settings allowed less than before.
    pub(super) settings: BTreeSet<AppId>,
    /// Secret keys that were deleted or replaced.
    pub(super) secret_keys: BTreeSet<(AppId, String)>,
    /// The highest version of each app.
    pub(super) versions: BTreeMap<AppId, u64>,
}

/// What the copy lacks, by the audit log; `None` if it lacks nothing.
///
/// # Errors
/// The log is not whole from the copy on, or is that of another store; or neither can be read.
pub async fn find_lost_changes(
    store: &dyn Store,
    unlocked: &Unlocked,
    keys: NodeKeys,
    directory: &Path,
) -> Result<Option<LostChanges>, UnlockError> {
    let head = read_row::<FeedHeadRow>(store, &unlocked.codec, &[]).await?;
    let after_change = head.transpose().map_err(Failure::from)?.map_or(0, |head| head.content.number);
    let newest = store.revision().await?.map_or(0, |newest| newest.revision);
    let mut lines = Lines { newest: Some(newest), ..Lines::between(0, u64::MAX, after_change) };
    let last_line = lines.read(keys, directory)?;
    if missing_from_store(store, unlocked, lines.seen).await?.is_none() {
        return Ok(None);
    }
    // A copy of this store has every mark up to its end: one that differs is from another history.
    let common = lines.common.ok_or_else(|| refused(messages::rollback_of_another_store()))?;
    if store.mark(common.revision).await? != Some(common.mark) {
        return Err(refused(messages::rollback_of_another_store()));
    }
    let end = lines.seen.feed.unwrap_or(0);
    lines.lost(store, unlocked, last_line, end).await.map(Some)
}

/// The same, for an acceptance that has begun.
///
/// # Errors
/// As [`find_lost_changes`].
pub async fn lost_changes_between(
    store: &dyn Store,
    unlocked: &Unlocked,
    keys: NodeKeys,
    directory: &Path,
    accepted: AcceptedLines,
) -> Result<LostChanges, UnlockError> {
    let AcceptedLines { after_line, last_line, after_change } = accepted;
    let mut lines = Lines::between(after_line, last_line, after_change);
    lines.read(keys, directory)?;
    lines.lost(store, unlocked, last_line, 0).await
}

fn refused(text: String) -> UnlockError {
    UnlockError::Refused(text)
}

/// The lines of lost changes, collected while the log is verified.
struct Lines {
    /// The newest revision of the copy. Every checkpoint that is not later than the copy moves the begin.
    newest: Option<u64>,
    /// The copy's last control change.
    after_change: u64,
    /// The line before the lost changes.
    after: u64,
    /// The last line to be read.
    until: u64,
    /// The last revision that both have.
    common: Option<Revision>,
    /// How far the node saw the store.
    seen: StorePosition,
    changes: BTreeMap<(String, Option<AppId>), LostChange>,
    feed: BTreeMap<u64, (FeedRow, String, Option<String>)>,
    versions: BTreeMap<AppId, u64>,
}

/// The fields of a line that tell a change.
#[derive(Deserialize)]
struct Line {
    t: String,
    action: String,
    outcome: String,
    app: Option<AppId>,
    app_name: Option<String>,
    secrets: Option<Names>,
    secret_key: Option<String>,
    version: Option<u64>,
    detail: Option<String>,
    #[serde(default)]
    feed: Vec<Entry>,
}

#[derive(Deserialize)]
struct Names {
    names: Vec<String>,
}

#[derive(Deserialize)]
struct Entry {
    number: u64,
    change: Box<RawValue>,
}

impl Lines {
    fn between(after: u64, until: u64, after_change: u64) -> Self {
        Self {
            newest: None,
            after_change,
            after,
            until,
            common: None,
            seen: StorePosition::default(),
            changes: BTreeMap::new(),
            feed: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// Reads the log. Returns the number of its last line.
    fn read(&mut self, keys: NodeKeys, directory: &Path) -> Result<u64, UnlockError> {
        let mut failed = None;
        let mut show = |line: VerifiedLine<'_>| match line {
            VerifiedLine::Checkpoint(checkpoint) => self.pass(checkpoint),
            VerifiedLine::Event(number, json) => match serde_json::from_slice(json) {
                Ok(line) => self.add(number, line),
                Err(_) => failed = failed.or(Some(number)),
            },
        };
        let report = verify_all_lines(directory, keys.for_verification(), &mut show)
            .map_err(|finding| refused(messages::rollback_log_differs(&finding)))?;
        match failed {
            Some(line) => Err(refused(messages::rollback_line_unreadable(line))),
            None => Ok(report.last_line),
        }
    }

    fn pass(&mut self, checkpoint: &Checkpoint) {
        self.seen.pass(checkpoint);
        let Some(newest) = self.newest else { return };
        if let Some(pair) = checkpoint.revision
            && pair.revision <= newest
            && checkpoint.feed.is_none_or(|number| number <= self.after_change)
        {
            self.common = Some(pair);
            self.after = checkpoint.line.saturating_add(1);
            self.changes.clear();
            self.feed.clear();
            self.versions.clear();
        }
    }

    fn add(&mut self, number: u64, line: Line) {
        if number <= self.after || number > self.until {
            return;
        }
        if line.action != REPORT
            && let Some((app, version)) = line.app.zip(line.version)
        {
            let newest = self.versions.entry(app).or_default();
            *newest = version.max(*newest);
        }
        let is_done = matches!(line.outcome.as_str(), "allowed" | "recovered");
        for Entry { number, change } in &line.feed {
            // One that cannot be read is missing, and named as such.
            if let Ok(row) = serde_json::from_str(change.get()) {
                self.feed.insert(*number, (row, line.action.clone(), line.secret_key.clone()));
            }
        }
        let is_change = match line.feed.last() {
            Some(last) => last.number > self.after_change,
            None => is_done && !is_read(&line.action),
        };
        if !is_change {
            return;
        }
        let change = self.changes.entry((line.action.clone(), line.app)).or_insert_with(|| LostChange {
            action: line.action,
            app: None,
            count: 0,
            last_at: String::new(),
            version: None,
            store_version: None,
            names: BTreeSet::new(),
            details: Vec::new(),
        });
        change.app = line.app_name.or_else(|| line.app.map(|app| app.to_string())).or(change.app.take());
        change.count += 1;
        change.last_at = line.t;
        change.version = change.version.max(line.version);
        let names = line.secrets.into_iter().flat_map(|secrets| secrets.names).chain(line.secret_key);
        for name in names {
            if change.names.len() < MOST_NAMES {
                change.names.insert(name);
            }
        }
        if change.details.len() < MOST_DETAILS {
            change.details.extend(line.detail);
        }
    }

    /// Compares the lines with the copy. The log must have every control change from the copy's last one to `end`.
    async fn lost(
        self,
        store: &dyn Store,
        unlocked: &Unlocked,
        last_line: u64,
        end: u64,
    ) -> Result<LostChanges, UnlockError> {
        let after_change = self.after_change;
        let first = after_change.saturating_add(1);
        let end = self.feed.keys().next_back().copied().unwrap_or(0).max(end);
        if let Some(missing) = (first..=end).find(|number| !self.feed.contains_key(number)) {
            return Err(refused(messages::rollback_log_lacks(missing)));
        }
        let mut withdrawn = Withdrawn { versions: self.versions, ..Withdrawn::default() };
        for (row, action, secret_key) in self.feed.range(first..).map(|(_, entry)| entry) {
            withdrawn.add(row, action, secret_key.as_deref());
        }
        let mut changes = Vec::new();
        for ((_, app), change) in self.changes {
            let store_version = match app {
                Some(app) => head_of(store, unlocked, app).await?.map(|head| head.app_version),
                None => None,
            };
            // Made in the last second before the copy.
            let is_there = change.version.zip(store_version).is_some_and(|(lost, there)| lost <= there);
            if !is_there {
                changes.push(LostChange { store_version, ..change });
            }
        }
        let mut policies = Vec::new();
        for app in &withdrawn.policies {
            policies.extend(ending_policy(store, unlocked, *app).await?);
        }
        Ok(LostChanges { after_line: self.after, last_line, after_change, changes, policies, withdrawn })
    }
}

impl Withdrawn {
    fn add(&mut self, row: &FeedRow, action: &str, secret_key: Option<&str>) {
        match row {
            FeedRow::JwtRevoked { .. }
            | FeedRow::JwtSubjectRevoked { .. }
            | FeedRow::JwtIssuerRevoked { .. }
            | FeedRow::DischargerSubjectRevoked { .. }
            | FeedRow::MachineRevoked { .. }
            | FeedRow::HostRevoked { .. } => self.revocations.push(row.clone()),
            FeedRow::IssuerSet { issuer, .. } | FeedRow::IssuerDeleted { issuer, .. } => {
                self.issuers.insert(*issuer);
            }
            FeedRow::AppDeleted { app, .. } => {
                self.apps.insert(*app);
            }
            FeedRow::OrgDeleted { org, .. } => {
                self.orgs.insert(*org);
            }
            FeedRow::OrgGuardSet { org, on: true, .. } => {
                self.guards.insert(*org);
            }
            FeedRow::FloorSet { app, .. } => self.floor(*app, action, secret_key),
            // Every token, signing key and discharger's key ends, every request for an approval, too, and the keyring
            // is replaced. What was created or allowed is lost, and takes nothing away.
            FeedRow::TokenRevoked { .. }
            | FeedRow::SigningKeyRevoked { .. }
            | FeedRow::SigningKeySet { .. }
            | FeedRow::SigningKeyDestroyed { .. }
            | FeedRow::DischargerSet { .. }
            | FeedRow::DischargerDeleted { .. }
            | FeedRow::RequestDecided { .. }
            | FeedRow::KeyringSet { .. }
            | FeedRow::KeyringDestroyed { .. }
            | FeedRow::StoreSet { .. }
            | FeedRow::AppCreated { .. }
            | FeedRow::OrgCreated { .. }
            | FeedRow::OrgGuardSet { on: false, .. }
            | FeedRow::Dropped { .. } => {}
        }
    }

    /// Something was taken away from an app: its audit line says what.
    fn floor(&mut self, app: AppId, action: &str, secret_key: Option<&str>) {
        match (action, secret_key) {
            ("secret_key.set" | "secret_key.generate" | "secret_key.delete", Some(name)) => {
                self.secret_keys.insert((app, name.to_owned()));
            }
            // Old KEKs end; what they wrap stays.
            ("app.rotate" | "app.rewrap" | "app.kek_destroy", _) => {}
            ("policy.set", _) => {
                self.policies.insert(app);
            }
            ("app.settings", _) => {
                self.settings.insert(app);
            }
            // An approval may have decided either.
            _ => {
                self.policies.insert(app);
                self.settings.insert(app);
            }
        }
    }
}

/// Whether an action changes nothing in the store that a copy could lack.
fn is_read(action: &str) -> bool {
    let verb = action.rsplit('.').next().unwrap_or_default();
    matches!(
        verb,
        "list" | "show" | "read" | "history" | "explain" | "encrypt" | "decrypt" | "sign" | "verify"
    ) || matches!(
        action,
        "boot"
            | "boot.renew"
            | "boot.batch"
            | "boot.report"
            | "discharge"
            | "operator.unseal"
            | "operator.seal"
            | "operator.init"
            | "audit.chain"
    )
}

async fn head_of(store: &dyn Store, unlocked: &Unlocked, app: AppId) -> Result<Option<AppHead>, UnlockError> {
    let row = read_row::<AppHead>(store, &unlocked.codec, app.as_bytes()).await?;
    Ok(row.transpose().map_err(Failure::from)?.map(|row| row.content))
}

async fn ending_policy(
    store: &dyn Store,
    unlocked: &Unlocked,
    app: AppId,
) -> Result<Option<EndingPolicy>, UnlockError> {
    let Some(head) = head_of(store, unlocked, app).await? else { return Ok(None) };
    let row = read_row::<PolicyRow>(store, &unlocked.codec, app.as_bytes()).await?;
    let Some(row) = row.transpose().map_err(Failure::from)? else { return Ok(None) };
    let policy = serde_json::from_str(row.content.policy.get()).map_err(Failure::internal)?;
    Ok(Some(EndingPolicy { app: head.name.to_string(), policy }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(lines: &[Value]) -> Lines {
        let mut read = Lines::between(0, u64::MAX, 3);
        for (number, line) in (1..).zip(lines) {
            read.add(number, serde_json::from_value(line.clone()).unwrap());
        }
        read
    }

    fn line(action: &str, outcome: &str, more: &Value) -> Value {
        let mut line = json!({"t": "2026-12-01T00:00:00.000Z", "action": action, "outcome": outcome});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    }

    #[test]
    fn reads_denials_and_changes_that_the_copy_has_are_not_lost() {
        let created = |number: u64| json!({"feed": [{"number": number, "change": {"change": "host_revoked", "host": "h", "at": 1}}]});
        let lines = read(&[
            line("secret.list", "allowed", &json!({})),
            line("secret.set", "denied", &json!({})),
            line("revoke", "allowed", &created(3)),
            line("secret.unset", "recovered", &json!({})),
            line("revoke", "failed", &created(4)),
        ]);
        let actions: Vec<_> = lines.changes.keys().map(|(action, _)| action.as_str()).collect();
        assert_eq!(actions, ["revoke", "secret.unset"]);
        assert_eq!(lines.changes.values().map(|change| change.count).sum::<u64>(), 2);
    }

    #[test]
    fn the_version_of_a_hosts_report_does_not_count() {
        let app = AppId::from_bytes([1; 16]);
        let at = |version: u64| json!({"app": app, "version": version});
        let lines = read(&[
            line("secret.set", "allowed", &at(7)),
            line("boot.report", "allowed", &at(u64::MAX)),
            line("secret.list", "allowed", &at(8)),
        ]);
        assert_eq!(lines.versions, BTreeMap::from([(app, 8)]));
    }
}
