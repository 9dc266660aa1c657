//! Outside dischargers: services that share a key with petsem and vouch for boots, for one org or for all orgs.
//!
//! A holder of a platform discharger's key can read the apps of the hosts that it controls, so a registration needs a
//! second person, or the seal opened on the node. A location may have several keys at once, so that a new key can
//! replace an old one without an interruption.

use data_encoding::{BASE64, HEXLOWER};
use petsem_api::{Approval, Discharger, DischargerList, OrgId, OrgRef, PutDischarger};
use petsem_keys::DischargerKey;
use petsem_policy::Action;
use petsem_store::{Expect, RecordKind};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::approvals::discharger_limits::check_room;
use crate::approvals::request::{ApprovalRequest, registration_ends};
use crate::authn::tokens::Verified;
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::control::state::DischargerEntry;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::state::owned;
use crate::messages;
use crate::records::{DischargerRow, FeedRow, ProtectedChange, expect};
use crate::request::{AuditRecord, local_record};

impl Engine {
    /// Registers an outside discharger immediately: on the node, with the seal opened for it.
    ///
    /// # Errors
    /// The registration is refused; nothing was changed.
    pub async fn add_discharger(&self, registration: &PutDischarger) -> Result<Discharger, Failure> {
        let now = self.now();
        let mut audit = local_record(now, "discharger.register");
        let org = match &registration.org {
            None => None,
            Some(org) => Some(self.find_org(org).await?.ok_or_else(messages::no_such_org)?.id),
        };
        let (id, row, fence) = self.new_discharger(registration, org, now).await?;
        audit.set_detail(messages::discharger(&HEXLOWER.encode(&id), &row.location));
        let feed =
            [FeedRow::DischargerSet { discharger: HEXLOWER.encode(&id), version: 1, at: now.millis() }];
        self.commit_control(&mut audit, &feed, |change| {
            change.expects.push(fence.clone());
            change.expects.push(expect::<DischargerRow>(&id, 0));
            change.puts.push(self.codec.write(&id, 1, &row));
        })
        .await?;
        self.record(&audit).await?;
        Ok(Discharger { id: HEXLOWER.encode(&id), location: row.location, org, own: false })
    }

    /// The dischargers that apply to an org, its own and the platform's; without an org all of them, for operators.
    ///
    /// # Errors
    /// The request is refused.
    pub async fn list_dischargers(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: Option<&OrgRef>,
        now: Timestamp,
    ) -> Result<DischargerList, Failure> {
        let org = match org {
            None => {
                may_register(audit, principal, None, now)?;
                None
            }
            Some(org) => Some(self.org_for(audit, principal, org, Action::List, now).await?.id),
        };
        let control = self.control();
        let mut dischargers: Vec<Discharger> = control
            .dischargers()
            .iter()
            .filter(|entry| org.is_none() || entry.org.is_none() || entry.org == org)
            .map(|entry| self.discharger_to_wire(entry))
            .collect();
        dischargers.sort_by(|one, other| (&one.location, &one.id).cmp(&(&other.location, &other.id)));
        Ok(DischargerList { dischargers })
    }

    /// Requests the registration of an outside discharger. It takes effect when a second person approves it.
    ///
    /// # Errors
    /// The request is refused; nothing was changed.
    pub async fn register_discharger(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        registration: &PutDischarger,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let org = match &registration.org {
            None => None,
            Some(org) => Some(self.org_for(audit, principal, org, Action::ManagePolicy, now).await?.id),
        };
        let requester = may_register(audit, principal, org, now)?;
        if let Some(org) = org {
            audit.set_org(org);
        }
        let (id, row, fence) = self.new_discharger(registration, org, now).await?;
        let key_digest = digest_of(registration);
        let request = ApprovalRequest {
            summary: messages::discharger_registration(&row.location, org, &key_digest),
            change: ProtectedChange::Discharger { id: HEXLOWER.encode(&id), row, key_digest },
            org,
            app: None,
            reason: "registration",
            ends_at: registration_ends(now),
        };
        self.request_registration(audit, &requester.token, request, now, Some(fence)).await
    }

    /// Deletes a discharger's key: its discharges are no longer accepted.
    ///
    /// # Errors
    /// The request is refused; nothing was changed.
    pub async fn delete_discharger(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: &str,
        now: Timestamp,
    ) -> Result<Discharger, Failure> {
        let found = self.find_discharger(id).ok_or_else(messages::discharger_not_deletable)?;
        may_register(audit, principal, found.org, now).map_err(|_| messages::discharger_not_deletable())?;
        if found.own {
            return Err(messages::own_discharger_stays());
        }
        let key = HEXLOWER.decode(found.id.as_bytes()).map_err(Failure::internal)?;
        let deleted = messages::discharger_deleted_meanwhile;
        let row = self.row::<DischargerRow>(&key).await?.ok_or_else(deleted)?;
        audit.set_detail(messages::discharger(&found.id, &found.location));
        let at = self.now().millis();
        let feed = [FeedRow::DischargerDeleted { discharger: found.id.clone(), at }];
        self.commit_control(audit, &feed, |change| {
            change.expects.push(expect::<DischargerRow>(&key, row.version));
            change.deletes.push((RecordKind::Discharger, key.clone()));
            change.erases = true;
        })
        .await?;
        Ok(found)
    }

    /// Checks a registration and wraps its key. The `Expect` returned belongs into the change that writes the row.
    async fn new_discharger(
        &self,
        registration: &PutDischarger,
        org: Option<OrgId>,
        now: Timestamp,
    ) -> Result<([u8; 16], DischargerRow, Expect), Failure> {
        let location = registration.location.trim_end_matches('/');
        let is_url = (location.starts_with("https://") || location.starts_with("http://"))
            && location.len() <= 200
            && location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'@');
        if !is_url {
            return Err(messages::invalid_discharger_location());
        }
        let is_within = |own: &String| {
            location.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if [&self.settings.location, &self.settings.discharger_location].into_iter().any(is_within) {
            return Err(messages::own_location());
        }
        check_room(&self.control(), location, org)?;
        let key = DischargerKey::filled_by(|bytes| {
            let decoded = Zeroizing::new(BASE64.decode(registration.key.as_bytes()).map_err(|_| ())?);
            bytes.copy_from_slice(<&[u8; 32]>::try_from(decoded.as_slice()).map_err(|_| ())?);
            Ok(())
        });
        let key = key.map_err(|()| messages::invalid_shared_key())?;
        let id: [u8; 16] = entropy::bytes();
        let (keyring, fence) = self.wrapping().await?;
        let wrapped = keyring
            .wrap(&mut entropy::rng(), &key, &owned(self.store_id, id, org))
            .map_err(Failure::internal)?;
        let row = DischargerRow { location: location.to_owned(), org, wrapped, created_at: now.millis() };
        Ok((id, row, fence))
    }

    /// The discharger with this id.
    fn find_discharger(&self, id: &str) -> Option<Discharger> {
        let control = self.control();
        control.dischargers().iter().map(|entry| self.discharger_to_wire(entry)).find(|found| found.id == id)
    }

    fn discharger_to_wire(&self, entry: &DischargerEntry) -> Discharger {
        Discharger {
            id: HEXLOWER.encode(&entry.id),
            location: entry.location.clone(),
            org: entry.org,
            own: self.is_own(entry),
        }
    }

    /// Whether this is the installation's own discharger.
    pub(crate) fn is_own(&self, entry: &DischargerEntry) -> bool {
        entry.org.is_none() && entry.location == self.settings.discharger_location
    }
}

/// The SHA-256 of the key, in hex: both persons can compare it with their own copy.
fn digest_of(registration: &PutDischarger) -> String {
    let key = Zeroizing::new(BASE64.decode(registration.key.as_bytes()).unwrap_or_default());
    HEXLOWER.encode(&Sha256::digest(key.as_slice()))
}

/// An org's dischargers need the action `manage_policy`, the platform's need `operate`.
fn may_register<'p>(
    audit: &mut AuditRecord,
    principal: &'p Principal,
    org: Option<OrgId>,
    now: Timestamp,
) -> Result<&'p Verified, Failure> {
    let action = if org.is_some() { Action::ManagePolicy } else { Action::Operate };
    let target = AccessTarget { org, ..AccessTarget::default() };
    principal.require(audit, &target, action, now)
}
