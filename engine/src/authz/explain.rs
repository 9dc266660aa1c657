//! `POST /v1/tokens/explain`: tells the holder of a token everything in it that refuses a request.
//!
//! It reveals no more about apps and orgs than the request itself would: a principal outside the org, or with a token
//! for another app, gets the same answer as for an app that does not exist.

use petsem_api::{ExplainToken, ExplainedRefusal, ExplainedToken, Explanation, SecretName};
use petsem_policy::evaluate::PolicyQuestion;
use petsem_policy::{Action, Caveat, Denial, Exchanged, Origin};
use petsem_store::AppPart;

use crate::authn::token_id::token_uuid;
use crate::authn::tokens::Verified;
use crate::authz::decide::{Principal, Refused, stranger};
use crate::authz::target::AccessTarget;
use crate::authz::workload::claims_of;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::request::AuditRecord;
use crate::tenancy::found::FoundApp;

impl Engine {
    /// Checks each token of the principal against a request, without making it.
    pub async fn explain(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        request: &ExplainToken,
        now: Timestamp,
    ) -> Result<Explanation, Failure> {
        let action = Action::from_name(&request.action).ok_or_else(messages::unknown_action)?;
        let app = match &request.app {
            None => None,
            Some(app) => Some(
                self.find_app_with(app, AppPart::Head)
                    .await?
                    .filter(|app| principal.is_of(app.head.org) || principal.boots(app))
                    .ok_or_else(|| stranger(action, &Refused::OtherOrg))?,
            ),
        };
        let org = match &request.org {
            None => None,
            Some(org) => Some(
                self.find_org(org)
                    .await?
                    .filter(|org| principal.is_of(org.id))
                    .ok_or_else(|| stranger(action, &Refused::OtherOrg))?
                    .id,
            ),
        };
        if let Some(app) = &app {
            audit.set_app(app);
        }
        audit.set_detail(messages::explains(action));
        let target = AccessTarget {
            org,
            app: app.as_ref(),
            secret: request.secret.as_ref(),
            secret_key: request.secret_key.as_ref(),
            machine: request.machine.as_ref(),
            host: request.host.as_ref(),
            peer: None,
        };
        let access = principal.access(&target, action, now);
        let mut tokens = Vec::with_capacity(principal.verified().len());
        for verified in principal.verified() {
            if access.org.is_some() && !verified.speaks_for(access.org) {
                tokens.push(ExplainedToken {
                    id: token_uuid(verified.token.id()),
                    refusals: vec![other_org()],
                });
                continue;
            }
            let denials = verified.token.denials(&access);
            let names_one = access.app.is_some() || access.org.is_some();
            if names_one
                && let Some(denial) =
                    denials.iter().find(|denial| Refused::Denied(**denial).reveals_existence())
            {
                return Err(stranger(action, &Refused::Denied(*denial)));
            }
            let mut refusals: Vec<_> = denials.iter().map(|denial| explained(verified, denial)).collect();
            if !verified.speaks_for(access.org) {
                refusals.push(other_org());
            }
            if verified.is_platforms && action == Action::UseKey {
                refusals.push(of_platform());
            }
            if let (Some(app), Some(exchanged)) = (&app, verified.token.exchanged())
                && action == Action::ReadValue
            {
                refusals.extend(self.refused_by_rule(app, exchanged, request.secret.as_ref()).await?);
            }
            tokens.push(ExplainedToken { id: token_uuid(verified.token.id()), refusals });
        }
        let allowed = tokens.iter().any(|token| token.refusals.is_empty());
        Ok(Explanation { allowed, tokens })
    }

    /// Why the current policy's rule behind an exchanged token refuses, if it does.
    async fn refused_by_rule(
        &self,
        app: &FoundApp,
        exchanged: &Exchanged,
        secret: Option<&SecretName>,
    ) -> Result<Option<ExplainedRefusal>, Failure> {
        let policy = self.policy_of(&self.current_app(app.id).await?)?;
        let question =
            secret.map_or(PolicyQuestion::ReadAnything, |name| PolicyQuestion::Read(name.as_str()));
        let answer = policy.decide_by_rule(&exchanged.rule, &claims_of(exchanged)?, &question);
        Ok(answer.err().map(|denial| ExplainedRefusal {
            caveat: Some(Caveat::from(exchanged.clone()).describe()),
            code: messages::RULE_CODE.to_owned(),
            reason: denial.to_string(),
        }))
    }
}

fn explained(verified: &Verified, denial: &Denial) -> ExplainedRefusal {
    let caveat = denial.caveat.and_then(|at| match at.origin {
        Origin::Token => verified.token.own_caveats().get(at.index).map(Caveat::describe),
        // The text of a discharge's caveat comes from its discharger, so only the type is shown.
        Origin::Discharge { .. } => Some(messages::discharge_condition(at.kind)),
    });
    ExplainedRefusal { caveat, code: denial.reason.code().to_owned(), reason: denial.reason.to_string() }
}

fn of_platform() -> ExplainedRefusal {
    ExplainedRefusal {
        caveat: None,
        code: messages::PLATFORM_CODE.to_owned(),
        reason: messages::PLATFORM_USES_NO_KEYS.to_owned(),
    }
}

fn other_org() -> ExplainedRefusal {
    ExplainedRefusal {
        caveat: None,
        code: messages::OTHER_ORG_CODE.to_owned(),
        reason: messages::OTHER_ORG.to_owned(),
    }
}
