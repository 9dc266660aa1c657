//! `petsem operator owner`: an org's first token, made on the node with the seal opened for it. An operator's
//! own token cannot make it: whoever may enroll hosts must not be able to prove boots.

use petsem_api::{MintedToken, OrgRef};
use petsem_policy::Subject;

use crate::settings::Settings;
use crate::start::{StartError, local_trail, record, start, stop};

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
    let mut trail = local_trail(now, "operator.owner");
    let result = async {
        let found = core.find_org(org).await?;
        let org = found.ok_or_else(|| {
            StartError::Refused("there is no such org; make it with `petsem org create`".to_owned())
        })?;
        let subject = Subject { issuer: core.settings.name.clone(), sub: owner.to_owned() };
        let token = core.mint_owner_token(&mut trail, org.id, subject, life, now).await?;
        record(core, &trail).await.map(|()| token)
    }
    .await;
    stop(started).await.map_err(StartError::Refused)?;
    result
}
