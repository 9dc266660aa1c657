//! Re-wraps the keys of one row under the current version of the keyring. Every role that the keyring wraps has its
//! kind of row here, except the row-MAC key: the change that adds the new version re-wraps it in the store's row.

use data_encoding::HEXLOWER;
use petsem_keys::{
    AppKek, AuditMacKey, AuditRatchetKey, AuditSigningKey, DischargerKey, Keyring, PollKey, SigningKey,
    WrapContext, WrappedByKeyring,
};
use petsem_store::{Record, RecordKind};

use crate::boot::polls::short_id;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::node_keys::ratchet_context;
use crate::keyring::state::owned;
use crate::records::{
    AppHead, ApprovalRow, DischargerRow, FeedRow, IntegrityFault, NodeRow, PollRow, ProtectedChange, Row,
    SigningKeyRow, id_of, id_of_hex,
};

/// The kinds in the order of a pass: an approval's key becomes a discharger's, so approvals come first.
pub(super) const KINDS: [RecordKind; 6] = [
    RecordKind::Approval,
    RecordKind::Discharger,
    RecordKind::SigningKey,
    RecordKind::Node,
    RecordKind::PollEntry,
    RecordKind::AppHead,
];

/// A row that replaces the one that was read.
pub(super) struct Rewrapped {
    /// The version of the row that was read.
    pub(super) read: u64,
    /// The new row.
    pub(super) record: Record,
    /// The control change that names the row's version, if the feed names this kind of row.
    pub(super) feed: Option<FeedRow>,
    /// Keys of the row that were re-wrapped.
    pub(super) keys: u64,
}

/// Re-wraps keys that an old version wraps, and counts them.
struct Rewrapper<'a> {
    keyring: &'a Keyring,
    keys: u64,
}

impl Rewrapper<'_> {
    fn rewrap<K: WrappedByKeyring>(
        &mut self,
        wrapped: &mut Vec<u8>,
        context: &WrapContext,
        fault: impl Fn(&'static str) -> IntegrityFault,
    ) -> Result<(), Failure> {
        let version = Keyring::version_of(wrapped).map_err(|_| fault("it does not open"))?;
        if version == self.keyring.current_version() {
            return Ok(());
        }
        *wrapped = self
            .keyring
            .rewrap::<K>(&mut entropy::rng(), wrapped, context)
            .map_err(|error| Failure::from(fault("it does not open")).because(error))?;
        self.keys += 1;
        Ok(())
    }
}

impl Engine {
    /// The row with its keys under the current version of `keyring`; `None` if they already are.
    pub(super) async fn rewrapped(
        &self,
        keyring: &Keyring,
        record: &Record,
        at: u64,
    ) -> Result<Option<Rewrapped>, Failure> {
        let mut rewrapper = Rewrapper { keyring, keys: 0 };
        let (written, feed) = match record.kind {
            RecordKind::AppHead => (self.rewrap_app_head(&mut rewrapper, record).await?, None),
            RecordKind::SigningKey => self.rewrap_signing_key(&mut rewrapper, record, at).await?,
            RecordKind::Discharger => self.rewrap_discharger(&mut rewrapper, record, at)?,
            RecordKind::Node => (self.rewrap_node(&mut rewrapper, record)?, None),
            RecordKind::PollEntry => (self.rewrap_poll_entry(&mut rewrapper, record)?, None),
            RecordKind::Approval => (self.rewrap_approval(&mut rewrapper, record)?, None),
            // No other kind holds a key under the keyring.
            _ => return Ok(None),
        };
        let keys = rewrapper.keys;
        Ok((keys > 0).then_some(Rewrapped { read: record.row_version, record: written, feed, keys }))
    }

    async fn rewrap_app_head(
        &self,
        rewrapper: &mut Rewrapper<'_>,
        record: &Record,
    ) -> Result<Record, Failure> {
        let app = id_of::<AppHead>(record)?;
        let id = *app.as_bytes();
        let mut row: Row<AppHead> = self.codec.read(&id, record)?;
        let control = self.control();
        if control.app(app).await?.is_deleted() || control.org(row.content.org).await?.is_deleted {
            let what = "the app was deleted, but its row exists again";
            return Err(IntegrityFault::new(RecordKind::AppHead, &id, what).into());
        }
        for kek in &mut row.content.keks {
            let context = WrapContext::app_kek(*self.store_id.as_bytes(), id, kek.version);
            let fault = |what| IntegrityFault::new("app KEK", &id, what);
            rewrapper.rewrap::<AppKek>(&mut kek.wrapped, &context, fault)?;
        }
        Ok(self.codec.write(&id, row.version + 1, &row.content))
    }

    async fn rewrap_signing_key(
        &self,
        rewrapper: &mut Rewrapper<'_>,
        record: &Record,
        at: u64,
    ) -> Result<(Record, Option<FeedRow>), Failure> {
        let key = id_of::<SigningKeyRow>(record)?;
        let id = *key.as_bytes();
        let mut row: Row<SigningKeyRow> = self.codec.read(&id, record)?;
        if !self.control().has_key(key).await? {
            return Err(fault_of(record)(DELETED).into());
        }
        let context = owned(self.store_id, id, row.content.org);
        rewrapper.rewrap::<SigningKey>(&mut row.content.wrapped, &context, fault_of(record))?;
        let version = row.version + 1;
        let feed = FeedRow::SigningKeySet { key: HEXLOWER.encode(&id), org: row.content.org, version, at };
        Ok((self.codec.write(&id, version, &row.content), Some(feed)))
    }

    fn rewrap_discharger(
        &self,
        rewrapper: &mut Rewrapper<'_>,
        record: &Record,
        at: u64,
    ) -> Result<(Record, Option<FeedRow>), Failure> {
        let id = id_of::<DischargerRow>(record)?;
        let mut row: Row<DischargerRow> = self.codec.read(&id, record)?;
        if !self.control().directory().dischargers.contains_key(&HEXLOWER.encode(&id)) {
            return Err(fault_of(record)(DELETED).into());
        }
        let context = owned(self.store_id, id, row.content.org);
        rewrapper.rewrap::<DischargerKey>(&mut row.content.wrapped, &context, fault_of(record))?;
        let version = row.version + 1;
        let feed = FeedRow::DischargerSet { discharger: HEXLOWER.encode(&id), version, at };
        Ok((self.codec.write(&id, version, &row.content), Some(feed)))
    }

    fn rewrap_node(&self, rewrapper: &mut Rewrapper<'_>, record: &Record) -> Result<Record, Failure> {
        let id = id_of::<NodeRow>(record)?;
        let mut row: Row<NodeRow> = self.codec.read(&id, record)?;
        let context = WrapContext::new(*self.store_id.as_bytes(), id);
        rewrapper.rewrap::<AuditMacKey>(&mut row.content.audit_mac_key, &context, fault_of(record))?;
        rewrapper.rewrap::<AuditSigningKey>(
            &mut row.content.audit_signing_key,
            &context,
            fault_of(record),
        )?;
        if let Some(checkpoint) = &mut row.content.checkpoint {
            let context = ratchet_context(self.store_id, id, checkpoint.number);
            let wrapped = &mut checkpoint.audit_ratchet_key;
            rewrapper.rewrap::<AuditRatchetKey>(wrapped, &context, fault_of(record))?;
        }
        Ok(self.codec.write(&id, row.version + 1, &row.content))
    }

    fn rewrap_poll_entry(&self, rewrapper: &mut Rewrapper<'_>, record: &Record) -> Result<Record, Failure> {
        let id = id_of::<PollRow>(record)?;
        let mut row: Row<PollRow> = self.codec.read(&id, record)?;
        let context = WrapContext::new(*self.store_id.as_bytes(), short_id(&id));
        rewrapper.rewrap::<PollKey>(&mut row.content.wrapped_key, &context, fault_of(record))?;
        Ok(self.codec.write(&id, row.version + 1, &row.content))
    }

    fn rewrap_approval(&self, rewrapper: &mut Rewrapper<'_>, record: &Record) -> Result<Record, Failure> {
        let mut row: Row<ApprovalRow> = self.codec.read(&record.id, record)?;
        if let ProtectedChange::Discharger { id, row, .. } = &mut row.content.change {
            let id = id_of_hex(id).ok_or_else(|| fault_of(record)("it names no id"))?;
            let context = owned(self.store_id, id, row.org);
            rewrapper.rewrap::<DischargerKey>(&mut row.wrapped, &context, fault_of(record))?;
        }
        Ok(self.codec.write(&record.id, row.version + 1, &row.content))
    }
}

/// What is wrong with a row that the control state does not have any more.
const DELETED: &str = "it was deleted, but its row exists again";

fn fault_of(record: &Record) -> impl Fn(&'static str) -> IntegrityFault + '_ {
    |what| IntegrityFault::new(record.kind, &record.id, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Content as _;

    #[test]
    fn approvals_come_before_dischargers() {
        let place = |kind| KINDS.iter().position(|of| *of == kind).unwrap();
        assert!(place(ApprovalRow::KIND) < place(DischargerRow::KIND));
    }
}
