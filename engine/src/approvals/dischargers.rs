//! Outside dischargers: services that share a key with petsem and vouch for boots, for one org or for all.
//!
//! Whoever holds a platform discharger's key can read the apps of the hosts that he controls, so registering
//! one needs a second person, or the seal at the node. Several keys of one location stand side by side while
//! one takes the other's place.

use data_encoding::{BASE64, HEXLOWER};
use petsem_api::{Approval, Discharger, DischargerList, ErrorCode, OrgId, OrgRef, PutDischarger};
use petsem_keys::DischargerKey;
use petsem_policy::Action;
use petsem_store::{Expect, RecordKind};
use zeroize::Zeroizing;

use crate::approvals::discharger_limits::check_room;
use crate::approvals::request::{ApprovalRequest, registration_ends};
use crate::authn::tokens::Verified;
use crate::authz::decide::{Principal, denied};
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::control::state::DischargerEntry;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::state::owned;
use crate::records::expect;
use crate::records::{DischargerRow, FeedRow, ProtectedChange, Row};
use crate::request::AuditRecord;
use crate::request::local_record;
use crate::tokens::mint::discharger_location;

impl Engine {
    /// Registers an outside discharger at once: on the node, with the seal opened for it.
    ///
    /// # Errors
    /// The registration is refused; nothing was changed then.
    pub async fn add_discharger(&self, wanted: &PutDischarger) -> Result<Discharger, Failure> {
        let now = self.now();
        let mut audit = local_record(now, "discharger.register");
        let org = match &wanted.org {
            None => None,
            Some(org) => {
                let missing = || {
                    Failure::new(
                        ErrorCode::NotFound,
                        "there is no such org; make it with `petsem org create`",
                    )
                };
                Some(self.find_org(org).await?.ok_or_else(missing)?.id)
            }
        };
        let (id, row, fence) = self.new_discharger(wanted, org, now).await?;
        audit.set_detail(format_args!("discharger {} at {}", HEXLOWER.encode(&id), row.location));
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

    /// The dischargers of an org, or all of them for those who operate.
    ///
    /// # Errors
    /// Refused.
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
        Ok(self.dischargers_of(org))
    }

    /// Asks for the registration of an outside discharger; it takes effect when a second person approves.
    ///
    /// # Errors
    /// Refused; nothing was changed then.
    pub async fn register_discharger(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        wanted: &PutDischarger,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let org = match &wanted.org {
            None => None,
            Some(org) => Some(self.org_for(audit, principal, org, Action::ManagePolicy, now).await?.id),
        };
        let asker = may_register(audit, principal, org, now)?;
        if let Some(org) = org {
            audit.set_org(org);
        }
        self.ask_discharger(audit, asker, wanted, org, now).await
    }

    /// Deletes a discharger's key: what it vouched for counts no more.
    ///
    /// # Errors
    /// Refused; nothing was changed then.
    pub async fn delete_discharger(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: &str,
        now: Timestamp,
    ) -> Result<Discharger, Failure> {
        let not_yours = || {
            Failure::new(
                ErrorCode::Forbidden,
                "there is no such discharger, or this token may not delete it; `petsem discharger list` shows them",
            )
        };
        let found = self.find_discharger(id).ok_or_else(not_yours)?;
        may_register(audit, principal, found.org, now).map_err(|_| not_yours())?;
        self.remove_discharger(audit, &found).await?;
        Ok(found)
    }

    async fn ask_discharger(
        &self,
        audit: &mut AuditRecord,
        asker: &Verified,
        wanted: &PutDischarger,
        org: Option<OrgId>,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let (id, row, fence) = self.new_discharger(wanted, org, now).await?;
        let whom = org.map_or_else(|| "the whole platform".to_owned(), |org| format!("org {org}"));
        let request = ApprovalRequest {
            summary: format!("register the discharger at {} for {whom}", row.location),
            asked: ProtectedChange::Discharger { id: HEXLOWER.encode(&id), row },
            org,
            app: None,
            reason: "registration",
            ends_at: registration_ends(now),
        };
        self.ask_registration_with(audit, &asker.token, request, now, Some(fence)).await
    }

    /// Checks a registration and wraps its key; with what the change that writes it must expect.
    async fn new_discharger(
        &self,
        wanted: &PutDischarger,
        org: Option<OrgId>,
        now: Timestamp,
    ) -> Result<([u8; 16], DischargerRow, Expect), Failure> {
        let bad = |text: &str| Failure::new(ErrorCode::BadRequest, text);
        let location = wanted.location.trim_end_matches('/');
        let is_url = (location.starts_with("https://") || location.starts_with("http://"))
            && location.len() <= 200
            && location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'@');
        if !is_url {
            return Err(bad(
                "location is the URL that the discharger's tickets carry, like https://auth.example, at most 200 bytes",
            ));
        }
        let own = &self.settings.location;
        if location == own || location.strip_prefix(own.as_str()).is_some_and(|rest| rest.starts_with('/')) {
            return Err(bad("this location is this petsem's own; give that of the outside discharger"));
        }
        check_room(&self.control(), location, org)?;
        let key = DischargerKey::filled_by(|bytes| {
            let decoded = Zeroizing::new(BASE64.decode(wanted.key.as_bytes()).map_err(|_| ())?);
            bytes.copy_from_slice(<&[u8; 32]>::try_from(decoded.as_slice()).map_err(|_| ())?);
            Ok(())
        });
        let key = key.map_err(|()| bad("key is the shared key: 32 bytes in standard base64"))?;
        let id: [u8; 16] = entropy::bytes();
        let (keyring, fence) = self.wrapping().await?;
        let wrapped = keyring
            .wrap(&mut entropy::rng(), &key, &owned(self.store_id, id, org))
            .map_err(Failure::internal)?;
        let row = DischargerRow { location: location.to_owned(), org, wrapped, created_at: now.millis() };
        Ok((id, row, fence))
    }

    /// All dischargers, or those that one org may know: its own and the platform's.
    fn dischargers_of(&self, org: Option<OrgId>) -> DischargerList {
        let control = self.control();
        let mut dischargers: Vec<Discharger> = control
            .dischargers()
            .iter()
            .filter(|entry| org.is_none() || entry.org.is_none() || entry.org == org)
            .map(|entry| self.shown_discharger(entry))
            .collect();
        dischargers.sort_by(|one, other| (&one.location, &one.id).cmp(&(&other.location, &other.id)));
        DischargerList { dischargers }
    }

    /// A discharger by its id.
    fn find_discharger(&self, id: &str) -> Option<Discharger> {
        let control = self.control();
        control.dischargers().iter().map(|entry| self.shown_discharger(entry)).find(|found| found.id == id)
    }

    fn shown_discharger(&self, entry: &DischargerEntry) -> Discharger {
        Discharger {
            id: HEXLOWER.encode(&entry.id),
            location: entry.location.clone(),
            org: entry.org,
            own: self.is_own(entry),
        }
    }

    /// Whether a discharger is this installation itself.
    pub(crate) fn is_own(&self, entry: &DischargerEntry) -> bool {
        entry.org.is_none() && entry.location == discharger_location(&self.settings.location)
    }

    async fn remove_discharger(&self, audit: &mut AuditRecord, gone: &Discharger) -> Result<(), Failure> {
        if gone.own {
            return Err(Failure::new(
                ErrorCode::Conflict,
                "this is petsem's own discharger, on which host tokens depend; nothing was changed",
            ));
        }
        let missing = || Failure::new(ErrorCode::NotFound, "the discharger is gone already");
        let id = HEXLOWER.decode(gone.id.as_bytes()).map_err(Failure::internal)?;
        let record = self.store.record(RecordKind::Discharger, &id).await?.ok_or_else(missing)?;
        let row: Row<DischargerRow> = self.codec.read(&id, &record)?;
        audit.set_detail(format_args!("discharger {} at {}", gone.id, gone.location));
        let at = self.now().millis();
        let feed = [FeedRow::DischargerSet { discharger: gone.id.clone(), version: row.version + 1, at }];
        self.commit_control(audit, &feed, |change| {
            change.expects.push(expect::<DischargerRow>(&id, row.version));
            change.deletes.push((RecordKind::Discharger, id.clone()));
        })
        .await
        .map(|_| ())
    }
}

/// An org's dischargers are for those who manage its policies, the platform's for those who operate.
fn may_register<'p>(
    audit: &mut AuditRecord,
    principal: &'p Principal,
    org: Option<OrgId>,
    now: Timestamp,
) -> Result<&'p Verified, Failure> {
    let action = if org.is_some() { Action::ManagePolicy } else { Action::Operate };
    let target = AccessTarget { org, ..AccessTarget::default() };
    principal.allows(audit, &target, action, now).map_err(|refused| denied(&refused))
}
