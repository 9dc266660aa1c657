//! Orgs: created and deleted by operators, each with its own signing key.

use data_encoding::HEXLOWER;
use petsem_api::{Org, OrgId, OrgList, OrgName, OrgRef};
use petsem_keys::SigningKey;
use petsem_policy::Action;
use petsem_store::RecordKind;

use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::{Timestamp, time_text};
use crate::control::state::Control;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::state::owned;
use crate::messages;
use crate::records::{FeedRow, IntegrityFault, OrgNameRow, OrgRow, Row, SigningKeyRow, expect};
use crate::request::AuditRecord;

/// Orgs in one response; an installation has few.
const MOST: u32 = 10_000;

/// An org whose row is verified.
pub(crate) struct FoundOrg {
    pub(crate) id: OrgId,
    pub(crate) row: Row<OrgRow>,
}

impl Engine {
    /// Creates an org. Only operators may do this.
    ///
    /// # Errors
    /// Refused, or the name is in use. Nothing was changed.
    pub async fn create_org(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        name: &OrgName,
        now: Timestamp,
    ) -> Result<Org, Failure> {
        principal.may_operate(audit, now)?;
        self.make_org(audit, name).await
    }

    /// The orgs that the principal may list. A token of an org lists its own.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list_orgs(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<OrgList, Failure> {
        let control = self.control();
        let mut orgs = Vec::new();
        for (id, row) in self.rows::<OrgRow>(MOST).await? {
            if self.is_deleted(&control, id).await? {
                continue;
            }
            orgs.push(to_wire(id, &row.content));
        }
        orgs.retain(|org| {
            let target = AccessTarget { org: Some(org.id), ..AccessTarget::default() };
            principal.allows(audit, &target, Action::List, now).is_ok()
        });
        Ok(OrgList { orgs })
    }

    /// One org.
    ///
    /// # Errors
    /// Refused, or it does not exist.
    pub async fn show_org(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &OrgRef,
        now: Timestamp,
    ) -> Result<Org, Failure> {
        let found = self.find_org(org).await?;
        let target = AccessTarget { org: found.as_ref().map(|org| org.id), ..AccessTarget::default() };
        match (principal.allows(audit, &target, Action::List, now), found) {
            (Ok(_), Some(org)) => Ok(to_wire(org.id, &org.row.content)),
            (Ok(_), None) => Err(messages::no_such_org()),
            (Err(refused), _) if principal.is_platform() => {
                Err(principal.denied(&refused, &[(Action::List, target)], now))
            }
            (Err(_), _) => Err(messages::org_not_shown()),
        }
    }

    /// Deletes an org that has no apps, and its signing keys: its tokens no longer verify anywhere. Only operators may
    /// do this.
    ///
    /// # Errors
    /// Refused, or it has apps. Nothing was changed.
    pub async fn delete_org(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &OrgRef,
        now: Timestamp,
    ) -> Result<OrgId, Failure> {
        principal.may_operate(audit, now)?;
        let org = self.find_org(org).await?.ok_or_else(messages::no_such_org)?;
        self.remove_org(audit, &org).await?;
        Ok(org.id)
    }

    /// [`Self::delete_org`], once that is decided.
    pub(crate) async fn remove_org(&self, audit: &mut AuditRecord, org: &FoundOrg) -> Result<(), Failure> {
        audit.set_org(org.id);
        // From the control state: others may have deleted the rows that list its apps.
        if self.control().org(org.id).await?.apps > 0 {
            return Err(messages::org_has_apps());
        }
        let now = self.now().millis();
        let name = org.row.content.name.clone();
        let label = name.as_str().as_bytes().to_vec();
        self.commit_control(audit, &[FeedRow::OrgDeleted { org: org.id, name, at: now }], |change| {
            // A concurrent creation of an app also writes the org's row, so one of the two fails.
            change.expects.push(expect::<OrgRow>(org.id.as_bytes(), org.row.version));
            change.deletes.push((RecordKind::Org, org.id.as_bytes().to_vec()));
            change.deletes.push((RecordKind::OrgName, label.clone()));
            change.erases = true;
        })
        .await?;
        Ok(())
    }

    /// The org that a request names, if the principal may do this there.
    pub(crate) async fn org_for(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: &OrgRef,
        action: Action,
        now: Timestamp,
    ) -> Result<FoundOrg, Failure> {
        let found = self.find_org(org).await?;
        let target = AccessTarget { org: found.as_ref().map(|org| org.id), ..AccessTarget::default() };
        match (principal.allows(audit, &target, action, now), found) {
            (Ok(_), Some(org)) => Ok(org),
            (Ok(_), None) => Err(messages::no_such_org()),
            (Err(refused), Some(org)) if principal.is_of(org.id) => {
                Err(principal.denied(&refused, &[(action, target)], now))
            }
            (Err(_), _) => Err(messages::org_not_allowed(action)),
        }
    }

    /// The name of an app's org.
    pub(crate) async fn org_name(&self, org: OrgId) -> Result<OrgName, Failure> {
        let found = self.find_org(&OrgRef::Id(org)).await?.ok_or_else(messages::no_such_app)?;
        Ok(found.row.content.name)
    }

    /// Creates an org with its own signing key.
    pub(crate) async fn make_org(&self, audit: &mut AuditRecord, name: &OrgName) -> Result<Org, Failure> {
        let now = self.now().millis();
        let id = OrgId::new_v7(now, &entropy::bytes());
        let kid: [u8; 16] = entropy::bytes();
        let key = SigningKey::generate(&mut entropy::rng());
        let (keyring, fence) = self.wrapping().await?;
        let wrapped = keyring
            .wrap(&mut entropy::rng(), &key, &owned(self.store_id, kid, Some(id)))
            .map_err(Failure::internal)?;
        let row = OrgRow { name: name.clone(), created_at: now };
        let key_row = SigningKeyRow { org: Some(id), wrapped, created_at: now };
        audit.set_org(id);
        audit.set_detail(messages::org_created(&name));
        let feed = [
            FeedRow::OrgCreated { org: id, name: name.clone(), at: now },
            FeedRow::SigningKeySet { key: HEXLOWER.encode(&kid), org: Some(id), version: 1, at: now },
        ];
        let label = name.as_str().as_bytes();
        let created = self.commit_control(audit, &feed, |change| {
            change.expects.push(fence.clone());
            change.expects.push(expect::<OrgNameRow>(label, 0));
            change.puts.push(self.codec.write(label, 1, &OrgNameRow { org: id }));
            change.puts.push(self.codec.write(id.as_bytes(), 1, &row));
            change.puts.push(self.codec.write(&kid, 1, &key_row));
        });
        match created.await {
            Ok(_) => Ok(to_wire(id, &row)),
            // After a commit that is not in force, the name's row is this org's.
            Err(_) if self.org_named(name).await?.is_some_and(|found| found != id) => {
                Err(messages::org_name_taken(name))
            }
            Err(failure) => Err(failure),
        }
    }

    /// An org by name or id.
    pub(crate) async fn find_org(&self, org: &OrgRef) -> Result<Option<FoundOrg>, Failure> {
        // Read before the rows: an org that is deleted after they were read was not put back.
        let control = self.control();
        let id = match org {
            OrgRef::Id(id) => *id,
            OrgRef::Name(name) => match self.org_named(name).await? {
                None => return Ok(None),
                Some(id) => id,
            },
        };
        let Some(row) = self.row::<OrgRow>(id.as_bytes()).await? else {
            return match org {
                // Deleted between the two reads, together with its name.
                OrgRef::Name(name) if self.org_named(name).await? == Some(id) => {
                    Err(IntegrityFault::new("org", id.as_bytes(), "it is missing").into())
                }
                _ => Ok(None),
            };
        };
        if self.is_deleted(&control, id).await? {
            return Ok(None);
        }
        match org {
            OrgRef::Name(name) if row.content.name != *name => {
                Err(IntegrityFault::new("org name", name.as_str().as_bytes(), "the org has another name")
                    .into())
            }
            _ => Ok(Some(FoundOrg { id, row })),
        }
    }

    /// Whether an org whose row was just read is deleted. Refuses a row that was put back.
    async fn is_deleted(&self, control: &Control, id: OrgId) -> Result<bool, Failure> {
        if !control.org(id).await?.is_deleted {
            return Ok(false);
        }
        match self.row::<OrgRow>(id.as_bytes()).await? {
            // Deleted since its row was read.
            None => Ok(true),
            Some(_) => {
                let what = "the org was deleted, but its row exists again";
                Err(IntegrityFault::new(RecordKind::Org, id.as_bytes(), what).into())
            }
        }
    }

    async fn org_named(&self, name: &OrgName) -> Result<Option<OrgId>, Failure> {
        Ok(self.row::<OrgNameRow>(name.as_str().as_bytes()).await?.map(|row| row.content.org))
    }
}

/// An org as the API shows it.
pub(crate) fn to_wire(id: OrgId, row: &OrgRow) -> Org {
    Org { id, name: row.name.clone(), created_at: time_text(row.created_at) }
}
