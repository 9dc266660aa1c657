//! `petsem operator issuer add` and `discharger add`: registrations with the seal instead of a second person's token.

use petsem_api::{Discharger, Issuer, PutDischarger, PutIssuer};

use crate::error::StartError;
use crate::node::start::with_engine;
use crate::settings::Settings;

/// Registers an outside discharger in the store of this node. No server may hold the store at the same time.
///
/// # Errors
/// [`StartError`]: the store cannot be opened, or the registration is refused. In both cases nothing was changed.
pub async fn add_discharger(settings: &Settings, wanted: &PutDischarger) -> Result<Discharger, StartError> {
    with_engine(settings, async |engine| engine.add_discharger(wanted).await).await
}

/// Registers an issuer in the store of this node, or changes the registration of one. No server may hold the store
/// at the same time.
///
/// # Errors
/// [`StartError`]: the store cannot be opened, or the registration is refused. In both cases nothing was changed.
pub async fn add_issuer(
    settings: &Settings,
    wanted: &PutIssuer,
    replaces: bool,
) -> Result<Issuer, StartError> {
    with_engine(settings, async |engine| engine.add_issuer(wanted, replaces).await).await
}
