//! Issuers: which JWTs this installation accepts. Registering or changing an issuer needs a second person, or the seal
//! opened on the node. Deleting one does not: it gives no access.
//!
//! An issuer that is registered again under a deleted `iss` is a new issuer: the deletion revoked all JWTs issued
//! before it, and everything derived from them.

use std::sync::Arc;

use petsem_api::{Approval, ErrorCode, Issuer, IssuerId, IssuerList, PutIssuer};
use petsem_policy::evaluate::{
    Algorithm, Jwks, MAX_BOOT_LIFE_SECONDS, MAX_LIFE_SECONDS, are_audiences, are_boot_claims,
    is_audience_claim,
};
use petsem_store::RecordKind;

use crate::approvals::key_digest::digest_of_keys;
use crate::approvals::request::{ApprovalRequest, DecidedRequest, registration_ends};
use crate::authn::issuer_keys::{IssuerKeys, algorithms_of, left_out, log_left_out};
use crate::authn::jwt::types_of;
use crate::authz::decide::Principal;
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::control::state::{Control, IssuerEntry};
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::{FeedRow, IssuerRow, ProtectedChange, expect};
use crate::request::{AuditRecord, local_record};
use crate::tokens::revoke::all_so_far;

impl Engine {
    /// Registers an issuer immediately, or changes its registration: on the node, with the seal opened for it.
    ///
    /// # Errors
    /// The registration is refused; nothing was changed.
    pub async fn add_issuer(&self, registration: &PutIssuer, replaces: bool) -> Result<Issuer, Failure> {
        let mut audit = local_record(self.now(), if replaces { "issuer.change" } else { "issuer.register" });
        let issuer = if replaces {
            let control = self.control();
            let entry = control.issuer(&registration.issuer).ok_or_else(messages::no_such_issuer)?;
            let row = self.check_issuer_change(entry.id, entry.version, registration)?;
            audit.set_detail(described(&row));
            self.change_issuer(&mut audit, entry.id, entry.version, row, None).await?
        } else {
            let row = self.check_issuer(registration, false)?;
            audit.set_detail(described(&row));
            self.register_issuer(&mut audit, row, None).await?
        };
        self.record(&audit).await?;
        Ok(issuer)
    }

    /// All registered issuers, for operators.
    ///
    /// # Errors
    /// The request is refused.
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

    /// Requests the registration of an issuer. It takes effect when a second person approves it.
    ///
    /// # Errors
    /// The request is refused; nothing was changed.
    pub async fn request_issuer(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        registration: PutIssuer,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let requester = &principal.may_operate(audit, now)?.token;
        let row = self.check_issuer(&registration, false)?;
        // The request is stored, too: only with the public members of its keys.
        let registration = PutIssuer { keys: row.keys.clone(), ..registration };
        let summary = messages::issuer_registration(&described(&row));
        self.request_registration(
            audit,
            requester,
            request(summary, ProtectedChange::Issuer(registration), now),
            now,
            None,
        )
        .await
    }

    /// Requests a changed registration of an issuer. It takes effect when a second person approves it.
    ///
    /// # Errors
    /// The request is refused; nothing was changed.
    pub async fn request_issuer_change(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: IssuerId,
        registration: PutIssuer,
        now: Timestamp,
    ) -> Result<Approval, Failure> {
        let requester = &principal.may_operate(audit, now)?.token;
        let expected_version = self.issuer(id)?.version;
        let row = self.check_issuer_change(id, expected_version, &registration)?;
        let registration = PutIssuer { keys: row.keys.clone(), ..registration };
        let summary = messages::issuer_change(&described(&row));
        let change = ProtectedChange::IssuerChange { id, expected_version, wanted: registration };
        self.request_registration(audit, requester, request(summary, change, now), now, None).await
    }

    /// Checks a registration and returns its row. Called before an approval is requested, and again after the approval.
    pub(crate) fn check_issuer(
        &self,
        registration: &PutIssuer,
        development: bool,
    ) -> Result<IssuerRow, Failure> {
        let row = self.issuer_row(registration, development)?;
        check_no_other(&self.control(), &row, None)?;
        Ok(row)
    }

    /// The same for a changed registration. The issuer must still be at the version that it had at the request.
    pub(crate) fn check_issuer_change(
        &self,
        id: IssuerId,
        expected_version: u64,
        registration: &PutIssuer,
    ) -> Result<IssuerRow, Failure> {
        let entry = self.issuer(id)?;
        let row = self.issuer_row(registration, entry.row.development)?;
        if entry.row.issuer != registration.issuer {
            return Err(messages::iss_cannot_change());
        }
        if entry.version != expected_version {
            return Err(messages::issuer_changed_meanwhile());
        }
        Ok(row)
    }

    /// Checks a registration by itself, without regard to other issuers, and returns its row.
    fn issuer_row(&self, registration: &PutIssuer, development: bool) -> Result<IssuerRow, Failure> {
        if registration.issuer.is_empty()
            || registration.issuer.len() > 512
            || registration.issuer.contains(char::is_control)
        {
            return Err(messages::invalid_iss());
        }
        if registration.issuer == self.settings.name {
            // It names the holders of this installation's own tokens.
            return Err(messages::iss_is_own_name());
        }
        if let Some(name) = registration.algorithms.iter().find(|name| Algorithm::from_name(name).is_none()) {
            return Err(messages::unsupported_algorithm(name));
        }
        if registration.algorithms.is_empty() {
            return Err(messages::no_algorithm());
        }
        let mut algorithms = registration.algorithms.clone();
        algorithms.sort_unstable();
        algorithms.dedup();
        if algorithms.len() != registration.algorithms.len() {
            return Err(messages::repeated_algorithm());
        }
        if let Some(claims) = &registration.boot_claims
            && !are_boot_claims(&[&claims.app, &claims.machine])
        {
            return Err(messages::invalid_boot_claims());
        }
        check_jwts(registration, &self.settings.name)?;
        let row = IssuerRow {
            issuer: registration.issuer.clone(),
            algorithms: registration.algorithms.clone(),
            keys: registration.keys.as_ref().map(Jwks::public_members),
            jwks_url: registration.jwks_url.clone(),
            discovery: registration.discovery,
            longest_life_seconds: registration.longest_life_seconds,
            longest_boot_life_seconds: registration.longest_boot_life_seconds,
            audiences: registration.audiences.clone(),
            audience_claim: registration.audience_claim.clone(),
            types: registration.types.clone(),
            boot_claims: registration.boot_claims.clone(),
            development,
            created_at: self.now().millis(),
        };
        IssuerKeys::of(&row, &*self.fetch)
            .map_err(|error| messages::refused(ErrorCode::BadRequest, &error))?;
        if let Some(keys) = &registration.keys {
            Jwks::parse(&keys.to_string(), &algorithms_of(&row))
                .map_err(|error| messages::refused(ErrorCode::BadRequest, &error))?;
        }
        Ok(row)
    }

    /// Registers an issuer, and decides the request that led to it in the same transaction.
    pub(crate) async fn register_issuer(
        &self,
        audit: &mut AuditRecord,
        row: IssuerRow,
        decided: Option<&DecidedRequest>,
    ) -> Result<Issuer, Failure> {
        let id = IssuerId::new_v7(row.created_at, &entropy::bytes());
        self.change_issuer(audit, id, 0, row, decided).await
    }

    /// Replaces the registration at version `replaced` (0 = none yet).
    pub(crate) async fn change_issuer(
        &self,
        audit: &mut AuditRecord,
        id: IssuerId,
        replaced: u64,
        row: IssuerRow,
        decided: Option<&DecidedRequest>,
    ) -> Result<Issuer, Failure> {
        let version = replaced + 1;
        let set = FeedRow::IssuerSet { issuer: id, version, at: row.created_at };
        let feed: Vec<FeedRow> = std::iter::once(set).chain(decided.map(DecidedRequest::feed)).collect();
        // Checked again inside the commit: with two rows for one `iss`, a deletion would remove only one of them.
        let check = |control: &Control| check_no_other(control, &row, Some(id));
        self.commit_control_if(audit, &feed, check, |change| {
            if let Some(request) = decided {
                request.add_to(&self.codec, change);
            }
            change.expects.push(expect::<IssuerRow>(id.as_bytes(), replaced));
            change.puts.push(self.codec.write(id.as_bytes(), version, &row));
        })
        .await?;
        let keys = IssuerKeys::of(&row, &*self.fetch).map_err(Failure::internal)?;
        log_left_out(&row.issuer, &keys.available());
        Ok(to_wire(&IssuerEntry { id, version, row, keys }))
    }

    /// Deletes an issuer and revokes all JWTs that it has issued so far.
    ///
    /// # Errors
    /// The request is refused, or the issuer is not registered; nothing was changed.
    pub async fn delete_issuer(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        id: IssuerId,
        now: Timestamp,
    ) -> Result<Issuer, Failure> {
        principal.may_operate(audit, now)?;
        self.remove_issuer(audit, id).await
    }

    /// [`Self::delete_issuer`], once that is decided.
    pub(crate) async fn remove_issuer(
        &self,
        audit: &mut AuditRecord,
        id: IssuerId,
    ) -> Result<Issuer, Failure> {
        let (entry, now) = (self.issuer(id)?, self.now());
        let (issuer, before, at) = (entry.row.issuer.clone(), all_so_far(now), now.millis());
        audit.set_detail(messages::issuer_deleted(&described(&entry.row), &rfc3339_seconds(before)));
        let feed =
            [FeedRow::IssuerDeleted { issuer: id, at }, FeedRow::JwtIssuerRevoked { issuer, before, at }];
        self.commit_control(audit, &feed, |change| {
            change.expects.push(expect::<IssuerRow>(id.as_bytes(), entry.version));
            change.deletes.push((RecordKind::Issuer, id.as_bytes().to_vec()));
        })
        .await?;
        Ok(to_wire(&entry))
    }

    fn issuer(&self, id: IssuerId) -> Result<Arc<IssuerEntry>, Failure> {
        self.control().issuer_by_id(id).cloned().ok_or_else(messages::no_such_issuer)
    }
}

/// Checks what a registration states about its JWTs.
fn check_jwts(registration: &PutIssuer, own_name: &str) -> Result<(), Failure> {
    let is_within = |life: Option<u32>, most| life.is_none_or(|life| (1..=most).contains(&life));
    if !is_within(registration.longest_life_seconds, MAX_LIFE_SECONDS)
        || !is_within(registration.longest_boot_life_seconds, MAX_BOOT_LIFE_SECONDS)
    {
        return Err(messages::invalid_longest_life());
    }
    let audiences = &registration.audiences;
    if !are_audiences(audiences) || audiences.iter().any(|audience| audience == own_name) {
        return Err(messages::invalid_audiences());
    }
    let boot_claims = registration.boot_claims.as_ref();
    let names_boots = |name| boot_claims.is_some_and(|boot| name == boot.app || name == boot.machine);
    let audience_claim = registration.audience_claim.as_deref();
    if !audience_claim.is_none_or(|name| is_audience_claim(name) && !names_boots(name)) {
        return Err(messages::invalid_audience_claim());
    }
    types_of(&registration.types).map(|_| ()).ok_or_else(messages::invalid_types)
}

/// Refuses a registration under the `iss` of another issuer.
fn check_no_other(control: &Control, row: &IssuerRow, id: Option<IssuerId>) -> Result<(), Failure> {
    match control.issuer(&row.issuer) {
        Some(entry) if id != Some(entry.id) => Err(messages::issuer_registered()),
        _ => Ok(()),
    }
}

fn request(summary: String, change: ProtectedChange, now: Timestamp) -> ApprovalRequest<'static> {
    ApprovalRequest {
        change,
        summary,
        org: None,
        app: None,
        reason: "registration",
        ends_at: registration_ends(now),
    }
}

/// The issuer in its wire form.
fn to_wire(entry: &IssuerEntry) -> Issuer {
    let IssuerEntry { id, row, keys, .. } = entry;
    let available = keys.available();
    Issuer {
        id: *id,
        issuer: row.issuer.clone(),
        algorithms: row.algorithms.clone(),
        development: row.development,
        keys_from: keys.from(),
        jwks_url: row.jwks_url.clone(),
        longest_life_seconds: row.longest_life_seconds,
        longest_boot_life_seconds: row.longest_boot_life_seconds,
        audiences: row.audiences.clone(),
        audience_claim: row.audience_claim.clone(),
        types: row.types.clone(),
        boot_claims: row.boot_claims.clone(),
        usable_keys: available.len() as u64,
        left_out: left_out(&available),
        left_out_count: available.left_out_count() as u64,
        fetched: keys.published().map(|published| published.to_wire()),
    }
}

/// A registration in words. It names the source of the keys and the claims, for the person who approves it.
fn described(row: &IssuerRow) -> String {
    let issuer = row.issuer.escape_debug();
    let described = match (&row.jwks_url, row.discovery) {
        (Some(url), _) => messages::issuer_with_keys_url(&issuer, &url.escape_debug()),
        (None, true) => messages::issuer_with_discovery(&issuer),
        (None, false) => {
            let text = row.keys.as_ref().map_or_else(String::new, ToString::to_string);
            // The row was checked, so it has keys.
            let keys = Jwks::parse(&text, &Algorithm::ALL).unwrap_or_default();
            messages::issuer_with_keys(&issuer, &keys.thumbprints(), &digest_of_keys(&keys))
        }
    };
    let lives = (row.longest_life_seconds, row.longest_boot_life_seconds);
    let claim = row.audience_claim.as_deref();
    let described =
        messages::issuer_with_jwts(described, &row.algorithms, lives, claim, &row.audiences, &row.types);
    match &row.boot_claims {
        None => described,
        Some(claims) => {
            let (app, machine) = (claims.app.escape_debug(), claims.machine.escape_debug());
            messages::issuer_with_boot_claims(&described, &app, &machine)
        }
    }
}
