//! Tokens that only the node can mint, authorized by opening the seal: an org's first token (`petsem operator owner`),
//! which an operator's token cannot mint, because a party that enrolls hosts must not be able to prove boots; and an
//! operator's token when all others are lost (`petsem operator recover`).

use petsem_api::{MintedToken, OrgRef};
use petsem_engine::{NodeAnswer, NodeCommand};

use crate::error::StartError;
use crate::operator::hand_over::carry_out;
use crate::operator::install::InstallOptions;
use crate::operator::socket::CommandError;
use crate::settings::Settings;

/// Mints the token of an org's owner in the store of this node. `life` is in seconds.
///
/// # Errors
/// [`StartError`]: the store cannot be opened, or there is no such org. In both cases nothing was changed.
pub async fn mint_owner(
    settings: &Settings,
    org: &OrgRef,
    owner: &str,
    life: u64,
) -> Result<MintedToken, StartError> {
    let (org, owner) = (org.clone(), owner.to_owned());
    minted(carry_out(settings, NodeCommand::Owner { org, owner, life }).await?)
}

/// Mints an operator's token in the store of this node.
///
/// # Errors
/// [`StartError`]: the store cannot be opened. Nothing was changed.
pub async fn recover(settings: &Settings, options: &InstallOptions) -> Result<MintedToken, StartError> {
    let (operator, life) = (options.operator.clone(), options.life);
    minted(carry_out(settings, NodeCommand::Recover { operator, life }).await?)
}

fn minted(answer: NodeAnswer) -> Result<MintedToken, StartError> {
    match answer {
        NodeAnswer::Minted(token) => Ok(token),
        _ => Err(CommandError::NoServer.into()),
    }
}
