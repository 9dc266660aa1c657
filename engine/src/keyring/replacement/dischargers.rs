//! Gives this installation's own discharger a new key, and deletes the keys of outside dischargers: petsem cannot
//! change the other half of a shared key.

use data_encoding::HEXLOWER;
use petsem_api::{OrgId, OrgRef};
use petsem_keys::DischargerKey;
use petsem_store::RecordKind;

use super::is_new;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::state::owned;
use crate::messages;
use crate::records::{DischargerRow, EndedDischargerRow, FeedRow, IntegrityFault, OrgRow, StoreRow, expect};
use crate::request::local_record;

impl Engine {
    /// Replaces or deletes the keys that an older version of the keyring wraps, in one change. The store's row keeps
    /// which ones were deleted, for the command's output.
    pub(super) async fn replace_dischargers(&self) -> Result<(), Failure> {
        let (keyring, fence) = self.wrapping().await?;
        let (control, store, now) = (self.control(), self.store_row().await?, self.now());
        let mut replacement = store.content.replacement.clone().ok_or_else(messages::no_replacement)?;
        let at = now.millis();
        let (mut feed, mut ended, mut created) = (Vec::new(), Vec::new(), Vec::new());
        for entry in control.dischargers() {
            let missing = || IntegrityFault::new(RecordKind::Discharger, &entry.id, "it is missing");
            let row = self.row::<DischargerRow>(&entry.id).await?.ok_or_else(missing)?;
            if is_new(&keyring, &row.content.wrapped) {
                continue;
            }
            feed.push(FeedRow::DischargerDeleted { discharger: HEXLOWER.encode(&entry.id), at });
            ended.push((entry.id, row.version));
            if self.is_own(entry) {
                let id: [u8; 16] = entropy::bytes();
                let rng = &mut entropy::rng();
                let key = DischargerKey::generate(rng);
                let wrapped =
                    keyring.wrap(rng, &key, &owned(self.store_id, id, None)).map_err(Failure::internal)?;
                let row =
                    DischargerRow { location: entry.location.clone(), org: None, wrapped, created_at: at };
                feed.push(FeedRow::DischargerSet { discharger: HEXLOWER.encode(&id), version: 1, at });
                created.push((id, row));
            } else {
                let org = match entry.org {
                    None => None,
                    Some(org) => Some(self.name_of(org).await),
                };
                replacement.dischargers.push(EndedDischargerRow { location: entry.location.clone(), org });
            }
        }
        if feed.is_empty() {
            return Ok(());
        }
        let mut audit = local_record(now, "discharger.replace");
        let outside: Vec<&str> =
            replacement.dischargers.iter().map(|ended| ended.location.as_str()).collect();
        audit.set_detail(messages::dischargers_replaced(created.len(), &outside));
        feed.push(FeedRow::StoreSet { version: store.version + 1, at });
        let content = StoreRow { replacement: Some(replacement), ..store.content };
        self.commit_control(&mut audit, &feed, |change| {
            change.expects.push(fence.clone());
            change.puts.push(self.codec.write(&[], store.version + 1, &content));
            for (id, version) in &ended {
                change.expects.push(expect::<DischargerRow>(id, *version));
                change.deletes.push((RecordKind::Discharger, id.to_vec()));
            }
            change.puts.extend(created.iter().map(|(id, row)| self.codec.write(id, 1, row)));
        })
        .await?;
        self.record(&audit).await
    }

    /// The org's name; the id of one that was deleted, or whose row is not valid.
    async fn name_of(&self, org: OrgId) -> OrgRef {
        match self.row::<OrgRow>(org.as_bytes()).await {
            Ok(Some(row)) => OrgRef::Name(row.content.name),
            _ => OrgRef::Id(org),
        }
    }
}
