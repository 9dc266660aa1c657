//! Explanations: everything that refuses in every rule, and the changes that would help.
//!
//! They are for callers that may see the policy: unlike a denial, an explanation contains patterns. It contains no
//! values of claims.

use std::ops::ControlFlow;

use super::decide::{Allowed, BootRequest, PolicyQuestion};
use super::jwt::Claims;
use super::pattern::Pattern;
use super::rule_action::RuleAction;
use super::rules::{AppPolicy, Rule};
use super::text::{Change, PolicyDenial, RuleReason};

impl AppPolicy {
    /// Evaluates every rule completely, and lists what refused and what would have to change.
    pub fn explain(&self, claims: &Claims, question: &PolicyQuestion<'_>) -> Explanation {
        let rules = self.rules_of_jwts().map(|rule| {
            let mut refusals = Vec::new();
            let _ = rule.evaluate(claims, question, &mut |reason| {
                let change = rule.change_for(&reason, question);
                // Pattern and binding of one claim may need the same change.
                if refusals.iter().all(|other: &ExplainedRefusal| other.change != change) {
                    refusals.push(ExplainedRefusal { reason, change });
                }
                ControlFlow::Continue(())
            });
            RuleExplanation { rule: rule.name.clone(), refusals }
        });
        Explanation { rules: rules.collect(), decision: self.decide(claims, question) }
    }
}

/// How every rule of a policy answers a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision of [`AppPolicy::decide`].
    pub decision: Result<Allowed, PolicyDenial>,
    /// The rules, in the order of the policy.
    pub rules: Vec<RuleExplanation>,
}

impl Explanation {
    /// The rule that would allow the request after the fewest changes; among those the nearest, then the first.
    /// `None` if a rule already allows it, or if there is no rule.
    pub fn smallest_change(&self) -> Option<&RuleExplanation> {
        if self.decision.is_ok() {
            return None;
        }
        let distance = |rule: &RuleExplanation| {
            let nearness = rule.refusals.first().map_or(0, |refusal| refusal.reason.nearness());
            (rule.refusals.len(), u8::MAX - nearness)
        };
        self.rules.iter().min_by_key(|rule| distance(rule))
    }
}

/// How a rule answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExplanation {
    /// The rule's name.
    pub rule: String,
    /// Everything in it that refuses; after all these changes it would allow. Empty if it allows.
    pub refusals: Vec<ExplainedRefusal>,
}

/// A part of a rule that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedRefusal {
    /// What refused.
    pub reason: RuleReason,
    /// The change after which it would not refuse.
    pub change: Change,
}

impl Rule {
    fn change_for(&self, reason: &RuleReason, question: &PolicyQuestion<'_>) -> Change {
        match reason {
            RuleReason::Issuer => Change::Issuer(self.issuer.clone()),
            RuleReason::TooLongLived => Change::Life { seconds: self.max_life_seconds.unwrap_or_default() },
            RuleReason::Action(action) => Change::RuleAction(*action),
            RuleReason::Secret => Change::RuleSecret(match question {
                PolicyQuestion::Read(secret) => (*secret).to_owned(),
                _ => String::new(),
            }),
            RuleReason::ClaimMissing(claim)
            | RuleReason::ClaimNotText(claim)
            | RuleReason::Claim(claim)
            | RuleReason::Bound { claim, .. } => self.change_of_claim(claim, question),
        }
    }

    /// A claim that the rule binds must have the bound text, whatever its pattern is.
    fn change_of_claim(&self, claim: &str, question: &PolicyQuestion<'_>) -> Change {
        let pattern = self.claims.get(claim);
        let required = match question {
            PolicyQuestion::Boot(request) => self.bound_texts(claim, request),
            _ => Vec::new(),
        };
        let claim = claim.to_owned();
        let fits = |text: &&String| pattern.is_none_or(|pattern| pattern.matches(text));
        match (required.iter().find(fits), required.first(), pattern) {
            (Some(text), ..) => Change::Bound { claim, text: text.clone() },
            (None, Some(text), _) => Change::RulePattern { claim, text: text.clone() },
            (None, None, pattern) => {
                Change::Claim { claim, pattern: pattern.cloned().unwrap_or_else(|| Pattern::new("*")) }
            }
        }
    }

    /// The texts that a bound claim may have.
    fn bound_texts(&self, claim: &str, request: &BootRequest<'_>) -> Vec<String> {
        let Some(bind) = self.bind.as_ref().filter(|_| self.actions.contains(&RuleAction::Boot)) else {
            return Vec::new();
        };
        if claim == bind.app {
            vec![request.app_name.to_owned(), request.app_id_text()]
        } else if claim == bind.machine {
            vec![request.machine.to_owned()]
        } else if claim == bind.host {
            vec![request.host.to_owned()]
        } else {
            Vec::new()
        }
    }
}
