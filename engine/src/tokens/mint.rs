//! Mints tokens from tokens. A minted token never allows more than its parent. The one exception, fixed here, is
//! `enroll`: its tokens allow nothing without a discharge, and a second person approves their hosts.

use petsem_api::{
    CreateToken, ErrorCode, HostId, MintedToken, OrgId, OrgRef, SigningKeyId, TokenKind, TokenUuid,
};
use petsem_policy::{
    Action, ActionSet, Actions, AddError, Ancestors, Apps, Caveat, CaveatSet, Hosts, InheritError,
    MAX_ANCESTORS, Macaroon, Machines, Organization, PetsemCaveat, SecretNames, Subject,
};
use petsem_store::AppPart;

use crate::authn::token_id::token_uuid;
use crate::authn::tokens::{Verified, author_of, holder};
use crate::authz::decide::Principal;
use crate::authz::target::AccessTarget;
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::control::state::SigningEntry;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::messages;
use crate::records::TokenRow;
use crate::request::AuditRecord;

const DAY: u64 = 24 * 60 * 60;
/// Longest lifetime of a host token, in seconds.
const LONGEST_HOST: u64 = 30 * DAY;
/// Longest lifetime of any other token, in seconds.
pub(crate) const LONGEST: u64 = 366 * DAY;
/// Longest minted token, as text: four of them fit into a header.
const LONGEST_TEXT: usize = 16 * 1024;

/// A token to mint, for the platform or for the org of its key.
pub(crate) struct NewToken<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) key: &'a SigningEntry,
    /// Its holder, for the list of tokens.
    pub(crate) subject: String,
    /// Revoking one of these tokens revokes it, too.
    pub(crate) ancestors: Vec<TokenUuid>,
    pub(crate) caveats: Vec<Caveat>,
    /// When it expires, in Unix seconds. The caveats must say so, too.
    pub(crate) expires: i64,
}

impl Engine {
    /// Mints a token from the principal's token.
    pub async fn create_token(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        wanted: &CreateToken,
        now: Timestamp,
    ) -> Result<MintedToken, Failure> {
        match wanted.kind {
            TokenKind::Host => self.enroll(audit, principal, wanted, now).await,
            TokenKind::BreakGlass => Err(messages::break_glass_needs_reason()),
            TokenKind::Operator => {
                let parent = principal.require(audit, &AccessTarget::default(), Action::Mint, now)?;
                if parent.org.is_some() {
                    return Err(messages::only_operators_mint_operators());
                }
                refuse_fields(wanted, &[("org", wanted.org.is_some())])?;
                refuse_host_fields(wanted)?;
                let caveats = self.narrowing(wanted, None).await?;
                self.mint_child(audit, parent, None, wanted, caveats, now).await
            }
            TokenKind::Org => {
                refuse_host_fields(wanted)?;
                let org = wanted.org.as_ref().ok_or_else(messages::token_names_no_org)?;
                let found = self.find_org(org).await?;
                let target =
                    AccessTarget { org: found.as_ref().map(|org| org.id), ..AccessTarget::default() };
                let parent = principal.require(audit, &target, Action::Mint, now)?;
                let org = found.ok_or_else(messages::no_such_org)?.id;
                audit.set_org(org);
                let mut caveats = vec![Organization { org: *org.as_bytes() }.into()];
                caveats.extend(self.narrowing(wanted, Some(org)).await?);
                self.mint_child(audit, parent, Some(org), wanted, caveats, now).await
            }
        }
    }

    /// A host token: valid for one host, and only with a discharge.
    async fn enroll(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        wanted: &CreateToken,
        now: Timestamp,
    ) -> Result<MintedToken, Failure> {
        let host = wanted.host.as_ref().ok_or_else(messages::token_names_no_host)?;
        let narrowing = [
            ("org", wanted.org.is_some()),
            ("apps", !wanted.apps.is_empty()),
            ("secrets", !wanted.secrets.is_empty()),
            ("secret_prefixes", !wanted.secret_prefixes.is_empty()),
            ("actions", !wanted.actions.is_empty()),
            ("machines", !wanted.machines.is_empty()),
            ("subject", wanted.subject.is_some()),
        ];
        refuse_fields(wanted, &narrowing)?;
        let target = AccessTarget { host: Some(host), ..AccessTarget::default() };
        let parent = principal.require(audit, &target, Action::Enroll, now)?;
        audit.set_detail(messages::host_token_for(&host));
        self.check_hosts(std::slice::from_ref(host)).await?;
        let request = self.approved_enrollment(&parent.token, host, now).await?;
        let author = messages::enroller(&author_of(&parent.token), request);
        let life = life_of(wanted, DAY, LONGEST_HOST)?;
        let ancestors = parent.token.lineage();
        if ancestors.0.len() > MAX_ANCESTORS {
            return Err(messages::refused(ErrorCode::BadRequest, &InheritError::TooManyAncestors));
        }
        let location = wanted.discharger.as_deref();
        self.mint_host_token(audit, host, location, ancestors, author, life, now).await
    }

    /// Mints the token itself; `ancestors` may revoke it. Its discharges come from the discharger at `location`,
    /// else from this installation.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the token")]
    pub(crate) async fn mint_host_token(
        &self,
        audit: &mut AuditRecord,
        host: &HostId,
        location: Option<&str>,
        ancestors: Ancestors,
        author: String,
        life: u64,
        now: Timestamp,
    ) -> Result<MintedToken, Failure> {
        let control = self.control();
        let key = &*control.key_for_new_tokens(None).await?;
        let discharger = match location {
            None => control.own_discharger(&self.settings.discharger_location)?,
            Some(location) => control.newest_discharger(location)?,
        };
        let expires = now.seconds_after(life);
        let subject = Subject { issuer: self.settings.name.clone(), sub: format!("host:{host}") };
        let parents = ancestors.0.iter().map(|id| token_uuid(*id)).collect();
        let caveats = vec![
            subject.into(),
            ancestors.into(),
            Actions(ActionSet::from_iter([Action::Boot])).into(),
            Hosts::new([host.to_string()]).into(),
            window(now, expires),
        ];
        let new = NewToken {
            kind: TokenKind::Host,
            key,
            subject: format!("{}{author}", host_subject(host)),
            ancestors: parents,
            caveats,
            expires,
        };
        let (mut macaroon, row) = self.mint(new, now).map_err(Failure::internal)?;
        let conditions = CaveatSet::new(vec![
            Hosts::new([host.to_string()]).into(),
            Actions(ActionSet::from_iter([Action::Boot])).into(),
        ]);
        macaroon
            .add_third_party(&discharger.location, &discharger.key, &conditions, &mut entropy::rng())
            .map_err(Failure::internal)?;
        self.record_token(audit, macaroon, row).await
    }

    /// A child of the parent token: the parent's caveats, and these.
    async fn mint_child(
        &self,
        audit: &mut AuditRecord,
        parent: &Verified,
        org: Option<OrgId>,
        wanted: &CreateToken,
        caveats: Vec<Caveat>,
        now: Timestamp,
    ) -> Result<MintedToken, Failure> {
        let control = self.control();
        let key = &*control.key_for_new_tokens(org).await?;
        let inherited =
            parent.token.inherit().map_err(|error| messages::refused(ErrorCode::Forbidden, &error))?;
        let life = life_of(wanted, DAY, LONGEST)?;
        let latest = now.seconds_after(life);
        let expires = parent.token.expires_at().map_or(latest, |end| end.min(latest));
        let mut all = inherited.as_slice().to_vec();
        let mut subject = author_of(&parent.token);
        if let Some(sub) = &wanted.subject {
            // Rules about second persons compare the minter, too.
            check_name(sub)?;
            let named = Subject { issuer: self.settings.name.clone(), sub: sub.clone() };
            subject = holder(&named);
            all.retain(|caveat| {
                !matches!(PetsemCaveat::of(caveat), Some(Ok(Some(PetsemCaveat::Subject(_)))))
            });
            all.insert(0, named.into());
        }
        all.extend(caveats);
        all.push(window(now, expires));
        let new = NewToken {
            kind: if org.is_some() { TokenKind::Org } else { TokenKind::Operator },
            key,
            subject,
            ancestors: parent.token.lineage().0.iter().map(|id| token_uuid(*id)).collect(),
            caveats: all,
            expires,
        };
        let (macaroon, row) =
            self.mint(new, now).map_err(|error| messages::refused(ErrorCode::BadRequest, &error))?;
        self.record_token(audit, macaroon, row).await
    }

    /// Mints an operator's token on the node and records it. `life` is in seconds.
    ///
    /// # Errors
    /// The name or the lifetime is refused. Nothing was changed.
    pub async fn mint_operator_token(
        &self,
        source: &str,
        action: &'static str,
        operator: &str,
        life: u64,
    ) -> Result<MintedToken, Failure> {
        let now = self.now();
        let mut audit = AuditRecord::on_node(now, source, action);
        let subject = Subject { issuer: self.settings.name.clone(), sub: operator.to_owned() };
        let token = self.mint_first_token(&mut audit, subject, life, now).await?;
        self.record(&audit).await?;
        Ok(token)
    }

    /// Mints the token of an org's owner on the node and records it. `life` is in seconds.
    ///
    /// # Errors
    /// There is no such org, or the name or the lifetime is refused. Nothing was changed.
    pub async fn mint_owner(
        &self,
        source: &str,
        org: &OrgRef,
        owner: &str,
        life: u64,
    ) -> Result<MintedToken, Failure> {
        let now = self.now();
        let mut audit = AuditRecord::on_node(now, source, "operator.owner");
        let org = self.find_org(org).await?.ok_or_else(messages::no_such_org)?;
        let subject = Subject { issuer: self.settings.name.clone(), sub: owner.to_owned() };
        let token = self.mint_owner_token(&mut audit, org.id, subject, life, now).await?;
        self.record(&audit).await?;
        Ok(token)
    }

    /// The first operator's token. No route calls this: only `petsem operator init` and `petsem dev`, on the node.
    pub(crate) async fn mint_first_token(
        &self,
        audit: &mut AuditRecord,
        subject: Subject,
        life: u64,
        now: Timestamp,
    ) -> Result<MintedToken, Failure> {
        // A token that may enroll hosts must not be able to prove boots, nor to mint tokens that can.
        let everything =
            Action::ALL.into_iter().filter(|action| !matches!(action, Action::ReadValue | Action::Boot));
        self.mint_on_node(audit, None, subject, ActionSet::from_iter(everything), life, now).await
    }

    /// The first token of an org's owner, which may also prove boots. No route calls this: only
    /// `petsem operator owner` and `petsem dev`, on the node, after opening the seal.
    pub(crate) async fn mint_owner_token(
        &self,
        audit: &mut AuditRecord,
        org: OrgId,
        subject: Subject,
        life: u64,
        now: Timestamp,
    ) -> Result<MintedToken, Failure> {
        let allowed = [
            Action::Write,
            Action::List,
            Action::Delete,
            Action::UseKey,
            Action::Boot,
            Action::ManagePolicy,
            Action::Mint,
        ];
        self.mint_on_node(audit, Some(org), subject, ActionSet::from_iter(allowed), life, now).await
    }

    /// A token without a parent, for the platform or for an org.
    async fn mint_on_node(
        &self,
        audit: &mut AuditRecord,
        org: Option<OrgId>,
        subject: Subject,
        allowed: ActionSet,
        life: u64,
        now: Timestamp,
    ) -> Result<MintedToken, Failure> {
        check_first_token(&subject.sub, life)?;
        let control = self.control();
        let key = &*control.key_for_new_tokens(org).await?;
        let expires = now.seconds_after(life);
        let holder = holder(&subject);
        let mut caveats: Vec<Caveat> = vec![subject.into()];
        if let Some(org) = org {
            audit.set_org(org);
            caveats.push(Organization { org: *org.as_bytes() }.into());
        }
        caveats.extend([Actions(allowed).into(), window(now, expires)]);
        let new = NewToken {
            kind: if org.is_some() { TokenKind::Org } else { TokenKind::Operator },
            key,
            subject: holder,
            ancestors: Vec::new(),
            caveats,
            expires,
        };
        let (macaroon, row) = self.mint(new, now).map_err(Failure::internal)?;
        self.record_token(audit, macaroon, row).await
    }

    /// Signs a new token, and makes the row that lists it.
    pub(crate) fn mint(&self, new: NewToken<'_>, now: Timestamp) -> Result<(Macaroon, TokenRow), AddError> {
        let NewToken { kind, key, subject, ancestors, caveats, expires } = new;
        let row = TokenRow {
            kind,
            org: key.org,
            key: SigningKeyId::from_bytes(key.id),
            subject,
            ancestors,
            caveats: caveats.iter().map(Caveat::describe).collect(),
            created_at: now.millis(),
            expires_at: expires,
        };
        Ok((self.sign_macaroon(key, caveats)?, row))
    }

    /// A new token with these caveats.
    pub(crate) fn sign_macaroon(
        &self,
        key: &SigningEntry,
        caveats: Vec<Caveat>,
    ) -> Result<Macaroon, AddError> {
        let mut macaroon =
            Macaroon::mint(&key.key, &key.id, &self.settings.location, false, &mut entropy::rng());
        macaroon.add(caveats)?;
        Ok(macaroon)
    }

    async fn record_token(
        &self,
        audit: &mut AuditRecord,
        macaroon: Macaroon,
        row: TokenRow,
    ) -> Result<MintedToken, Failure> {
        let text = macaroon.to_text();
        if text.len() > LONGEST_TEXT {
            return Err(messages::token_too_large(text.len(), LONGEST_TEXT));
        }
        let id = token_uuid(macaroon.id());
        audit.set_detail(messages::token_for(id, &row.subject));
        let mut change = self.change(audit);
        change.puts.push(self.codec.write(id.as_bytes(), 1, &row));
        self.commit(audit, change).await?;
        Ok(MintedToken { id, token: text.to_string(), expires_at: rfc3339_seconds(row.expires_at) })
    }

    /// The caveats that the request adds to the new token.
    async fn narrowing(&self, wanted: &CreateToken, org: Option<OrgId>) -> Result<Vec<Caveat>, Failure> {
        let mut caveats = Vec::new();
        if !wanted.apps.is_empty() {
            let mut ids = Vec::with_capacity(wanted.apps.len());
            for app in &wanted.apps {
                let found = self.find_app_with(app, AppPart::Head).await?;
                let found = found.filter(|app| org.is_none_or(|org| org == app.head.org));
                ids.push(found.ok_or_else(messages::no_such_app)?.id);
            }
            caveats.push(Apps::new(ids.iter().map(|id| *id.as_bytes())).into());
        }
        if !wanted.secrets.is_empty() || !wanted.secret_prefixes.is_empty() {
            let names = wanted.secrets.iter().map(ToString::to_string);
            caveats.push(SecretNames::new(names, wanted.secret_prefixes.iter().cloned()).into());
        }
        if !wanted.actions.is_empty() {
            let actions =
                wanted.actions.iter().map(|name| Action::from_name(name)).collect::<Option<Vec<_>>>();
            let actions = actions.ok_or_else(messages::unknown_action)?;
            caveats.push(Actions(ActionSet::from_iter(actions)).into());
        }
        if !wanted.machines.is_empty() {
            caveats.push(Machines::new(wanted.machines.iter().map(ToString::to_string)).into());
        }
        Ok(caveats)
    }
}

/// How the subject of a host's token begins.
pub(crate) fn host_subject(host: &HostId) -> String {
    format!("host:{host}, enrolled by ")
}

/// The host whose token this is.
pub(crate) fn host_of(row: &TokenRow) -> Option<HostId> {
    let named = row.subject.strip_prefix("host:").filter(|_| row.kind == TokenKind::Host)?;
    named.split_once(", enrolled by ")?.0.parse().ok()
}

/// The time in which a new token or discharge is valid. `expires` is in Unix seconds.
pub(crate) fn window(now: Timestamp, expires: i64) -> Caveat {
    // Windows are checked without leeway, so a token that was minted on a fast clock would fail at first.
    Caveat::ValidityWindow { not_before: now.seconds().saturating_sub(30), not_after: expires }
}

/// A holder must be a valid name, because second persons are compared with it.
fn check_name(sub: &str) -> Result<(), Failure> {
    if sub.trim().is_empty() || sub.len() > 256 || sub.contains(char::is_control) {
        return Err(messages::invalid_holder());
    }
    Ok(())
}

/// Checks the holder and lifetime of a token that is minted on the node, before anything is created.
pub fn check_first_token(sub: &str, life: u64) -> Result<(), Failure> {
    check_name(sub)?;
    if !(1..=LONGEST).contains(&life) {
        return Err(messages::invalid_first_life(LONGEST / DAY));
    }
    Ok(())
}

fn life_of(wanted: &CreateToken, default: u64, longest: u64) -> Result<u64, Failure> {
    match wanted.expires_in.unwrap_or(default) {
        0 => Err(messages::token_life_too_short()),
        life if life > longest => Err(messages::token_life_too_long(longest)),
        life => Ok(life),
    }
}

/// Refuses fields that only host tokens have.
fn refuse_host_fields(wanted: &CreateToken) -> Result<(), Failure> {
    refuse_fields(wanted, &[("host", wanted.host.is_some()), ("discharger", wanted.discharger.is_some())])
}

/// Refuses fields that this kind of token does not have: they would restrict nothing.
fn refuse_fields(wanted: &CreateToken, fields: &[(&str, bool)]) -> Result<(), Failure> {
    match fields.iter().find(|(_, present)| *present) {
        None => Ok(()),
        Some((field, _)) => Err(messages::field_not_of_kind(kind_name(wanted.kind), field)),
    }
}

/// As the wire has it.
fn kind_name(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Operator => "operator",
        TokenKind::Host => "host",
        TokenKind::Org => "org",
        TokenKind::BreakGlass => "break_glass",
    }
}
