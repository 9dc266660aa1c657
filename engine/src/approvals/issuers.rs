//! Whose JWTs are believed. Registering and changing an issuer needs a second person, or the seal opened at the node;
//! deleting one does not: it lets nobody in.
//!
//! An issuer that is registered again under its old `iss` is another one: with the deletion all JWTs that it had issued
//! by then were revoked, and what came of them.

use std::sync::Arc;

use petsem_api::{Approval, ErrorCode, Issuer, IssuerId, IssuerList, PutIssuer};
use petsem_policy::evaluate::Algorithm;
use petsem_store::{Change, RecordKind};

use crate::approvals::request::{ApprovalRequest, registration_ends};
use crate::authn::issuer_keys::IssuerKeys;
use crate::authz::decide::Principal;
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::control::state::{Control, IssuerEntry};
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::records::expect;
use crate::records::{FeedRow, IssuerRow, ProtectedChange};
use crate::request::AuditRecord;
use crate::request::local_record;
use crate::tokens::revoke::all_so_far;

impl Engine {
    /// Registers an issuer at once, or changes the registration of one: on the node, with the seal opened for it.
    ///
    /// # Errors
    /// The registration is refused; nothing was changed then.
    pub async fn add_issuer(&self, wanted: &PutIssuer, replaces: bool) -> Result<Issuer, Failure> {
        let mut audit = local_record(self.now(), if replaces { "issuer.change" } else { "issuer.register" });
        let issuer = if replaces {
            let control = self.control();
            let entry = control.issuer(&wanted.issuer).ok_or_else(no_such_issuer)?;
            let row = self.check_issuer_change(entry.id, entry.version, wanted)?;
            audit.set_detail(described(&row));
            self.change_issuer(&mut audit, entry.id, entry.version, row, |_| {}).await?
        } else {
            let row = self.check_issuer(wanted, false)?;
            audit.set_detail(described(&row));
            self.register_issuer(&mut audit, row, |_| {}).await?
        };
        self.record(&audit).await?;
        Ok(issuer)
    }

    /// All registered issuers, for those who operate.
    ///
    /// # Errors
    /// Refused.
    pub fn list_issuers(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<IssuerList, Failure> {
        principal.may_operate(audit, now)?;
        let control = self.control();
        let mut issuers: Vec<Issuer> = control.issuers().map(|entry| to_wire(entry)).collect();
        issuers.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        Ok(IssuerList { issuers })
    }

    /// Asks for an issuer to be registered; it takes effect when a second person approves.
    ///
    /// # Errors
    /// Refused; nothing was changed then.
    pub async fn ask_issuer(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        wanted: PutIssuer,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let asker = &principal.may_operate(audit, now)?.token;
        let row = self.check_issuer(&wanted, false)?;
        let summary = format!("register {}", described(&row));
        self.ask_registration(audit, asker, request(summary, ProtectedChange::Issuer(wanted), now), now).await
    }

    /// Asks for another registration of an issuer; it takes effect when a second person approves.
    ///
    /// # Errors
    /// Refused; nothing was changed then.
    pub async fn ask_issuer_change(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: IssuerId,
        wanted: PutIssuer,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let asker = &principal.may_operate(audit, now)?.token;
        let expected_version = self.issuer(id)?.version;
        let row = self.check_issuer_change(id, expected_version, &wanted)?;
        let summary = format!("change {}", described(&row));
        let asked = ProtectedChange::IssuerChange { id, expected_version, wanted };
        self.ask_registration(audit, asker, request(summary, asked, now), now).await
    }

    /// The row of a registration that can be made. It is asked before a second person is, and again after.
    pub(crate) fn check_issuer(&self, wanted: &PutIssuer, development: bool) -> Result<IssuerRow, Failure> {
        let row = self.issuer_row(wanted, development)?;
        check_no_other(&self.control(), &row, None)?;
        Ok(row)
    }

    /// The same for another registration of an issuer, which must stand where it stood when it was asked for.
    pub(crate) fn check_issuer_change(
        &self,
        id: IssuerId,
        expected_version: u64,
        wanted: &PutIssuer,
    ) -> Result<IssuerRow, Failure> {
        let entry = self.issuer(id)?;
        let row = self.issuer_row(wanted, entry.row.development)?;
        if entry.row.issuer != wanted.issuer {
            return Err(Failure::new(
                ErrorCode::BadRequest,
                "the `iss` of an issuer cannot be changed; nothing was changed; register the new one, and delete the \
                 old one",
            ));
        }
        if entry.version != expected_version {
            return Err(Failure::new(
                ErrorCode::StaleVersion,
                "the issuer was changed since this was asked for; nothing was changed; look at it, and ask anew",
            ));
        }
        Ok(row)
    }

    /// The row of a registration by itself.
    fn issuer_row(&self, wanted: &PutIssuer, development: bool) -> Result<IssuerRow, Failure> {
        let bad = |text: String| Failure::new(ErrorCode::BadRequest, text);
        if wanted.issuer.is_empty() || wanted.issuer.len() > 512 || wanted.issuer.contains(char::is_control) {
            return Err(bad("issuer is the exact `iss` of its JWTs, 1 to 512 bytes on one line".to_owned()));
        }
        if wanted.issuer == self.settings.name {
            // Holders of this installation's own tokens are named by it.
            return Err(bad("issuer is this installation's own name; register the JWTs' `iss`".to_owned()));
        }
        if let Some(name) = wanted.algorithms.iter().find(|name| Algorithm::from_name(name).is_none()) {
            let known: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
            return Err(bad(format!(
                "{name:?} is no algorithm for JWTs here; choose of {}",
                known.join(", ")
            )));
        }
        if wanted.algorithms.is_empty() {
            return Err(bad("algorithms names at least one, such as ES256".to_owned()));
        }
        let row = IssuerRow {
            issuer: wanted.issuer.clone(),
            algorithms: wanted.algorithms.clone(),
            keys: wanted.keys.clone(),
            jwks_url: wanted.jwks_url.clone(),
            discovery: wanted.discovery,
            development,
            created_at: self.now().millis(),
        };
        IssuerKeys::of(&row, &*self.fetch).map_err(|error| bad(error.to_string()))?;
        Ok(row)
    }

    /// Registers an issuer; `fill` adds what goes with it.
    pub(crate) async fn register_issuer(
        &self,
        audit: &mut AuditRecord,
        row: IssuerRow,
        fill: impl Fn(&mut Change) + Send + Sync,
    ) -> Result<Issuer, Failure> {
        let id = IssuerId::new_v7(row.created_at, &entropy::bytes());
        self.change_issuer(audit, id, 0, row, fill).await
    }

    /// Puts a registration of an issuer in the place of the one at this version; 0 = none.
    pub(crate) async fn change_issuer(
        &self,
        audit: &mut AuditRecord,
        id: IssuerId,
        replaced: u64,
        row: IssuerRow,
        fill: impl Fn(&mut Change) + Send + Sync,
    ) -> Result<Issuer, Failure> {
        let version = replaced + 1;
        let feed = [FeedRow::IssuerSet { issuer: id, version, at: row.created_at }];
        // Again, where nobody registers at the same moment: of two with one `iss` only one would ever be deleted.
        let check = |control: &Control| check_no_other(control, &row, Some(id));
        self.commit_control_if(audit, &feed, check, |change| {
            fill(change);
            change.expects.push(expect::<IssuerRow>(id.as_bytes(), replaced));
            change.puts.push(self.codec.write(id.as_bytes(), version, &row));
        })
        .await?;
        let keys = IssuerKeys::of(&row, &*self.fetch).map_err(Failure::internal)?;
        Ok(to_wire(&IssuerEntry { id, version, row, keys }))
    }

    /// Deletes an issuer, and revokes all JWTs that it has issued so far.
    ///
    /// # Errors
    /// Refused, or it is not registered; nothing was changed then.
    pub async fn delete_issuer(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: IssuerId,
        now: Timestamp,
    ) -> Result<Issuer, Failure> {
        principal.may_operate(audit, now)?;
        let entry = self.issuer(id)?;
        let (issuer, before, at) = (entry.row.issuer.clone(), all_so_far(now), now.millis());
        audit.set_detail(format_args!(
            "{}; JWTs issued before {} are revoked",
            described(&entry.row),
            rfc3339_seconds(before)
        ));
        let feed = [
            FeedRow::IssuerSet { issuer: id, version: entry.version + 1, at },
            FeedRow::JwtIssuerRevoked { issuer, before, at },
        ];
        self.commit_control(audit, &feed, |change| {
            change.expects.push(expect::<IssuerRow>(id.as_bytes(), entry.version));
            change.deletes.push((RecordKind::Issuer, id.as_bytes().to_vec()));
        })
        .await?;
        Ok(to_wire(&entry))
    }

    fn issuer(&self, id: IssuerId) -> Result<Arc<IssuerEntry>, Failure> {
        self.control().issuer_by_id(id).cloned().ok_or_else(no_such_issuer)
    }
}

/// Refuses a registration under the `iss` of another issuer.
fn check_no_other(control: &Control, row: &IssuerRow, id: Option<IssuerId>) -> Result<(), Failure> {
    match control.issuer(&row.issuer) {
        Some(entry) if id != Some(entry.id) => Err(Failure::new(
            ErrorCode::NameTaken,
            "this issuer is registered already; nothing was changed; `petsem issuer add --replace` asks for another \
             registration of it",
        )),
        _ => Ok(()),
    }
}

fn request(summary: String, asked: ProtectedChange, now: Timestamp) -> ApprovalRequest<'static> {
    ApprovalRequest {
        asked,
        summary,
        org: None,
        app: None,
        reason: "registration",
        ends_at: registration_ends(now),
    }
}

/// Told to operators alone, who may know all issuers.
fn no_such_issuer() -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        "there is no such issuer; nothing was changed; `petsem issuer list` shows all",
    )
}

/// An issuer as it is listed.
fn to_wire(entry: &IssuerEntry) -> Issuer {
    let IssuerEntry { id, row, keys, .. } = entry;
    Issuer {
        id: *id,
        issuer: row.issuer.clone(),
        algorithms: row.algorithms.clone(),
        development: row.development,
        keys_from: keys.from(),
        jwks_url: row.jwks_url.clone(),
        fetched: keys.published().map(|published| published.to_wire()),
    }
}

/// A registration in words: whoever approves it reads where the keys come from.
fn described(row: &IssuerRow) -> String {
    let issuer = row.issuer.escape_debug();
    match (&row.jwks_url, row.discovery) {
        (Some(url), _) => format!("the issuer {issuer}, keys from {}", url.escape_debug()),
        (None, true) => format!("the issuer {issuer}, keys by its discovery document"),
        (None, false) => {
            let keys = row.keys.as_ref().and_then(|set| set.get("keys")?.as_array()).map_or(0, Vec::len);
            format!("the issuer {issuer}, {keys} registered keys")
        }
    }
}
