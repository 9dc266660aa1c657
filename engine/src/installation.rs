//! A new installation in an empty store: seals, root key, keyring, signing key, discharger.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use petsem_api::StoreId;
use petsem_keys::{DischargerKey, Keyring, KeyringKey, RootKey, RowMacKey, SealSource, SigningKey};
use petsem_store::{Change, ReadError, RecordKind, RequestAudit, Store};

use crate::clock::Timestamp;
use crate::control::state::UnnamedState;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::seal_list::{KeepShares, make_seal};
use crate::keyring::state::{owned, row_mac_context};
use crate::keyring::unlock::{OpenedBy, UnlockError, Unlocked};
use crate::messages;
use crate::records::{DischargerRow, FeedRow, KeyringKeyRow, RecordCodec, SigningKeyRow, StoreRow, expect};
use crate::request::new_request_id;

/// Whether a store has an installation whose creation was interrupted: nobody ever got a token, or created anything.
///
/// # Errors
/// The store cannot be read.
pub async fn is_unfinished(store: &dyn Store) -> Result<bool, ReadError> {
    for kind in [RecordKind::Token, RecordKind::Org, RecordKind::AppHead] {
        if !store.records(kind, &[], None, 1).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(!store.is_empty().await?)
}

/// Creates an installation in an empty store. Shares go to `keep_shares` before anything is written, and exist nowhere
/// else. `discharger_location` is that of its own discharger; `development` marks it as one of `petsem dev`, for ever;
/// `now` is in unix milliseconds.
///
/// # Errors
/// [`UnlockError`]: a seal cannot be created, or the store accepts no writes.
pub async fn create_installation(
    store: &dyn Store,
    sources: &[Arc<dyn SealSource>],
    discharger_location: &str,
    development: bool,
    now: u64,
    keep_shares: KeepShares<'_>,
) -> Result<Unlocked, UnlockError> {
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
        request_id: new_request_id(Timestamp::from_millis(now)),
        line: Vec::new(),
    });
    change.expects.push(expect::<StoreRow>(&[], 0));
    let mut seals = Vec::new();
    let mut opened_by = None;
    for source in sources {
        let (id, row) = make_seal(&**source, rng, &root, store_id, now, keep_shares)?;
        seals.push(HEXLOWER.encode(&id));
        opened_by.get_or_insert_with(|| OpenedBy::new(id, &row));
        change.puts.push(codec.write(&id, 1, &row));
    }
    let opened_by = opened_by.ok_or_else(|| UnlockError::Refused(messages::NO_CONFIGURED_SEAL.to_owned()))?;
    let store_row = StoreRow {
        store: store_id,
        epoch: 1,
        root_version: 1,
        keyring_version: 1,
        row_mac_key: wrapped_row_mac,
        seals,
        development,
        replacement: None,
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
    change.puts.push(codec.write(
        &discharger_id,
        1,
        &DischargerRow { location: discharger_location.to_owned(), org: None, wrapped, created_at: now },
    ));
    let feed = [
        FeedRow::StoreSet { version: 1, at: now },
        FeedRow::SigningKeySet { key: HEXLOWER.encode(&kid), org: None, version: 1, at: now },
        FeedRow::DischargerSet { discharger: HEXLOWER.encode(&discharger_id), version: 1, at: now },
    ];
    UnnamedState::default().extend(store, &codec, store_id, &mut change, &feed).await?;
    store.commit(change).await.map_err(|error| UnlockError::Refused(error.to_string()))?;
    Ok(Unlocked {
        store_id,
        store_version: 1,
        development,
        replacement: None,
        root,
        keyring,
        codec,
        opened_by,
    })
}
