//! Workload reads: a JWT that the app's policy lets read some of its secrets. One app, at most 15 minutes.

use petsem_api::{AppRef, ErrorCode, SecretName};
use petsem_policy::evaluate::{AppPolicy, Claims};

use crate::clock::Moment;
use crate::core::{Core, OpenApp};
use crate::failure::Failure;
use crate::jwt::{READ_LIFE, jwt_of};
use crate::request::Trail;

/// A reader and the app whose policy is asked about each name.
pub(crate) struct Workload {
    pub(crate) app: OpenApp,
    policy: AppPolicy,
    claims: Claims,
}

impl Core {
    /// Verifies the JWT, and finds the app and its policy.
    pub(crate) async fn workload(
        &self,
        trail: &mut Trail,
        authorization: Option<&str>,
        app: &AppRef,
        now: Moment,
    ) -> Result<Workload, Failure> {
        if let Some(trouble) = self.trouble() {
            return Err(Failure::new(
                ErrorCode::Integrity,
                "what is stored is not what was written, so nothing is decided; tell the operator of this petsem the request id",
            )
            .because(trouble));
        }
        let jwt = jwt_of(authorization).ok_or_else(|| Failure::internal("a workload read without a JWT"))?;
        let claims = self.verify_jwt(jwt, READ_LIFE, now)?;
        self.count_jwt(trail, &claims, now);
        let app = self.find_app(app).await?.ok_or_else(refused)?;
        trail.set_app(&app);
        let (_, policy, _) = self.policy_of(&app).await?;
        // Before anything of the app is told or opened.
        let allowed = policy.decide_any_read(&claims).map_err(|denial| refused().because(denial))?;
        trail.accepted_jwt(&claims);
        trail.set_detail(format_args!("rule {}", allowed.rule));
        Ok(Workload { app, policy, claims })
    }
}

impl Workload {
    /// Whether a rule lets the JWT read this secret.
    pub(crate) fn may(&self, name: &SecretName) -> bool {
        self.policy.decide_read(&self.claims, name.as_str()).is_ok()
    }

    /// The refusal, the same as for an app that is not there.
    pub(crate) fn refused(&self) -> Failure {
        refused()
    }
}

fn refused() -> Failure {
    Failure::new(
        ErrorCode::PolicyDenied,
        "there is no such app, or no rule of its policy lets this JWT read that; \
         the app's owner sees the policy with `petsem policy show`",
    )
}
