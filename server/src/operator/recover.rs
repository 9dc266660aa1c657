//! Tokens that are made on the node alone, with the seal opened for it: an org's first one (`petsem operator
//! owner`), which an operator's own token cannot make, because whoever may enroll hosts must not be able to prove
//! boots; and an operator's when all others are lost (`petsem operator recover`).

use petsem_api::{MintedToken, OrgRef};
use petsem_policy::Subject;

use crate::install::InstallOptions;
use crate::settings::Settings;
use crate::start::{StartError, local_record, operator_token, record, start, stop};

/// Mints the token of an org's owner in the store of this node, which no server may hold at the same time.
///
/// `life` is in seconds.
///
/// # Errors
/// [`StartError`]: the store cannot be opened, or there is no such org; nothing was changed then.
pub async fn mint_owner(
    settings: &Settings,
    org: &OrgRef,
    owner: &str,
    life: u64,
) -> Result<MintedToken, StartError> {
    let started = start(settings.clone()).await?;
    let core = &started.core;
    let now = core.now();
    let mut audit = local_record(now, "operator.owner");
    let result = async {
        let found = core.find_org(org).await?;
        let org = found.ok_or_else(|| {
            StartError::Refused("there is no such org; make it with `petsem org create`".to_owned())
        })?;
        let subject = Subject { issuer: core.settings.name.clone(), sub: owner.to_owned() };
        let token = core.mint_owner_token(&mut audit, org.id, subject, life, now).await?;
        record(core, &audit).await.map(|()| token)
    }
    .await;
    stop(started).await.map_err(StartError::Refused)?;
    result
}

/// Mints an operator's token in the store of this node, which no server may hold at the same time.
///
/// # Errors
/// [`StartError`]: the store cannot be opened; nothing was changed then.
pub async fn recover(settings: &Settings, options: &InstallOptions) -> Result<MintedToken, StartError> {
    let started = start(settings.clone()).await?;
    tracing::warn!(operator = options.operator, "an operator's token is made on the node");
    let result = operator_token(&started.core, "operator.recover", options).await;
    stop(started).await.map_err(StartError::Refused)?;
    result
}
