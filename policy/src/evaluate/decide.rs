//! Decisions by an app's policy.
//!
//! Only [`Rule::evaluate`] evaluates rules. A decision counts what refuses, an explanation collects it; because both use
//! this function, they cannot differ.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::condition::{Condition, Conditions};
use super::jwt::Claims;
use super::pointer;
use super::rule_action::RuleAction;
use super::rules::{AppPolicy, Rule};
use super::text::{PolicyDenial, RuleReason, RuleRefusal};
use crate::text::Resource;

/// Longest life of a JWT that boots by a rule that names no longer one (design §4).
pub const BOOT_LIFE_SECONDS: u32 = 300;
/// Longest life of a JWT that reads by a rule that names no longer one (design §7).
pub const READ_LIFE_SECONDS: u32 = 900;

/// A question to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyQuestion<'a> {
    /// May this Machine boot?
    Boot(BootRequest<'a>),
    /// May the secret with this name be read?
    Read(&'a str),
    /// May any secret be read? [`Self::Read`] then decides each secret.
    ReadAnything,
}

/// The requested boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootRequest<'a> {
    /// The app's id.
    pub app_id: [u8; 16],
    /// The app's name.
    pub app_name: &'a str,
    /// The Machine.
    pub machine: &'a str,
    /// The host.
    pub host: &'a str,
}

/// The rule that allowed a request, and the claims that it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The rule.
    pub rule: String,
    /// What the rule used of the claims, `iss` included, each with its JSON type: with [`Claims::from_stored`] it can be
    /// evaluated again. Of a list these are the items that the rule asks for.
    pub claims: Map<String, Value>,
}

impl AppPolicy {
    /// Whether a JWT with these claims may do this boot.
    ///
    /// # Errors
    /// [`PolicyDenial`] with the nearest rule.
    pub fn decide_boot(&self, claims: &Claims, request: &BootRequest<'_>) -> Result<Allowed, PolicyDenial> {
        self.decide(claims, &PolicyQuestion::Boot(*request))
    }

    /// Whether a JWT with these claims may read this secret.
    ///
    /// # Errors
    /// [`PolicyDenial`] with the nearest rule.
    pub fn decide_read(&self, claims: &Claims, secret: &str) -> Result<Allowed, PolicyDenial> {
        self.decide(claims, &PolicyQuestion::Read(secret))
    }

    /// Whether a JWT with these claims may read any secret; [`Self::decide_read`] then decides each secret.
    ///
    /// # Errors
    /// [`PolicyDenial`] with the nearest rule.
    pub fn decide_any_read(&self, claims: &Claims) -> Result<Allowed, PolicyDenial> {
        self.decide(claims, &PolicyQuestion::ReadAnything)
    }

    /// Evaluates only one rule: what it allowed earlier stays allowed only while this rule allows it.
    ///
    /// # Errors
    /// [`PolicyDenial`] with that rule, or with `None` if no rule for the action has that name.
    pub fn decide_by_rule(
        &self,
        rule: &str,
        claims: &Claims,
        question: &PolicyQuestion<'_>,
    ) -> Result<Allowed, PolicyDenial> {
        first_that_allows(self.rules_of_jwts().filter(|known| known.name == rule), claims, question)
    }

    /// Evaluates the rules in order until one allows. Without such a rule, the request is denied.
    ///
    /// # Errors
    /// [`PolicyDenial`] with the nearest rule.
    pub fn decide(&self, claims: &Claims, question: &PolicyQuestion<'_>) -> Result<Allowed, PolicyDenial> {
        first_that_allows(self.rules_of_jwts(), claims, question)
    }

    /// The rule by which the grant of an outside discharger counts that names only this subject.
    pub fn rule_for_subject(&self, discharger: &str, subject: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| {
            rule.discharger.as_deref() == Some(discharger)
                && rule.actions.contains(&RuleAction::Boot)
                && rule.claims.get("sub").is_none_or(|all| all.match_text(subject))
        })
    }

    /// The rules for JWTs: all but those for dischargers.
    pub(super) fn rules_of_jwts(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.discharger.is_none())
    }
}

fn first_that_allows<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    claims: &Claims,
    question: &PolicyQuestion<'_>,
) -> Result<Allowed, PolicyDenial> {
    let action = question.action();
    let mut nearest: Option<(Distance, RuleRefusal)> = None;
    // No other rule is near: who may boot is no step towards who may read.
    for rule in rules.filter(|rule| rule.actions.contains(&action)) {
        let farthest = nearest.as_ref().map_or(usize::MAX, |((failed, _), _)| *failed);
        let (mut failed, mut first) = (0, None);
        let _ = rule.evaluate(claims, question, &mut |reason| {
            failed += 1;
            first.get_or_insert(reason);
            if failed > farthest { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let Some(reason) = first else { return Ok(rule.allowed(claims, question)) };
        let distance = (failed, Reverse(reason.progress()));
        if nearest.as_ref().is_none_or(|(other, _)| distance < *other) {
            nearest = Some((distance, RuleRefusal { rule: rule.name.clone(), reason }));
        }
    }
    Err(PolicyDenial { action, nearest: nearest.map(|(_, refusal)| Box::new(refusal)) })
}

/// How far a rule is from allowing a request: how many conditions fail; of as many, a later first failure is nearer.
type Distance = (usize, Reverse<u8>);

impl PolicyQuestion<'_> {
    /// The action that a rule needs.
    pub(super) fn action(&self) -> RuleAction {
        match self {
            Self::Boot(_) => RuleAction::Boot,
            Self::Read(_) | Self::ReadAnything => RuleAction::ReadValue,
        }
    }
}

impl Rule {
    /// Calls `refuse` for everything that refuses, in order, until it breaks. Without a call, the rule allows.
    pub(super) fn evaluate(
        &self,
        claims: &Claims,
        question: &PolicyQuestion<'_>,
        refuse: &mut dyn FnMut(RuleReason) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if !self.actions.contains(&question.action()) {
            return refuse(RuleReason::Action(question.action()));
        }
        if claims.issuer() != self.issuer {
            refuse(RuleReason::Issuer)?;
        }
        for (name, conditions) in &self.claims {
            evaluate_claim(name, claims.get(name), conditions, refuse)?;
        }
        for (path, conditions) in &self.pointers {
            evaluate_claim(path, claims.at(path), conditions, refuse)?;
        }
        if claims.life_seconds().is_some_and(|life| life > i64::from(self.longest_life(question))) {
            refuse(RuleReason::TooLongLived)?;
        }
        let is_named = |group: &Vec<String>| group.iter().any(|audience| self.audiences.contains(audience));
        match question {
            PolicyQuestion::Boot(_) if !claims.foreign_audiences().is_empty() => {
                refuse(RuleReason::ForeignBoot)?;
            }
            _ if !claims.foreign_audiences().iter().all(is_named) => refuse(RuleReason::Audience)?,
            _ => {}
        }
        match question {
            PolicyQuestion::Boot(request) => self.evaluate_boot(claims, request, refuse),
            PolicyQuestion::Read(secret) => self.evaluate_read(Some(secret), refuse),
            PolicyQuestion::ReadAnything => self.evaluate_read(None, refuse),
        }
    }

    /// The longest life of a JWT that the rule accepts, in seconds: what it names, or what every JWT may live.
    pub(super) fn longest_life(&self, question: &PolicyQuestion<'_>) -> u32 {
        self.max_life_seconds.unwrap_or(match question {
            PolicyQuestion::Boot(_) => BOOT_LIFE_SECONDS,
            PolicyQuestion::Read(_) | PolicyQuestion::ReadAnything => READ_LIFE_SECONDS,
        })
    }

    fn evaluate_boot(
        &self,
        claims: &Claims,
        request: &BootRequest<'_>,
        refuse: &mut dyn FnMut(RuleReason) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(bind) = &self.bind else { return refuse(RuleReason::Action(RuleAction::Boot)) };
        let bound =
            [(&bind.app, Resource::App), (&bind.machine, Resource::Machine), (&bind.host, Resource::Host)];
        for (claim, resource) in bound {
            match claims.get(claim) {
                None => refuse(RuleReason::ClaimMissing(claim.clone()))?,
                Some(Value::String(text)) if request.is_named(resource, text) => {}
                Some(Value::String(_)) => refuse(RuleReason::Bound { claim: claim.clone(), resource })?,
                Some(_) => {
                    refuse(RuleReason::ClaimType { claim: claim.clone(), condition: Condition::any_text() })?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn evaluate_read(
        &self,
        secret: Option<&str>,
        refuse: &mut dyn FnMut(RuleReason) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(selection) = &self.secrets else {
            return refuse(RuleReason::Action(RuleAction::ReadValue));
        };
        match secret {
            Some(secret) if !selection.selects(secret) => refuse(RuleReason::Secret),
            _ => ControlFlow::Continue(()),
        }
    }

    /// The result of a rule that allows.
    fn allowed(&self, claims: &Claims, question: &PolicyQuestion<'_>) -> Allowed {
        let mut kept = Map::new();
        kept.insert("iss".to_owned(), Value::from(self.issuer.as_str()));
        claims.store_audiences(&mut kept);
        if let (PolicyQuestion::Boot(_), Some(bind)) = (question, &self.bind) {
            for name in [&bind.app, &bind.machine, &bind.host] {
                kept.extend(claims.get(name).map(|value| (name.clone(), value.clone())));
            }
        }
        for (steps, conditions) in self.used() {
            if let Some(value) = claims.find(&steps) {
                pointer::insert(&mut kept, &steps, Conditions::needed(&conditions, value));
            }
        }
        Allowed { rule: self.name.clone(), claims: kept }
    }

    /// The conditions of each place in the claims: a pointer of one step names a claim.
    fn used(&self) -> BTreeMap<Vec<Cow<'_, str>>, Vec<&Conditions>> {
        let mut used: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, conditions) in &self.claims {
            used.entry(vec![Cow::from(name)]).or_default().push(conditions);
        }
        for (path, conditions) in &self.pointers {
            used.entry(pointer::steps(path).unwrap_or_default()).or_default().push(conditions);
        }
        used
    }
}

impl BootRequest<'_> {
    /// Whether the text names this boot's resource. An app has a name and an id.
    fn is_named(&self, resource: Resource, text: &str) -> bool {
        match resource {
            Resource::App => text == self.app_name || text == self.app_id_text(),
            Resource::Machine => text == self.machine,
            Resource::Host => text == self.host,
            _ => false,
        }
    }

    pub(super) fn app_id_text(&self) -> String {
        uuid::Uuid::from_bytes(self.app_id).to_string()
    }
}

/// A claim that is missing, or of another type than a condition's, matches nothing.
fn evaluate_claim(
    name: &str,
    claim: Option<&Value>,
    conditions: &Conditions,
    refuse: &mut dyn FnMut(RuleReason) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(claim) = claim else { return refuse(RuleReason::ClaimMissing(name.to_owned())) };
    for condition in conditions.iter() {
        if condition.matches(claim) {
            continue;
        }
        let (has_type, condition) = (condition.claim_type().is_of(claim), condition.clone());
        let claim = name.to_owned();
        refuse(if has_type {
            RuleReason::Claim { claim, condition }
        } else {
            RuleReason::ClaimType { claim, condition }
        })?;
    }
    ControlFlow::Continue(())
}

impl RuleReason {
    /// How far the evaluation of the rule got before it refused.
    fn progress(&self) -> u8 {
        match self {
            Self::Action(_) => 0,
            Self::Issuer => 1,
            Self::ClaimMissing(_) => 2,
            Self::ClaimType { .. } => 3,
            Self::Claim { .. } => 4,
            Self::TooLongLived | Self::Audience | Self::ForeignBoot => 5,
            Self::Bound { resource: Resource::App, .. } => 6,
            Self::Bound { resource: Resource::Machine, .. } => 7,
            Self::Bound { .. } | Self::Secret => 8,
        }
    }
}
