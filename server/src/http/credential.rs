//! Who may call a route. The type of the credential in a handler is the declaration: the route verifies it before the
//! handler runs, and names it in the OpenAPI document.

use std::future::Future;

use petsem_api::ErrorCode;
use petsem_engine::{AuditRecord, Engine, Failure, Principal, Proof, Reader, Verified};
use petsem_policy::{TokenId, UnverifiedToken};

use super::body_queue::UnprovenBodyQueue;
use super::request::Incoming;
use crate::http::permits::of_org;
use crate::http::state::ServerState;

/// Longest signature of a JWT: RSA with 8192 bits, in base64.
const LONGEST_SIGNATURE: usize = 1366;

/// A credential that a route accepts.
pub(crate) trait Credential: Sized + Send + Sync + 'static {
    /// Names of the security schemes of the document, one of which is needed; none for a route without a credential.
    const SCHEMES: &'static [&'static str];
    /// The codes of its refusals.
    const REFUSALS: &'static [&'static [ErrorCode]];

    /// Verifies it.
    fn of(incoming: &Incoming, audit: &mut AuditRecord)
    -> impl Future<Output = Result<Self, Failure>> + Send;

    /// The parties whose requests, and the memory of whose bodies, are bounded: a token, its org, and the issuer of a
    /// JWT.
    fn holders(&self) -> Vec<String> {
        Vec::new()
    }

    /// Where its body waits, if only the body shows whether it is allowed anything: until then it is a stranger's.
    fn queue<'s>(&self, _state: &'s ServerState) -> Option<&'s UnprovenBodyQueue> {
        None
    }

    /// Whether it is still valid after the body arrived.
    fn check_again(&self, _engine: &Engine) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }
}

const OF_TOKENS: &[ErrorCode] = &[
    ErrorCode::TokenMissing,
    ErrorCode::TokenMalformed,
    ErrorCode::TokenInvalid,
    ErrorCode::TokenExpired,
    ErrorCode::Revoked,
    ErrorCode::DischargeMissing,
    ErrorCode::DischargeInvalid,
    ErrorCode::Forbidden,
];

/// No credential.
pub(crate) struct Anonymous;

impl Credential for Anonymous {
    const SCHEMES: &'static [&'static str] = &[];
    const REFUSALS: &'static [&'static [ErrorCode]] = &[];

    async fn of(_: &Incoming, _: &mut AuditRecord) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// Tokens of this installation.
impl Credential for Principal {
    const SCHEMES: &'static [&'static str] = &["token"];
    const REFUSALS: &'static [&'static [ErrorCode]] = &[OF_TOKENS];

    async fn of(incoming: &Incoming, audit: &mut AuditRecord) -> Result<Self, Failure> {
        incoming.engine.authenticate(incoming.authorization(), audit).await
    }

    fn holders(&self) -> Vec<String> {
        let issuer = self.issuer_of_exchange().map(of_issuer);
        let org = self.first_org().map(of_org);
        self.first_token().map(of_token).into_iter().chain(org).chain(issuer).collect()
    }

    async fn check_again(&self, engine: &Engine) -> Result<(), Failure> {
        engine.recheck_revocations(self).await
    }
}

/// A token, or a JWT, which is verified with the app whose policy accepts it.
impl Credential for Reader {
    const SCHEMES: &'static [&'static str] = &["token", "jwt"];
    const REFUSALS: &'static [&'static [ErrorCode]] =
        &[OF_TOKENS, &[ErrorCode::PolicyDenied, ErrorCode::ClockSkew, ErrorCode::IssuerUnavailable]];

    async fn of(incoming: &Incoming, audit: &mut AuditRecord) -> Result<Self, Failure> {
        incoming.engine.reader(incoming.authorization(), audit).await
    }

    fn holders(&self) -> Vec<String> {
        match self {
            Self::Tokens(principal) => principal.holders(),
            Self::Jwt(jwt) => of_jwt(jwt).into_iter().collect(),
        }
    }
}

/// The proof of a boot for the discharger: a JWT, or a token narrowed to that boot.
impl Credential for Proof {
    const SCHEMES: &'static [&'static str] = &["jwt", "token"];
    const REFUSALS: &'static [&'static [ErrorCode]] = Reader::REFUSALS;

    async fn of(incoming: &Incoming, audit: &mut AuditRecord) -> Result<Self, Failure> {
        incoming.engine.boot_proof(audit, incoming.authorization(), incoming.now).await
    }

    fn holders(&self) -> Vec<String> {
        match self {
            Self::Token(principal) => principal.holders(),
            Self::Jwt(claims) => vec![of_issuer(claims.issuer())],
        }
    }

    fn queue<'s>(&self, state: &'s ServerState) -> Option<&'s UnprovenBodyQueue> {
        matches!(self, Self::Jwt(_)).then_some(&state.jwt_bodies)
    }

    async fn check_again(&self, engine: &Engine) -> Result<(), Failure> {
        match self {
            Self::Token(principal) => engine.recheck_revocations(principal).await,
            Self::Jwt(_) => Ok(()),
        }
    }
}

/// A host token and the discharge of one boot.
pub(crate) struct HostAndDischarge(pub(crate) Verified);

impl Credential for HostAndDischarge {
    const SCHEMES: &'static [&'static str] = &["hostToken"];
    const REFUSALS: &'static [&'static [ErrorCode]] = Reader::REFUSALS;

    async fn of(incoming: &Incoming, audit: &mut AuditRecord) -> Result<Self, Failure> {
        let (header, peer) = (incoming.authorization(), &incoming.peer);
        incoming.engine.host_token(header, audit, peer, incoming.now).await.map(Self)
    }

    fn holders(&self) -> Vec<String> {
        vec![of_token(self.0.id())]
    }
}

/// A host token alone: each Machine of a batch brings its own discharge.
pub(crate) struct HostAlone(pub(crate) UnverifiedToken);

impl Credential for HostAlone {
    const SCHEMES: &'static [&'static str] = &["hostToken"];
    const REFUSALS: &'static [&'static [ErrorCode]] = &[OF_TOKENS];

    async fn of(incoming: &Incoming, audit: &mut AuditRecord) -> Result<Self, Failure> {
        let (header, peer) = (incoming.authorization(), &incoming.peer);
        incoming.engine.batch_token(header, audit, peer, incoming.now).await.map(Self)
    }

    fn holders(&self) -> Vec<String> {
        vec![of_token(self.0.id())]
    }

    fn queue<'s>(&self, state: &'s ServerState) -> Option<&'s UnprovenBodyQueue> {
        Some(&state.batch_bodies)
    }
}

fn of_token(id: TokenId) -> String {
    format!("token {id}")
}

/// A JWT by its signature: its issuer and app are known later. One that is too long is none.
fn of_jwt(jwt: &str) -> Option<String> {
    let (_, signature) = jwt.rsplit_once('.')?;
    (signature.len() <= LONGEST_SIGNATURE).then(|| format!("jwt {signature}"))
}

fn of_issuer(issuer: &str) -> String {
    format!("issuer {issuer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_has_a_share_of_its_own_by_its_signature() {
        let holders = |jwt: &str| Reader::Jwt(jwt.to_owned()).holders();
        assert_eq!(holders("header.claims.c2ln"), ["jwt c2ln"]);
        for jwt in ["nothing".to_owned(), format!("a.b.{}", "s".repeat(LONGEST_SIGNATURE + 1))] {
            assert_eq!(holders(&jwt).len(), 0);
        }
    }
}
