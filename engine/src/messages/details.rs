//! The `detail` of audit lines.

use std::fmt::Display;

use data_encoding::HEXLOWER;
use petsem_api::{ApprovalId, SigningKeyId, TokenUuid};
use petsem_policy::Action;

pub(crate) const POLICIES_GUARDED: &str = "policies are guarded from now on";

pub(crate) fn altered_line() -> String {
    "the kept audit line of this change was altered in the store".to_owned()
}

pub(crate) fn node_added(name: &str, node: &[u8; 16]) -> String {
    format!("node {} ({name})", HEXLOWER.encode(node))
}

/// A requester, and the people who minted its token.
pub(crate) fn minted_by(requester: &str, minters: &[String]) -> String {
    format!("{requester}, with a token minted by {}", minters.join(", "))
}

pub(crate) fn requested_by(person: &str) -> String {
    format!("requested by {person}")
}

pub(crate) fn request_made(id: ApprovalId, summary: &str, reason: &str) -> String {
    format!("request {id}: {summary}; reason: {reason}")
}

pub(crate) fn request_of(id: ApprovalId, summary: &str, requester: &str) -> String {
    format!("request {id}: {summary}; {}", requested_by(requester))
}

pub(crate) fn approved_request(id: ApprovalId, summary: &str, requester: &str, approver: &str) -> String {
    format!("{}; approved by {approver}", request_of(id, summary, requester))
}

pub(crate) fn request_waits(id: ApprovalId) -> String {
    format!("request {id} waits for a second person")
}

pub(crate) fn request_ended(id: ApprovalId) -> String {
    format!("request {id} was denied or has expired")
}

pub(crate) fn discharge_of_request(discharge: impl Display, request: &str) -> String {
    format!("discharge {discharge} of {request}")
}

pub(crate) fn break_glass_read(id: ApprovalId, requester: &str, approver: &str, reason: &str) -> String {
    format!(
        "break-glass, request {id}; {}; approved by {approver}; reason: {reason}",
        requested_by(requester)
    )
}

pub(crate) fn proved_by_jwt(subject: Option<&str>, issuer: &str, rule: &str) -> String {
    let subject = subject.unwrap_or("an unnamed subject");
    format!("{} of {issuer}, rule {rule}", requested_by(subject))
}

pub(crate) fn proved_by_token(subject: &str, id: TokenUuid) -> String {
    format!("{}, token {id}", requested_by(subject))
}

pub(crate) fn proved_by_discharger(subject: &str, discharger: &str) -> String {
    format!("{} of the discharger {discharger}", requested_by(subject))
}

pub(crate) fn booted_by(discharge: TokenUuid, proof: &str) -> String {
    format!("discharge {discharge}, {proof}")
}

pub(crate) fn renewed_by(discharge: TokenUuid, renewal: &dyn Display, proof: &str) -> String {
    format!("discharge {discharge}, renewal {renewal}, {proof}")
}

pub(crate) fn discharged_for(discharge: &dyn Display, host: &dyn Display, proof: &str) -> String {
    format!("discharge {discharge} for host {host}, {proof}")
}

pub(crate) fn allowed_by_rule(rule: &str) -> String {
    format!("rule {rule}")
}

pub(crate) fn exchanged_by_rule(rule: &str) -> String {
    format!("exchanged token, rule {rule}")
}

pub(crate) fn token_exchanged(id: TokenUuid, rule: &str, until: &str) -> String {
    format!("token {id}, rule {rule}, until {until}")
}

pub(crate) fn token_for(id: TokenUuid, subject: &str) -> String {
    format!("token {id} for {subject}")
}

pub(crate) fn host_token_for(host: &dyn Display) -> String {
    format!("host token for {host}")
}

/// Who enrolled a host, in the list of tokens.
pub(crate) fn enroller(person: &str, request: ApprovalId) -> String {
    format!("{person}, request {request}")
}

pub(crate) fn explains(action: Action) -> String {
    format!("explains {action}")
}

pub(crate) fn revokes_token(id: TokenUuid) -> String {
    format!("revokes token {id}")
}

pub(crate) fn revokes_machine(machine: &dyn Display, app: &dyn Display) -> String {
    format!("revokes Machine {machine} of app {app}")
}

pub(crate) fn revokes_host(host: &dyn Display) -> String {
    format!("revokes host {host}")
}

pub(crate) fn revokes_signing_key(id: SigningKeyId) -> String {
    format!("revokes signing key {id}")
}

pub(crate) fn revokes_subject(subject: &str, issuer: &str, before: &str) -> String {
    format!("revokes JWTs of {subject:?} from {issuer} issued before {before}")
}

pub(crate) fn revokes_discharger_subject(subject: &str, discharger: &str, before: &str) -> String {
    format!("revokes boots of {subject:?} that {discharger:?} proved before {before}")
}

pub(crate) fn revokes_issuer(issuer: &str, before: &str) -> String {
    format!("revokes all JWTs from {issuer} issued before {before}")
}

pub(crate) fn revokes_jwt(jti: &str, issuer: &str) -> String {
    format!("revokes JWT {jti:?} of {issuer}")
}

pub(crate) fn issuer_deleted(registration: &str, before: &str) -> String {
    format!("{registration}; JWTs issued before {before} are revoked")
}

pub(crate) fn discharger(id: &str, location: &str) -> String {
    format!("discharger {id} at {location}")
}

pub(crate) fn org_created(name: &dyn Display) -> String {
    format!("org {name}")
}

pub(crate) fn app_created(name: &dyn Display, id: impl Display) -> String {
    format!("app {name} {id}")
}

pub(crate) fn policy_version(version: u64) -> String {
    format!("policy version {version}")
}

pub(crate) fn restored_from(version: u64) -> String {
    format!("to the value of version {version}")
}

pub(crate) fn key_type(kind: impl Display) -> String {
    format!("type {kind}")
}

pub(crate) fn signing_key(id: SigningKeyId) -> String {
    format!("signing key {id}")
}

pub(crate) fn keyring_version(version: u32) -> String {
    format!("keyring version {version}")
}

pub(crate) fn kek_version(version: u32, rewrites_values: bool) -> String {
    let rewritten = if rewrites_values { ", values rewritten" } else { "" };
    format!("KEK version {version}{rewritten}")
}

pub(crate) fn only_kek_version(version: u32) -> String {
    format!("only KEK version {version} is left")
}

pub(crate) fn root_key(version: u32, seals: usize, dropped: usize) -> String {
    format!("root key {version} under {seals} seals, {dropped} dropped")
}

pub(crate) fn changed_seal(kind: &str, id: &str, description: &str) -> String {
    format!("{kind} seal {id} ({description})")
}

pub(crate) fn entries_dropped(number: usize) -> String {
    format!("{number} entries that refuse nothing any more")
}
