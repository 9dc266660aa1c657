//! The first content of `petsem dev`: an org, an app, an issuer, a policy, and tokens.

use petsem_api::{AppName, AppRef, AppSettings, HostId, OrgName, OrgRef, PutIssuer};
use petsem_policy::{Ancestors, Subject};

use crate::engine::Engine;
use crate::error::Failure;
use crate::request::local_record;

const DAY: u64 = 24 * 60 * 60;

/// The objects to create.
pub struct DevelopmentPlan {
    /// The org.
    pub org: OrgName,
    /// The app.
    pub app: AppName,
    /// The host.
    pub host: HostId,
    /// The issuer of JWTs, whose key is in a file.
    pub issuer: PutIssuer,
}

/// The new tokens.
pub struct DevelopmentTokens {
    /// Of the host, 30 days.
    pub host: String,
    /// Of the org's owner, 366 days.
    pub owner: String,
    /// Of an operator, 366 days.
    pub operator: String,
}

impl Engine {
    /// Fills a new installation.
    ///
    /// # Errors
    /// An object could not be created.
    pub async fn populate_development(&self, plan: DevelopmentPlan) -> Result<DevelopmentTokens, Failure> {
        let now = self.now();
        let DevelopmentPlan { org, app, host, issuer } = plan;
        let missing = || Failure::internal("a new object does not exist");

        let mut audit = local_record(now, "org.create");
        let org = self.make_org(&mut audit, &org).await?;
        self.record(&audit).await?;

        let mut audit = local_record(now, "issuer.register");
        self.register_issuer(&mut audit, self.check_issuer(&issuer, true)?, None).await?;
        self.record(&audit).await?;

        let org = self.find_org(&OrgRef::Id(org.id)).await?.ok_or_else(missing)?;
        let mut audit = local_record(now, "app.create");
        let app = self.make_app(&mut audit, &org, &app, AppSettings::default()).await?;
        self.record(&audit).await?;

        let app = self.find_app(&AppRef::Id(app.id)).await?.ok_or_else(missing)?;
        let mut audit = local_record(now, "policy.set");
        let policy = development_policy(&issuer.issuer);
        self.set_policy(&mut audit, &app, policy, None, "petsem dev", None).await?;
        self.record(&audit).await?;

        let mut audit = local_record(now, "token.mint");
        let author = "petsem dev".to_owned();
        let ancestors = Ancestors(Vec::new());
        let host =
            self.mint_host_token(&mut audit, &host, None, ancestors, author, 30 * DAY, now).await?.token;
        self.record(&audit).await?;

        let subject = |sub: &str| Subject { issuer: self.settings.name.clone(), sub: sub.to_owned() };
        let mut audit = local_record(now, "operator.owner");
        let owner = self.mint_owner_token(&mut audit, org.id, subject("owner"), 366 * DAY, now).await?.token;
        self.record(&audit).await?;

        let mut audit = local_record(now, "operator.init");
        let operator = self.mint_first_token(&mut audit, subject("developer"), 366 * DAY, now).await?.token;
        self.record(&audit).await?;
        Ok(DevelopmentTokens { host, owner, operator })
    }
}

/// The policy of the app: the issuer may boot the Machines that its JWT names, and read everything as `developer`.
pub(crate) fn development_policy(issuer: &str) -> serde_json::Value {
    serde_json::json!({
        "format": 1,
        "rules": [
            {
                "name": "boot",
                "issuer": issuer,
                "actions": ["boot"],
                "bind": {"app": "petsem_app", "machine": "petsem_machine", "host": "petsem_host"}
            },
            {
                "name": "developer",
                "issuer": issuer,
                "claims": {"sub": "developer"},
                "actions": ["read_value"],
                "secrets": {"prefixes": [""]}
            }
        ]
    })
}
