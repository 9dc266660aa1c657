//! Creates an installation in an empty directory: seals, keys, the first operator's token.

use petsem_api::{MintedToken, StoreId};
use petsem_engine::{KeepShares, SealInfo, Timestamp, check_first_token, create_installation};
use petsem_store::OpenError;

use crate::error::StartError;
use crate::node::identity::new_node;
use crate::node::start::{Started, is_absent, open_store, start_unlocked, stop};
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
/// shares go to `keep_shares` before anything is written, and exist nowhere else.
///
/// # Errors
/// [`StartError`]; a store that holds an installation is not changed.
pub async fn install(
    settings: &Settings,
    options: &InstallOptions,
    keep_shares: KeepShares<'_>,
) -> Result<Installed, StartError> {
    check_first_token(&options.operator, options.life).map_err(StartError::refusal)?;
    let started = make(settings, false, keep_shares).await?;
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

/// Creates the installation and starts it.
pub(crate) async fn make(
    settings: &Settings,
    development: bool,
    keep_shares: KeepShares<'_>,
) -> Result<Started, StartError> {
    let store = match open_store(settings) {
        // There is an installation: its database was removed while a server runs on it.
        Err(StartError::Store(OpenError::InUse { .. })) if is_absent(settings) => {
            return Err(StartError::Gone { directory: settings.data_directory.clone() });
        }
        opened => opened?,
    };
    if !store.is_empty().await? {
        return Err(StartError::Installed { directory: settings.data_directory.clone() });
    }
    let mut settings = settings.clone();
    settings.development = development;
    let now = Timestamp::now().millis();
    let sources = settings.sources_to_create();
    let unlocked =
        create_installation(&*store, &sources, &settings.discharger_location, development, now, keep_shares)
            .await
            .map_err(|error| settings.unlock_failed(error))?;
    new_node(&settings, &*store, &unlocked, None).await?;
    start_unlocked(settings, store, unlocked).await
}
