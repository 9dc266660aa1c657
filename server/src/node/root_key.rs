//! A new root key: every version of the keyring and every seal wrapped anew, in one transaction.
//!
//! Every seal of the list must be at hand, because each wraps the new key; one that is not is named, and goes only if
//! it is dropped by name. Values, app KEKs and the keyring itself stay as they are.

use data_encoding::HEXLOWER;
use petsem_keys::{RootKey, SealContext, SealExt as _};
use petsem_store::OpenError;

use petsem_engine::{Engine, expect};
use petsem_engine as entropy;
use petsem_engine::{Failure};
use petsem_engine::{KeyringKeyRow, SealRow, StoreRow};
use crate::operator::seals::{OpenList, may_remove, refused};
use crate::node::seal_list::{SealInfo, info, seal_failed};
use crate::settings::{Settings};
use petsem_engine::{local_record};
use crate::node::start::{StartError, Started, open_installed, record, start, start_unlocked, stop};
use crate::node::unlock::{SealedRows};

/// What became of the root key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RotatedRoot {
    /// The new version.
    pub root_version: u32,
    /// Versions of the keyring that it wraps.
    pub keyring_versions: usize,
    /// The seals that open it.
    pub seals: Vec<SealInfo>,
    /// The seals that are gone.
    pub dropped: Vec<SealInfo>,
}

/// Makes a new root key. No server may hold the store meanwhile. The seals named in `drop` are removed with it.
///
/// # Errors
/// [`StartError`]; nothing was changed then.
pub async fn rotate_root(settings: &Settings, drop: &[String]) -> Result<RotatedRoot, StartError> {
    let held = match open_installed(settings).await {
        Err(StartError::Store(OpenError::InUse { .. })) => {
            return Err(refused(
                "a server holds the store, and would go on with the old root key; nothing was changed\nstop it, do \
                 this again, and start it; it takes seconds"
                    .to_owned(),
            ));
        }
        other => other?,
    };
    let rows = SealedRows::read(&*held).await?;
    let list = OpenList::open(settings, rows.clone()).await?;
    let mut dropped = Vec::new();
    for which in drop {
        let (id, _) = list.find(which)?;
        may_remove(&list.seals, id)?;
        dropped.push(*id);
    }
    let (list, at_hand) = list.at_hand(settings).await?;
    let rng = &mut entropy::rng();
    let OpenList { unlocked, store, seals } = list;
    let now = petsem_engine::Timestamp::now().millis();
    let root_version = unlocked.root.version() + 1;
    let root = RootKey::generate(rng, root_version);
    let mut puts = Vec::new();
    let mut expects = vec![expect::<StoreRow>(&[], store.version)];
    let mut deletes = Vec::new();
    let mut missing = Vec::new();
    let mut report =
        RotatedRoot { root_version, keyring_versions: 0, seals: Vec::new(), dropped: Vec::new() };
    for ((id, row), seal) in seals.into_iter().zip(at_hand) {
        expects.push(expect::<SealRow>(&id, row.version));
        if dropped.contains(&id) {
            report.dropped.push(info(&id, &row.content));
            deletes.push((petsem_store::RecordKind::Seal, id.to_vec()));
            continue;
        }
        let seal = match seal {
            Ok(seal) => seal,
            Err(why) => {
                let id = HEXLOWER.encode(&id);
                missing.push(format!("{id} ({}): {why}", row.content.description));
                continue;
            }
        };
        let context = SealContext::root_key(*unlocked.store_id.as_bytes(), id, root_version);
        let failed = |error| seal_failed(&*seal, error);
        let wrapped_root = seal.wrap(rng, &root, &context).map_err(failed)?;
        // What does not open now must not replace what does.
        seal.unwrap::<RootKey>(&wrapped_root, &context).map_err(failed)?;
        let next = SealRow { wrapped_root, verified_at: Some(now), ..row.content };
        report.seals.push(info(&id, &next));
        puts.push(unlocked.codec.write(&id, row.version + 1, &next));
    }
    if !missing.is_empty() {
        return Err(refused(format!(
            "these seals are not at hand, and each must wrap the new root key; nothing was changed:\n{}\ngive them, or \
             take them from the store for good: `petsem operator rotate-root --drop-seal ID`",
            missing.join("\n")
        )));
    }
    for record in &rows.keyring {
        let row = unlocked.codec.read::<KeyringKeyRow>(&record.id, record).map_err(Failure::from)?;
        let version = <[u8; 4]>::try_from(record.id.as_slice()).map(u32::from_be_bytes).unwrap_or_default();
        let key =
            unlocked.keyring.key(version).ok_or_else(|| Failure::internal("the keyring is not whole"))?;
        let wrapped =
            root.wrap_keyring_key(rng, key, *unlocked.store_id.as_bytes()).map_err(Failure::internal)?;
        expects.push(expect::<KeyringKeyRow>(&record.id, row.version));
        puts.push(unlocked.codec.write(
            &record.id,
            row.version + 1,
            &KeyringKeyRow { wrapped, ..row.content },
        ));
        report.keyring_versions += 1;
    }
    let names = report.seals.iter().map(|seal| seal.id.clone()).collect();
    let content = StoreRow { root_version, seals: names, ..store.content };
    puts.push(unlocked.codec.write(&[], store.version + 1, &content));
    let started = start_unlocked(settings.clone(), held, unlocked).await?;
    let result = commit(&started, expects, puts, deletes, &report).await;
    stop(started).await.map_err(StartError::Refused)?;
    result.map(|()| report)
}

/// What became of a seal that others may have.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Compromised {
    /// The new root key, and the seals.
    pub root: RotatedRoot,
    /// The keyring's new version.
    pub keyring_version: u32,
    /// Whether everything is wrapped by it, and the old version is destroyed; else a server carries on.
    pub rewrapped: bool,
}

/// Removes a seal that others may have: with a new root key, a new version of the keyring, and everything that hangs
/// on it wrapped anew. No server may hold the store meanwhile.
///
/// # Errors
/// [`StartError`]; where the root key was rotated already, it says so, and what is left to do.
pub async fn remove_compromised(settings: &Settings, which: &str) -> Result<Compromised, StartError> {
    let root = rotate_root(settings, &[which.to_owned()]).await?;
    let left = |error: StartError| {
        refused(format!(
            "the seal is removed and the root key is new, but the keyring is not: {error}\nstart the server, and \
             rotate it with `petsem operator rotate-keyring`"
        ))
    };
    // Opened anew: the engine of before has the old root key.
    let started = start(settings.clone()).await.map_err(left)?;
    let result = new_keyring(&started.state.engine).await;
    stop(started).await.map_err(StartError::Refused)?;
    let (keyring_version, rewrapped) = result.map_err(left)?;
    Ok(Compromised { root, keyring_version, rewrapped })
}

async fn new_keyring(core: &Engine) -> Result<(u32, bool), StartError> {
    // A rotation that was under way ends first: its newest version is one that the seal led to.
    engine.carry_on_keyring().await?;
    let mut audit = local_record(engine.now(), "keyring.rotate");
    engine.begin_keyring_rotation(&mut audit, engine.now()).await?;
    engine.record(&audit).await?;
    engine.carry_on_keyring().await?;
    let keyring = engine.keyring();
    Ok((keyring.current_version(), keyring.versions().len() == 1))
}

async fn commit(
    started: &Started,
    mut expects: Vec<petsem_store::Expect>,
    puts: Vec<petsem_store::Record>,
    deletes: Vec<(petsem_store::RecordKind, Vec<u8>)>,
    report: &RotatedRoot,
) -> Result<(), StartError> {
    let engine = &started.state.engine;
    let mut audit = local_record(engine.now(), "operator.rotate_root");
    audit.set_detail(format_args!(
        "root key {} under {} seals, {} dropped",
        report.root_version,
        report.seals.len(),
        report.dropped.len()
    ));
    let mut change = engine.change(&audit);
    change.expects.append(&mut expects);
    change.puts = puts;
    change.deletes = deletes;
    engine.commit(&mut audit, change).await.map_err(Failure::from)?;
    engine.record(&audit).await.map_err(StartError::from)
}
