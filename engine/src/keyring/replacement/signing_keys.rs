//! Revokes every signing key, and gives each owner a new one. All tokens end with the old keys.

use data_encoding::HEXLOWER;
use petsem_api::{OrgId, SigningKeyId};
use petsem_keys::{Keyring, SigningKey};
use petsem_store::{Record, RecordKind};

use super::{ReplacementStep, ReportProgress, is_new};
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::state::owned;
use crate::messages;
use crate::records::{FeedRow, SigningKeyRow, expect, id_of};
use crate::request::local_record;

/// Keys in one transaction.
const BATCH: u32 = 32;

impl Engine {
    /// Revokes the keys that an older version of the keyring wraps. An owner whose current key is one of them gets a
    /// new key with the same change, so that it always has one.
    pub(super) async fn replace_signing_keys(&self, report: ReportProgress<'_>) -> Result<(), Failure> {
        let total = self.store.count(RecordKind::SigningKey).await?;
        let (mut done, mut after) = (0, None::<Vec<u8>>);
        loop {
            let page = self.store.records(RecordKind::SigningKey, &[], after.as_deref(), BATCH).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            self.replace_batch(&page).await?;
            done += u64::try_from(page.len()).unwrap_or(u64::MAX);
            report(ReplacementStep::SigningKeys, done.min(total), total);
        }
    }

    async fn replace_batch(&self, page: &[Record]) -> Result<(), Failure> {
        let (keyring, fence) = self.wrapping().await?;
        let (control, now) = (self.control(), self.now());
        let at = now.millis();
        let (mut feed, mut created, mut revoked) = (Vec::new(), Vec::new(), 0);
        for record in page {
            let id = id_of::<SigningKeyRow>(record)?;
            let entry = control.signing_key_entry(id).await?;
            // A row that differs from what was written is that of an old key, too: its owner is in the control state.
            let row = self.codec.read::<SigningKeyRow>(&record.id, record);
            if entry.version == 0 || row.is_ok_and(|row| is_new(&keyring, &row.content.wrapped)) {
                continue;
            }
            if !entry.is_revoked {
                feed.push(FeedRow::SigningKeyRevoked { key: id, at });
                revoked += 1;
            }
            if control.is_current_key(id).await? {
                let (id, row) = self.new_signing_key(&keyring, entry.org, at)?;
                let key = HEXLOWER.encode(id.as_bytes());
                feed.push(FeedRow::SigningKeySet { key, org: entry.org, version: 1, at });
                created.push((id, row));
            }
        }
        if feed.is_empty() {
            return Ok(());
        }
        let mut audit = local_record(now, "signing_key.replace");
        audit.set_detail(messages::signing_keys_replaced(revoked, created.len()));
        self.commit_control(&mut audit, &feed, |change| {
            change.expects.push(fence.clone());
            for (id, row) in &created {
                change.expects.push(expect::<SigningKeyRow>(id.as_bytes(), 0));
                change.puts.push(self.codec.write(id.as_bytes(), 1, row));
            }
        })
        .await?;
        self.record(&audit).await
    }

    fn new_signing_key(
        &self,
        keyring: &Keyring,
        org: Option<OrgId>,
        at: u64,
    ) -> Result<(SigningKeyId, SigningKeyRow), Failure> {
        let rng = &mut entropy::rng();
        let id: [u8; 16] = entropy::bytes();
        let key = SigningKey::generate(rng);
        let wrapped = keyring.wrap(rng, &key, &owned(self.store_id, id, org)).map_err(Failure::internal)?;
        Ok((SigningKeyId::from_bytes(id), SigningKeyRow { org, wrapped, created_at: at }))
    }
}
