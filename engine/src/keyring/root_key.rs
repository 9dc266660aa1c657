//! A new root key: every version of the keyring and the wrap of every seal are replaced in one transaction.
//!
//! Every seal of the list must be available, because each wraps the new key. The error names the seals that are not;
//! they are removed only if the operator drops them by name. Values, app KEKs and the keyring itself do not change.

use data_encoding::HEXLOWER;
use petsem_keys::{RootKey, SealContext, SealExt as _};

use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::open_list::{OpenList, Unavailable, may_remove};
use crate::keyring::seal_list::{SealInfo, SealRows, info, seal_failed};
use crate::keyring::unlock::{SealSources, SealedRows, UnlockError, Unlocked};
use crate::messages;
use crate::records::{KeyringKeyRow, ReplacementCause, ReplacementRow, SealRow, StoreRow, id_of};
use crate::request::local_record;

/// The result of a rotation of the root key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RotatedRoot {
    /// The new version.
    pub root_version: u32,
    /// Versions of the keyring that it wraps.
    pub keyring_versions: usize,
    /// The seals that open it.
    pub seals: Vec<SealInfo>,
    /// The seals that were removed.
    pub dropped: Vec<SealInfo>,
}

/// A new root key that is planned and not committed.
pub struct PlannedRoot {
    /// The keys of the store, with the old root key.
    pub unlocked: Unlocked,
    /// The rows to commit.
    pub rows: SealRows,
    /// The result, once committed.
    pub report: RotatedRoot,
}

/// Plans a new root key: wraps it with each seal, and every version of the keyring with it. The seals named in `drop`
/// are removed. If one is `compromised`, it is removed too, and the replacement of all keys begins. `untried` returns
/// the text that states why a seal of this kind was not tried.
///
/// # Errors
/// [`UnlockError`]: a seal is neither available nor dropped.
pub async fn plan_new_root(
    sources: &SealSources,
    rows: SealedRows,
    drop: &[String],
    compromised: Option<&str>,
    now: u64,
    untried: impl Fn(&str) -> String + Send,
) -> Result<PlannedRoot, UnlockError> {
    let list = OpenList::open(sources, rows.clone()).await?;
    let mut dropped = Vec::new();
    for which in drop.iter().map(String::as_str).chain(compromised) {
        let (id, _) = list.find(which)?;
        may_remove(&list.seals, id)?;
        dropped.push(*id);
    }
    let replacement = match compromised {
        None => list.store.content.replacement.clone(),
        Some(which) => {
            let (id, row) = list.find(which)?;
            Some(ReplacementRow {
                cause: ReplacementCause::Seal {
                    id: HEXLOWER.encode(id),
                    description: row.content.description.clone(),
                },
                keyring_version: list.store.content.keyring_version,
                old_row_mac_key: Vec::new(),
                dischargers: Vec::new(),
            })
        }
    };
    let (list, available) = list.available(sources).await?;
    let rng = &mut entropy::rng();
    let OpenList { unlocked, store, seals } = list;
    let root_version = unlocked.root.version() + 1;
    let root = RootKey::generate(rng, root_version);
    let mut planned = SealRows::of_store(store.version + 1);
    let mut missing = Vec::new();
    let mut report =
        RotatedRoot { root_version, keyring_versions: 0, seals: Vec::new(), dropped: Vec::new() };
    for ((id, row), seal) in seals.into_iter().zip(available) {
        if dropped.contains(&id) {
            report.dropped.push(info(&id, &row.content));
            planned.delete(id.to_vec(), row.version);
            continue;
        }
        let seal = match seal {
            Ok(seal) => seal,
            Err(why) => {
                let id = HEXLOWER.encode(&id);
                let why = match why {
                    Unavailable::NotTried => untried(&row.content.kind),
                    Unavailable::Failed(text) => text,
                };
                let seal = messages::seal_not_available(&id, &row.content.description, &why);
                missing.push((id, seal));
                continue;
            }
        };
        let context = SealContext::root_key(*unlocked.store_id.as_bytes(), id, root_version);
        let failed = |error| seal_failed(&*seal, error);
        let wrapped_root = seal.wrap(rng, &root, &context).map_err(failed)?;
        // A wrap that cannot be opened must not replace one that can.
        seal.unwrap::<RootKey>(&wrapped_root, &context).map_err(failed)?;
        let next = SealRow { wrapped_root, verified_at: Some(now), ..row.content };
        report.seals.push(info(&id, &next));
        planned.put(unlocked.codec.write(&id, row.version + 1, &next));
    }
    if !missing.is_empty() {
        return Err(UnlockError::Refused(messages::seals_not_available(&missing)));
    }
    for record in &rows.keyring {
        let row = unlocked.codec.read::<KeyringKeyRow>(&record.id, record).map_err(Failure::from)?;
        let version = id_of::<KeyringKeyRow>(record).map_err(Failure::from)?;
        let key =
            unlocked.keyring.key(version).ok_or_else(|| Failure::internal("the keyring is incomplete"))?;
        let wrapped =
            root.wrap_keyring_key(rng, key, *unlocked.store_id.as_bytes()).map_err(Failure::internal)?;
        planned.put(unlocked.codec.write(
            &record.id,
            row.version + 1,
            &KeyringKeyRow { wrapped, ..row.content },
        ));
        report.keyring_versions += 1;
    }
    let names = report.seals.iter().map(|seal| seal.id.clone()).collect();
    let content = StoreRow { root_version, seals: names, replacement, ..store.content };
    planned.put(unlocked.codec.write(&[], store.version + 1, &content));
    Ok(PlannedRoot { unlocked, rows: planned, report })
}

impl Engine {
    /// Commits a new root key.
    ///
    /// # Errors
    /// The list of seals changed in the meantime. Nothing was changed.
    pub async fn commit_new_root(&self, rows: &SealRows, report: &RotatedRoot) -> Result<(), Failure> {
        let mut audit = local_record(self.now(), "operator.rotate_root");
        let RotatedRoot { root_version, seals, dropped, .. } = report;
        audit.set_detail(messages::root_key(*root_version, seals.len(), dropped.len()));
        self.commit_seals(&mut audit, rows).await?;
        self.record(&audit).await
    }
}
