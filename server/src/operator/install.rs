//! From an empty directory to an installation: seals, keys, the first operator's token.

use data_encoding::HEXLOWER;
use petsem_api::{MintedToken, StoreId};
use petsem_keys::{DischargerKey, Keyring, KeyringKey, RootKey, RowMacKey, SigningKey};
use petsem_store::{Change, OpenError, RequestAudit};

use petsem_engine::{Timestamp};
use petsem_engine::{owned};
use petsem_engine::{expect};
use petsem_engine as entropy;
use petsem_engine::{Failure};
use petsem_engine::{DischargerRow, FeedHeadRow, FeedRow, KeyringKeyRow, RecordCodec, SigningKeyRow, StoreRow};
use crate::node::seal_list::{KeepShares, NewSeal, SealInfo};
use crate::settings::{Settings};
use crate::node::start::{StartError, Started, is_absent, open_store, operator_token, start_unlocked, stop};
use petsem_engine::{check_first, discharger_location};
use petsem_engine::{row_mac_context};
use crate::node::unlock::{OpenedBy, Unlocked};

/// Who gets an operator's token that is made on the node.
#[derive(Clone, Debug)]
pub struct InstallOptions {
    /// The person.
    pub operator: String,
    /// Seconds that it lives.
    pub life: u64,
}

/// An installation that was just made.
#[derive(Debug)]
pub struct Installed {
    /// Its id.
    pub store: StoreId,
    /// The seals that open it.
    pub seals: Vec<SealInfo>,
    /// The first operator's token.
    pub token: MintedToken,
}

/// Makes an installation in an empty store: seals, keys, first operator's token. A key file that is not there yet
/// is made; shares go to `keep_shares` before anything is written, and exist nowhere else.
///
/// # Errors
/// [`StartError`]; a store that holds an installation is left as it is.
pub async fn install(
    settings: &Settings,
    options: &InstallOptions,
    keep_shares: KeepShares<'_>,
) -> Result<Installed, StartError> {
    check_first(&options.operator, options.life)?;
    let started = make(settings, false, keep_shares).await?;
    let result = started.state.engine.mint_operator_token("operator.init", &options.operator, options.life).await;
    let store = started.state.engine.store_id;
    let seals = seals(&started.state.engine).await;
    let stopped = stop(started).await;
    let token = result?;
    stopped.map_err(StartError::Refused)?;
    Ok(Installed { store, seals: seals?, token })
}

/// Makes the installation and starts on it.
pub(crate) async fn make(
    settings: &Settings,
    development: bool,
    keep_shares: KeepShares<'_>,
) -> Result<Started, StartError> {
    let store = match open_store(settings) {
        // An installation all the same: whoever stops that server ends it.
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
    let rng = &mut entropy::rng();
    let store_id = StoreId::new_v7(now, &entropy::bytes());
    let root = RootKey::generate(rng, 1);
    let keyring_key = KeyringKey::generate(rng, 1);
    let wrapped_keyring =
        root.wrap_keyring_key(rng, &keyring_key, *store_id.as_bytes()).map_err(Failure::internal)?;
    let keyring = Keyring::new([keyring_key], 1).map_err(Failure::internal)?;
    let row_mac = RowMacKey::generate(rng);
    let wrapped_row_mac =
        keyring.wrap(rng, &row_mac, &row_mac_context(store_id)).map_err(Failure::internal)?;
    let codec = RecordCodec::new(row_mac, 1);

    let mut change = Change::new(RequestAudit {
        node: [0; 16],
        request_id: petsem_api::RequestId::new_v7(now, &entropy::bytes()),
        line: Vec::new(),
    });
    change.expects.push(expect::<StoreRow>(&[], 0));
    let mut seals = Vec::new();
    let mut opened_by = None;
    for wanted in &settings.seals {
        let new = NewSeal { wanted, passphrase: settings.given.passphrase.as_deref() };
        let (id, row) = new.make(rng, &root, store_id, now, keep_shares)?;
        seals.push(HEXLOWER.encode(&id));
        opened_by.get_or_insert_with(|| OpenedBy::new(id, &row));
        change.puts.push(codec.write(&id, 1, &row));
    }
    let opened_by =
        opened_by.ok_or_else(|| StartError::Refused("the configuration names no seal".to_owned()))?;
    let store_row = StoreRow {
        store: store_id,
        epoch: 1,
        root_version: 1,
        keyring_version: 1,
        row_mac_key: wrapped_row_mac,
        seals,
        created_at: now,
    };
    change.puts.push(codec.write(&[], 1, &store_row));
    change.puts.push(codec.write(
        &1_u32.to_be_bytes(),
        1,
        &KeyringKeyRow { wrapped: wrapped_keyring, created_at: now },
    ));

    let kid: [u8; 16] = entropy::bytes();
    let signing = SigningKey::generate(rng);
    let wrapped = keyring.wrap(rng, &signing, &owned(store_id, kid, None)).map_err(Failure::internal)?;
    change.puts.push(codec.write(&kid, 1, &SigningKeyRow { org: None, wrapped, created_at: now }));
    let discharger_id: [u8; 16] = entropy::bytes();
    let discharger = DischargerKey::generate(rng);
    let wrapped =
        keyring.wrap(rng, &discharger, &owned(store_id, discharger_id, None)).map_err(Failure::internal)?;
    let location = discharger_location(&settings.location);
    change.puts.push(codec.write(
        &discharger_id,
        1,
        &DischargerRow { location, org: None, wrapped, created_at: now },
    ));
    let feed = [
        FeedRow::SigningKeySet { key: HEXLOWER.encode(&kid), org: None, version: 1, at: now },
        FeedRow::DischargerSet { discharger: HEXLOWER.encode(&discharger_id), version: 1, at: now },
    ];
    let (mut number, mut mac) = (0, [0; 32]);
    for row in &feed {
        number += 1;
        let entry = codec.write_feed(number, &mac, row);
        mac = <[u8; 32]>::try_from(entry.mac.as_slice()).unwrap_or_default();
        change.feed.push(entry);
    }
    change.puts.push(codec.write(&[], 1, &FeedHeadRow { number, mac: HEXLOWER.encode(&mac) }));
    store.commit(change).await.map_err(|error| StartError::Refused(error.to_string()))?;
    start_unlocked(settings, store, Unlocked { store_id, root, keyring, codec, opened_by }).await
}
