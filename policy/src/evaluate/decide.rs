//! Asking an app's policy.
//!
//! A rule is asked in one place, [`Rule::ask`], which goes on after a refusal if it is told to: a decision
//! stops at the first, an explanation collects them all, and the two cannot differ.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use super::jwt::Claims;
use super::rules::{AppPolicy, Rule, RuleAction};
use crate::denial::Resource;

/// What a policy can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyQuestion<'a> {
    /// May this Machine boot?
    Boot(BootRequest<'a>),
    /// May the secret of this name be read?
    Read(&'a str),
    /// May anything at all be read? Which secrets is asked for each.
    ReadAnything,
}

/// The boot that is asked for.
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

/// What a policy allowed, and on what ground.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The rule.
    pub rule: String,
    /// The claims that the rule read, `iss` too: with [`Claims::from_stored`] it can be asked again.
    pub claims: BTreeMap<String, String>,
}

impl AppPolicy {
    /// Whether a JWT with these claims may boot this.
    ///
    /// # Errors
    /// [`PolicyDenial`] with the rule that came nearest.
    pub fn decide_boot(&self, claims: &Claims, request: &BootRequest<'_>) -> Result<Allowed, PolicyDenial> {
        self.decide(claims, &PolicyQuestion::Boot(*request))
    }

    /// Whether a JWT with these claims may read this secret.
    ///
    /// # Errors
    /// [`PolicyDenial`] with the rule that came nearest.
    pub fn decide_read(&self, claims: &Claims, secret: &str) -> Result<Allowed, PolicyDenial> {
        self.decide(claims, &PolicyQuestion::Read(secret))
    }

    /// Whether a JWT with these claims may read anything at all: which secrets is asked for each.
    ///
    /// # Errors
    /// [`PolicyDenial`] with the rule that came nearest.
    pub fn decide_any_read(&self, claims: &Claims) -> Result<Allowed, PolicyDenial> {
        self.decide(claims, &PolicyQuestion::ReadAnything)
    }

    /// Asks one rule alone: what was allowed by it once stands and falls with it.
    ///
    /// # Errors
    /// [`PolicyDenial`] with that rule, or with none if there is none of that name.
    pub fn decide_by(
        &self,
        rule: &str,
        claims: &Claims,
        question: &PolicyQuestion<'_>,
    ) -> Result<Allowed, PolicyDenial> {
        first_that_allows(self.rules.iter().filter(|known| known.name == rule), claims, question)
    }

    /// Asks the rules in order. The first that allows is enough; without one, nothing is allowed.
    ///
    /// # Errors
    /// [`PolicyDenial`] with the rule that came nearest.
    pub fn decide(&self, claims: &Claims, question: &PolicyQuestion<'_>) -> Result<Allowed, PolicyDenial> {
        first_that_allows(self.rules.iter(), claims, question)
    }
}

fn first_that_allows<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    claims: &Claims,
    question: &PolicyQuestion<'_>,
) -> Result<Allowed, PolicyDenial> {
    let mut nearest: Option<RuleRefusal> = None;
    for rule in rules {
        let mut refused = None;
        let _ = rule.ask(claims, question, &mut |reason| {
            refused = Some(reason);
            ControlFlow::Break(())
        });
        let Some(reason) = refused else { return Ok(rule.allowed(claims, question)) };
        if nearest.as_ref().is_none_or(|other| reason.nearness() > other.reason.nearness()) {
            nearest = Some(RuleRefusal { rule: rule.name.clone(), reason });
        }
    }
    Err(PolicyDenial { nearest })
}

impl Rule {
    /// Tells everything that refuses, in the order of asking, until told to stop. Nothing told: it allows.
    pub(super) fn ask(
        &self,
        claims: &Claims,
        question: &PolicyQuestion<'_>,
        refuse: &mut dyn FnMut(RuleReason) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if claims.issuer() != self.issuer {
            refuse(RuleReason::Issuer)?;
        }
        for (name, pattern) in &self.claims {
            match text_claim(claims, name) {
                Ok(text) if pattern.matches(text) => {}
                Ok(_) => refuse(RuleReason::Claim(name.clone()))?,
                Err(reason) => refuse(reason)?,
            }
        }
        if let (Some(longest), Some(life)) = (self.max_life_seconds, claims.life_seconds())
            && life > i64::from(longest)
        {
            refuse(RuleReason::TooLongLived)?;
        }
        match question {
            PolicyQuestion::Boot(request) => self.ask_boot(claims, request, refuse),
            PolicyQuestion::Read(secret) => self.ask_read(Some(secret), refuse),
            PolicyQuestion::ReadAnything => self.ask_read(None, refuse),
        }
    }

    fn ask_boot(
        &self,
        claims: &Claims,
        request: &BootRequest<'_>,
        refuse: &mut dyn FnMut(RuleReason) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(bind) = self.bind.as_ref().filter(|_| self.actions.contains(&RuleAction::Boot)) else {
            return refuse(RuleReason::Action(RuleAction::Boot));
        };
        let bound =
            [(&bind.app, Resource::App), (&bind.machine, Resource::Machine), (&bind.host, Resource::Host)];
        for (claim, resource) in bound {
            match text_claim(claims, claim) {
                Ok(text) if request.is_named(resource, text) => {}
                Ok(_) => refuse(RuleReason::Bound { claim: claim.clone(), resource })?,
                Err(reason) => refuse(reason)?,
            }
        }
        ControlFlow::Continue(())
    }

    fn ask_read(
        &self,
        secret: Option<&str>,
        refuse: &mut dyn FnMut(RuleReason) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(selection) = self.secrets.as_ref().filter(|_| self.actions.contains(&RuleAction::ReadValue))
        else {
            return refuse(RuleReason::Action(RuleAction::ReadValue));
        };
        match secret {
            Some(secret) if !selection.selects(secret) => refuse(RuleReason::Secret),
            _ => ControlFlow::Continue(()),
        }
    }

    /// What the rule read, once it has allowed.
    pub(super) fn allowed(&self, claims: &Claims, question: &PolicyQuestion<'_>) -> Allowed {
        let bound = match (question, &self.bind) {
            (PolicyQuestion::Boot(_), Some(bind)) => [&bind.app, &bind.machine, &bind.host].to_vec(),
            _ => Vec::new(),
        };
        let issuer = [("iss".to_owned(), self.issuer.clone())];
        let read = self.claims.keys().chain(bound);
        let read = read.filter_map(|name| Some((name.clone(), claims.text(name)?.to_owned())));
        Allowed { rule: self.name.clone(), claims: issuer.into_iter().chain(read).collect() }
    }
}

impl BootRequest<'_> {
    /// Whether the text is what this boot's resource is called. An app has a name and an id.
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

/// A claim that is missing, a list or of another type matches nothing.
fn text_claim<'c>(claims: &'c Claims, name: &str) -> Result<&'c str, RuleReason> {
    match claims.text(name) {
        Some(text) => Ok(text),
        None if claims.has(name) => Err(RuleReason::ClaimNotText(name.to_owned())),
        None => Err(RuleReason::ClaimMissing(name.to_owned())),
    }
}

/// No rule allowed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDenial {
    /// The rule that came nearest; `None` if there is no rule at all.
    pub nearest: Option<RuleRefusal>,
}

/// Why one rule did not allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRefusal {
    /// The rule's name.
    pub rule: String,
    /// What refused.
    pub reason: RuleReason,
}

/// What in a rule refused. Claims are named, never quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleReason {
    /// The rule is about another issuer.
    Issuer,
    /// The claim is missing.
    ClaimMissing(String),
    /// The claim is no text.
    ClaimNotText(String),
    /// The claim does not match.
    Claim(String),
    /// The JWT lives longer than the rule allows.
    TooLongLived,
    /// The rule does not allow this action.
    Action(RuleAction),
    /// The JWT was made for another one.
    Bound {
        /// The claim that says so.
        claim: String,
        /// What it names.
        resource: Resource,
    },
    /// The rule does not name this secret.
    Secret,
}

impl RuleReason {
    /// How far the rule went before it refused.
    pub(super) fn nearness(&self) -> u8 {
        match self {
            Self::Issuer => 0,
            Self::ClaimMissing(_) => 1,
            Self::ClaimNotText(_) => 2,
            Self::Claim(_) => 3,
            Self::TooLongLived => 4,
            Self::Action(_) => 5,
            Self::Bound { resource: Resource::App, .. } => 6,
            Self::Bound { resource: Resource::Machine, .. } => 7,
            Self::Bound { .. } | Self::Secret => 8,
        }
    }
}

impl fmt::Display for PolicyDenial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::text::policy_denial(self, out)
    }
}

impl std::error::Error for PolicyDenial {}
