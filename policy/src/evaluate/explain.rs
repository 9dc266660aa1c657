//! Explanations: everything that refuses in every rule, and the changes that would help.
//!
//! They are for callers that may see the policy and have the claims: unlike a denial, an explanation contains conditions,
//! and what the claims have instead.

use std::ops::ControlFlow;

use super::condition::Condition;
use super::decide::{Allowed, BootRequest, PolicyQuestion};
use super::jwt::Claims;
use super::rules::{AppPolicy, Rule};
use super::text::{Change, PolicyDenial, RuleReason};

/// Characters of a claim that are shown.
const MOST_SHOWN: usize = 120;

impl AppPolicy {
    /// Evaluates every rule completely, and lists what refused and what would have to change.
    pub fn explain(&self, claims: &Claims, question: &PolicyQuestion<'_>) -> Explanation {
        let rules = self.rules_of_jwts().map(|rule| {
            let mut refusals = Vec::new();
            let _ = rule.evaluate(claims, question, &mut |reason| {
                let change = rule.change_for(&reason, claims, question);
                let had = rule.had(&reason, claims);
                // Pattern and binding of one claim may need the same change.
                if refusals.iter().all(|other: &ExplainedRefusal| other.change != change) {
                    refusals.push(ExplainedRefusal { reason, change, had });
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
    /// The nearest rule, as the decision names it. `None` if a rule allows the request, or none is for its action.
    pub fn nearest(&self) -> Option<&RuleExplanation> {
        let denial = self.decision.as_ref().err()?;
        let nearest = denial.nearest.as_ref()?;
        self.rules.iter().find(|rule| rule.rule == nearest.rule)
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
    /// The claim that refused as JSON, cut after 120 characters. `None` if it is missing, or no claim refused.
    pub had: Option<String>,
}

impl Rule {
    fn change_for(&self, reason: &RuleReason, claims: &Claims, question: &PolicyQuestion<'_>) -> Change {
        match reason {
            RuleReason::ForeignBoot => Change::OwnAudience,
            RuleReason::Audience => Change::RuleAudience(claims.foreign_audiences().concat()),
            RuleReason::Issuer => Change::Issuer(self.issuer.clone()),
            RuleReason::TooLongLived => Change::Life { seconds: self.longest_life(question) },
            RuleReason::Action(action) => Change::OtherRule(*action),
            RuleReason::Secret => Change::RuleSecret(match question {
                PolicyQuestion::Read(secret) => (*secret).to_owned(),
                _ => String::new(),
            }),
            RuleReason::ClaimType { claim, condition } | RuleReason::Claim { claim, condition } => {
                self.change_of_claim(claim, Some(condition), question)
            }
            RuleReason::ClaimMissing(claim) | RuleReason::Bound { claim, .. } => {
                self.change_of_claim(claim, None, question)
            }
        }
    }

    /// What the claims have where a claim refused.
    fn had(&self, reason: &RuleReason, claims: &Claims) -> Option<String> {
        let name = match reason {
            RuleReason::ClaimType { claim, .. }
            | RuleReason::Claim { claim, .. }
            | RuleReason::Bound { claim, .. } => claim.as_str(),
            RuleReason::Issuer => "iss",
            _ => return None,
        };
        let value = claims.get(name).or_else(|| claims.at(name))?;
        let text = value.to_string();
        let shown: String = text.chars().take(MOST_SHOWN).collect();
        Some(if shown.len() < text.len() { format!("{shown}…") } else { shown })
    }

    /// A claim that the rule binds must have the bound text, whatever its conditions are.
    fn change_of_claim(
        &self,
        claim: &str,
        failed: Option<&Condition>,
        question: &PolicyQuestion<'_>,
    ) -> Change {
        let conditions = self.claims.get(claim).or_else(|| self.pointers.get(claim));
        let required = match question {
            PolicyQuestion::Boot(request) => self.bound_texts(claim, request),
            _ => Vec::new(),
        };
        let claim = claim.to_owned();
        let fits = |text: &&String| conditions.is_none_or(|all| all.match_text(text));
        match (required.iter().find(fits), required.first()) {
            (Some(text), _) => Change::Bound { claim, text: text.clone() },
            (None, Some(text)) => Change::RulePattern { claim, text: text.clone() },
            (None, None) => {
                let conditions = match (failed, conditions) {
                    (Some(failed), _) => vec![failed.clone()],
                    (None, Some(all)) => all.iter().cloned().collect(),
                    (None, None) => vec![Condition::any_text()],
                };
                Change::Claim { claim, conditions }
            }
        }
    }

    /// The texts that a bound claim may have.
    fn bound_texts(&self, claim: &str, request: &BootRequest<'_>) -> Vec<String> {
        let Some(bind) = &self.bind else {
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
