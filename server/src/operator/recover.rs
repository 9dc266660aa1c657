//! Tokens that only the node can mint, authorized by opening the seal: an org's first token (`petsem operator owner`),
//! which an operator's token cannot mint, because a party that enrolls hosts must not be able to prove boots; and an
//! operator's token when all others are lost (`petsem operator recover`).

use petsem_api::{MintedToken, OrgRef};

use crate::error::StartError;
use crate::node::start::with_engine;
use crate::operator::install::InstallOptions;
use crate::settings::Settings;

/// Mints the token of an org's owner in the store of this node, which no server may hold at the same time.
///
/// `life` is in seconds.
///
/// # Errors
/// [`StartError`]: the store cannot be opened, or there is no such org. In both cases nothing was changed.
pub async fn mint_owner(
    settings: &Settings,
    org: &OrgRef,
    owner: &str,
    life: u64,
) -> Result<MintedToken, StartError> {
    with_engine(settings, async |engine| engine.mint_owner(org, owner, life).await).await
}

/// Mints an operator's token in the store of this node, which no server may hold at the same time.
///
/// # Errors
/// [`StartError`]: the store cannot be opened. Nothing was changed.
pub async fn recover(settings: &Settings, options: &InstallOptions) -> Result<MintedToken, StartError> {
    with_engine(settings, async |engine| {
        tracing::warn!(operator = options.operator, "an operator's token is minted on the node");
        engine.mint_operator_token("operator.recover", &options.operator, options.life).await
    })
    .await
}
