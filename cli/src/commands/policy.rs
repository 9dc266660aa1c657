//! `petsem policy`.

mod taken_away;
mod test;
mod unmatched;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use petsem_api::{AppRef, PolicyDocument, PutPolicy, UniqueJson};
use petsem_policy::evaluate::{AppPolicy, RuleAction};

pub(crate) use taken_away::TakenAway;
pub(crate) use unmatched::Unmatched;

use crate::arguments::AppArguments;
use crate::change_outcome::ChangeOutcome;
use crate::confirmation::Confirmation;
use crate::failure::Failure;
use crate::{messages, output, value_source};

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Replace an app's policy
    ///
    /// The old one is not stored: each rule that allowed more is shown. Taking away the last rule that boots needs a
    /// confirmation. The exit status is 4 if the policy only waits for a second person.
    Set(Set),
    /// Show an app's policy
    Show(Show),
    Test(test::Test),
}

#[derive(Args)]
pub(crate) struct Set {
    /// The policy as JSON, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Change nothing unless the policy is at this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,

    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    common: AppArguments,
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    common: AppArguments,
}

impl Policy {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(set) => set.run(),
            Self::Show(show) => show.run(),
            Self::Test(test) => test.run(),
        }
    }
}

impl Set {
    fn run(self) -> Result<(), Failure> {
        let bytes = value_source::public_text_or_stdin(&self.file, test::MAX_POLICY)?;
        let UniqueJson(policy) =
            serde_json::from_slice(&bytes).map_err(|error| messages::not_json(&self.file, &error))?;
        // The server names the field, too, but not the place in this file.
        let text = std::str::from_utf8(&bytes).map_err(|_| messages::policy_not_text())?;
        let parsed =
            AppPolicy::parse(text).map_err(|error| messages::invalid_policy(Some(&self.file), &error))?;
        let (remote, app) = self.common.open()?;
        let path = format!("/v1/apps/{app}/policy");
        let old: PolicyDocument = remote.get(&path)?;
        let new = policy.to_string();
        if let Some(consequence) = ends_boots_or_all(&app, &old.policy.to_string(), &parsed) {
            self.confirmation.require(&consequence, &app.to_string())?;
        }
        let request = PutPolicy { policy, expected_version: self.if_version };
        let answer: ChangeOutcome<PolicyDocument> = remote.put(&path, &request)?;
        answer.confirm(self.common.json(), |set| messages::policy_set(&app, set.version))?;
        let when = match answer {
            ChangeOutcome::AwaitsApproval(_) => messages::ONCE_APPROVED,
            ChangeOutcome::Done(_) => "",
        };
        for note in taken_away(&app, &old.policy.to_string(), &new) {
            output::notice(&format!("{when}{note}"));
        }
        unmatched::warn(&remote, &app, &parsed);
        answer.finished()
    }
}

/// What needs a confirmation: the new policy has no rule at all, or none that boots, and the old one had.
fn ends_boots_or_all(app: &AppRef, old: &str, new: &AppPolicy) -> Option<String> {
    let old = AppPolicy::parse(old).ok()?;
    let boots = |policy| taken_away::allows(policy, RuleAction::Boot);
    match (new.rules.is_empty(), boots(&old) && !boots(new)) {
        (_, true) => Some(messages::no_rule_boots(app)),
        (true, false) if !old.rules.is_empty() => Some(messages::no_rule_at_all(app)),
        _ => None,
    }
}

/// A policy of a newer server may have what this command does not know: then it says nothing.
fn taken_away(app: &AppRef, old: &str, new: &str) -> Vec<String> {
    let (Ok(old), Ok(new)) = (AppPolicy::parse(old), AppPolicy::parse(new)) else { return Vec::new() };
    let rules = taken_away::taken_away(&old, &new);
    let mut notes: Vec<_> = rules.iter().map(messages::rule_taken_away).collect();
    let ends = |action| taken_away::allows(&old, action) && !taken_away::allows(&new, action);
    notes.extend(ends(RuleAction::Boot).then(|| messages::no_rule_boots(app)));
    notes.extend(ends(RuleAction::ReadValue).then(|| messages::no_rule_reads(app)));
    notes
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let (remote, app) = self.common.open()?;
        let answer: PolicyDocument = remote.get(&format!("/v1/apps/{app}/policy"))?;
        // Rules are JSON in either case; `set` takes what `show` prints.
        if self.common.json() {
            output::confirm(true, &answer, "")
        } else {
            output::confirm(true, &answer.policy, "")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_policy_that_ends_all_boots_or_allows_nothing_needs_a_confirmation() {
        let rule = |action: &str| {
            let mut rule = json!({"name": action, "issuer": "https://ci.example", "claims": {"sub": "a"}, "actions": [action]});
            match action {
                "boot" => rule["bind"] = json!({"app": "app", "machine": "machine", "host": "host"}),
                _ => rule["secrets"] = json!({"prefixes": [""]}),
            }
            rule
        };
        let (boot, read) = (rule("boot"), rule("read_value"));
        let policy = |rules: &[&Value]| json!({"format": 1, "rules": rules}).to_string();
        let app: AppRef = "shop".parse().unwrap();
        let asked = |old: &[&Value], new: &[&Value]| {
            ends_boots_or_all(&app, &policy(old), &AppPolicy::parse(&policy(new)).unwrap())
        };
        let (ends_boots, ends_all) = (messages::no_rule_boots(&app), messages::no_rule_at_all(&app));
        assert_eq!(asked(&[&boot, &read], &[]), Some(ends_boots.clone()));
        assert_eq!(asked(&[&boot, &read], &[&read]), Some(ends_boots));
        assert_eq!(asked(&[&read], &[]), Some(ends_all));
        for (old, new) in
            [(&[][..], &[][..]), (&[&boot, &read], &[&boot]), (&[], &[&read]), (&[&read], &[&boot])]
        {
            assert_eq!(asked(old, new), None);
        }
    }
}
