//! Which secrets a workload read covers: those that the policy's rule and, for an exchanged token, its caveats allow.

use std::net::IpAddr;

use petsem_api::SecretName;
use petsem_policy::evaluate::{Claims, ReadableSecrets};
use petsem_policy::{Action, Exchanged, Token};

use crate::authn::tokens::Verified;
use crate::authz::decide::check_work;
use crate::authz::target::AccessTarget;
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::tenancy::found::FoundApp;

/// A workload that a rule of the app's policy allows to read something.
pub(crate) struct Workload<'p> {
    /// What the rule, or the rules, let it read.
    pub(crate) secrets: ReadableSecrets,
    /// Set if the workload uses a token that a JWT was exchanged for.
    pub(crate) exchange: Option<Exchange<'p>>,
}

/// An exchanged token.
pub(crate) struct Exchange<'p> {
    pub(crate) verified: &'p Verified,
    pub(crate) now: Timestamp,
    pub(crate) peer: Option<IpAddr>,
}

impl Workload<'_> {
    /// Refuses to decide on so many names if that is too much work.
    pub(crate) fn check_work(&self, names: usize) -> Result<(), Failure> {
        let token = self.exchange.as_ref().map(|exchange| &exchange.verified.token);
        check_work(names, token.map_or(0, Token::weight))
    }

    /// Whether the workload may read this secret.
    pub(crate) fn may_read(&self, app: &FoundApp, name: &SecretName) -> bool {
        let allows = |Exchange { verified, now, peer }: &Exchange<'_>| {
            let target =
                AccessTarget { app: Some(app), secret: Some(name), peer: *peer, ..AccessTarget::default() };
            verified.allows(&target.access(Action::ReadValue, *now)).is_ok()
        };
        self.secrets.contains(name.as_str()) && self.exchange.as_ref().is_none_or(allows)
    }
}

/// What the rule evaluated of the claims at the exchange, with their JSON types.
pub(crate) fn claims_of(exchanged: &Exchanged) -> Result<Claims, Failure> {
    let claims = serde_json::from_str(&exchanged.claims).map_err(Failure::internal)?;
    Ok(Claims::from_exchange(claims, exchanged.issued, exchanged.expires))
}
