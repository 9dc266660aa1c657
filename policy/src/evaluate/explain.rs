//! Why was I denied? Every rule's answer whole, and what would have to be different.
//!
//! For callers who may see the policy: unlike a denial, this quotes patterns. It quotes no claim.

use std::fmt;
use std::ops::ControlFlow;

use super::decide::{Allowed, BootRequest, PolicyDenial, PolicyQuestion, RuleReason};
use super::jwt::Claims;
use super::pattern::Pattern;
use super::rules::{AppPolicy, Rule, RuleAction};

impl AppPolicy {
    /// Asks every rule to the end, and says of each what refused and what would have to change.
    pub fn explain(&self, claims: &Claims, question: &PolicyQuestion<'_>) -> Explanation {
        let rules = self.rules.iter().map(|rule| {
            let mut refusals = Vec::new();
            let _ = rule.ask(claims, question, &mut |reason| {
                let change = rule.change_for(&reason, question);
                // Pattern and binding of one claim ask for the same.
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

/// What every rule of a policy says to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision: what [`AppPolicy::decide`] says.
    pub decision: Result<Allowed, PolicyDenial>,
    /// The rules, in the order of the policy.
    pub rules: Vec<RuleExplanation>,
}

impl Explanation {
    /// The rule that the fewest changes would make pass; of those the one that came nearest, of those the
    /// first. `None` if a rule allows already, or there is none.
    pub fn smallest_change(&self) -> Option<&RuleExplanation> {
        if self.decision.is_ok() {
            return None;
        }
        let far = |rule: &RuleExplanation| {
            let nearness = rule.refusals.first().map_or(0, |refusal| refusal.reason.nearness());
            (rule.refusals.len(), u8::MAX - nearness)
        };
        self.rules.iter().min_by_key(|rule| far(rule))
    }
}

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExplanation {
    /// The rule's name.
    pub rule: String,
    /// Everything in it that refuses; with all the changes made it would allow. Empty: it does.
    pub refusals: Vec<ExplainedRefusal>,
}

/// One thing in a rule that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedRefusal {
    /// What refused.
    pub reason: RuleReason,
    /// What would not refuse.
    pub change: Change,
}

/// What would have to be different for one thing in a rule not to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The JWT: from this issuer.
    Issuer(String),
    /// The JWT: this claim as text that the pattern matches.
    Claim {
        /// Its name.
        claim: String,
        /// The rule's pattern.
        pattern: Pattern,
    },
    /// The JWT: this claim as exactly this text.
    Bound {
        /// Its name.
        claim: String,
        /// What was asked for.
        text: String,
    },
    /// The JWT: at most so long from `iat` to `exp`.
    Life {
        /// The longest that the rule allows.
        seconds: u32,
    },
    /// The rule: this claim's pattern, and then the JWT. The rule binds the claim, too, and its pattern does
    /// not match what the claim would have to be: no JWT passes.
    RulePattern {
        /// Its name.
        claim: String,
        /// What the pattern would have to match.
        text: String,
    },
    /// The rule: this action added, with what belongs to it.
    RuleAction(RuleAction),
    /// The rule: this secret added to those that it names.
    RuleSecret(String),
}

impl Change {
    /// Whether the JWT has to change, and not the rule.
    pub fn is_of_jwt(&self) -> bool {
        match self {
            Self::Issuer(_) | Self::Claim { .. } | Self::Bound { .. } | Self::Life { .. } => true,
            Self::RulePattern { .. } | Self::RuleAction(_) | Self::RuleSecret(_) => false,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::text::change(self, out)
    }
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

    /// A claim that the rule binds has one right text, whatever else the rule says about it.
    fn change_of_claim(&self, claim: &str, question: &PolicyQuestion<'_>) -> Change {
        let pattern = self.claims.get(claim);
        let wanted = match question {
            PolicyQuestion::Boot(request) => self.bound_texts(claim, request),
            _ => Vec::new(),
        };
        let claim = claim.to_owned();
        let fits = |text: &&String| pattern.is_none_or(|pattern| pattern.matches(text));
        match (wanted.iter().find(fits), wanted.first(), pattern) {
            (Some(text), ..) => Change::Bound { claim, text: text.clone() },
            (None, Some(text), _) => Change::RulePattern { claim, text: text.clone() },
            (None, None, pattern) => {
                Change::Claim { claim, pattern: pattern.cloned().unwrap_or_else(|| Pattern::new("*")) }
            }
        }
    }

    /// The texts that a bound claim may be.
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
