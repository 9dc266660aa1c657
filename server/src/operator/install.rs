//! Creates an installation in an empty directory: seals, keys, the first operator's token.

use std::sync::Arc;

use petsem_api::{MintedToken, StoreId};
use petsem_audit::check_directory;
use petsem_engine::{
    Failure, KeepShares, SealInfo, Timestamp, check_first_token, create_installation, is_unfinished,
};
use petsem_outbound::OutboundClient;
use petsem_store::{OpenError, Store};

use crate::error::StartError;
use crate::messages;
use crate::node::file_owner::{check_user, explained};
use crate::node::identity::{first_node, lost_node, new_node, node_id};
use crate::node::start::{
    Started, close_if_foreign, is_absent, open_store, start_unlocked, stop, unlock_store,
};
use crate::settings::Settings;

/// The holder of an operator's token that is minted on the node.
#[derive(Clone, Debug)]
pub struct InstallOptions {
    /// The person.
    pub operator: String,
    /// Lifetime of the token, in seconds.
    pub life: u64,
}

/// A new installation.
#[derive(Debug)]
pub struct Installed {
    /// Its id.
    pub store: StoreId,
    /// The seals that open it.
    pub seals: Vec<SealInfo>,
    /// The first operator's token.
    pub token: MintedToken,
}

/// Creates an installation in an empty store: seals, keys, first operator's token. A missing key file is created;
/// shares go to `keep_shares` before anything is written, and exist nowhere else. Whatever can be checked is checked
/// before the store has anything. An installation whose creation was interrupted is finished, with its seal.
///
/// # Errors
/// [`StartError`]; a store that holds an installation is not changed.
pub async fn install(
    settings: &Settings,
    options: &InstallOptions,
    keep_shares: KeepShares<'_>,
) -> Result<Installed, StartError> {
    check_first_token(&options.operator, options.life).map_err(StartError::refusal)?;
    let store = open_to_install(settings).await?;
    let started = match is_unfinished(&*store).await? {
        true => finish(settings, store).await?,
        false => make(settings, store, false, keep_shares).await?,
    };
    let result = started
        .state
        .engine
        .mint_operator_token("node", "operator.init", &options.operator, options.life)
        .await;
    let store = started.state.engine.store_id();
    let seals = started.state.engine.seals().await;
    let stopped = stop(started).await;
    let token = result.map_err(StartError::from)?;
    stopped.map_err(StartError::Refused)?;
    Ok(Installed { store, seals: seals.map_err(StartError::from)?, token })
}

/// Whether the data directory has an installation whose creation was interrupted, which [`install`] finishes.
///
/// # Errors
/// [`StartError`]: the store cannot be opened.
pub async fn is_interrupted(settings: &Settings) -> Result<bool, StartError> {
    if is_absent(settings) {
        return Ok(false);
    }
    let store = open_to_install(settings).await?;
    let is_unfinished = is_unfinished(&*store).await;
    store.close().await.map_err(Failure::internal)?;
    Ok(is_unfinished?)
}

/// As [`open_new`]. Only an installation's server, or a command on it, holds the store.
async fn open_to_install(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    match open_new(settings).await {
        Err(StartError::Store(OpenError::InUse { .. })) => {
            Err(messages::installation_in_use(&settings.data_directory))
        }
        opened => opened,
    }
}

/// Opens the store of a directory in which an installation is to be created.
pub(crate) async fn open_new(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    if is_absent(settings) {
        // Before there is a file of root.
        check_user(settings)?;
    }
    match open_store(settings) {
        // There is an installation: its database was removed while a server runs on it.
        Err(StartError::Store(OpenError::InUse { .. })) if is_absent(settings) => {
            Err(StartError::Gone { directory: settings.data_directory.clone() })
        }
        Ok(store) => close_if_foreign(settings, store).await,
        Err(error) => Err(explained(settings, error)),
    }
}

/// Creates the installation and starts it.
pub(crate) async fn make(
    settings: &Settings,
    store: Arc<dyn Store>,
    development: bool,
    keep_shares: KeepShares<'_>,
) -> Result<Started, StartError> {
    if !store.is_empty().await? {
        return Err(StartError::Installed { directory: settings.data_directory.clone() });
    }
    let mut settings = settings.clone();
    settings.development = development;
    check_surroundings(&settings)?;
    let now = Timestamp::now().millis();
    let sources = settings.sources_to_create();
    let unlocked =
        create_installation(&*store, &sources, &settings.discharger_location, development, now, keep_shares)
            .await
            .map_err(|error| settings.unlock_failed(error))?;
    new_node(&settings, &*store, &unlocked, None).await?;
    start_unlocked(settings, store, unlocked).await
}

/// What a start needs beside the store, checked before the store has an installation.
fn check_surroundings(settings: &Settings) -> Result<(), StartError> {
    if let Some(node) = lost_node(settings)? {
        return Err(messages::database_lost(settings, &node));
    }
    check_directory(&settings.audit.directory).map_err(StartError::Audit)?;
    OutboundClient::new(&settings.outgoing).map(drop).map_err(StartError::Outgoing)
}

/// Starts an installation whose creation was interrupted: with its node, if it got that far.
async fn finish(settings: &Settings, store: Arc<dyn Store>) -> Result<Started, StartError> {
    let unlocked = unlock_store(settings, &*store).await?;
    if node_id(settings)?.is_none() {
        check_directory(&settings.audit.directory).map_err(StartError::Audit)?;
        first_node(settings, &*store, &unlocked).await?;
    }
    start_unlocked(settings.clone(), store, unlocked).await
}
