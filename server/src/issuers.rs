//! Registering issuers: done on the node, with the seal opened for it.

use petsem_api::{ErrorCode, Issuer, IssuerId, PutIssuer};
use petsem_policy::evaluate::Algorithm;

use crate::control::IssuerEntry;
use crate::core::{Core, expect};
use crate::entropy;
use crate::failure::Failure;
use crate::issuer_keys::IssuerKeys;
use crate::request::Trail;
use crate::rows::{FeedRow, IssuerRow};
use crate::settings::Settings;
use crate::start::{StartError, local_trail, record, start, stop};

/// Registers an issuer in the store of this node, which no server may hold at the same time.
///
/// # Errors
/// [`StartError`]: the store cannot be opened, or the registration is refused; nothing was changed then.
pub async fn add_issuer(settings: &Settings, wanted: &PutIssuer) -> Result<Issuer, StartError> {
    let started = start(settings.clone()).await?;
    let mut trail = local_trail(started.core.now(), "issuer.register");
    let result = match started.core.register_issuer(&mut trail, wanted, false).await {
        Ok(issuer) => record(&started.core, &trail).await.map(|()| issuer),
        Err(failure) => Err(StartError::Refused(failure.external().to_owned())),
    };
    stop(started).await.map_err(StartError::Refused)?;
    result
}

impl Core {
    /// The row of a registration that can be made. It is asked before a second person is, and again after.
    pub(crate) fn check_issuer(&self, wanted: &PutIssuer, development: bool) -> Result<IssuerRow, Failure> {
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
        IssuerKeys::of(&row).map_err(|error| bad(error.to_string()))?;
        if self.control().issuer(&wanted.issuer).is_some() {
            return Err(Failure::new(
                ErrorCode::NameTaken,
                "this issuer is registered already; nothing was changed",
            ));
        }
        Ok(row)
    }

    /// Registers an issuer.
    pub(crate) async fn register_issuer(
        &self,
        trail: &mut Trail,
        wanted: &PutIssuer,
        development: bool,
    ) -> Result<Issuer, Failure> {
        let row = self.check_issuer(wanted, development)?;
        let now = row.created_at;
        let id = IssuerId::new_v7(now, &entropy::bytes());
        trail.set_detail(format_args!("{}", described(wanted)));
        let feed = [FeedRow::IssuerSet { issuer: id, version: 1, at: now }];
        self.commit_control(trail, &feed, |change| {
            change.expects.push(expect::<IssuerRow>(id.as_bytes(), 0));
            change.puts.push(self.ledger.write(id.as_bytes(), 1, &row));
        })
        .await?;
        let keys = IssuerKeys::of(&row).map_err(Failure::internal)?;
        Ok(shown(&IssuerEntry { id, row, keys }))
    }
}

/// An issuer as it is listed.
pub(crate) fn shown(entry: &IssuerEntry) -> Issuer {
    let IssuerEntry { id, row, keys } = entry;
    Issuer {
        id: *id,
        issuer: row.issuer.clone(),
        algorithms: row.algorithms.clone(),
        development: row.development,
        keys_from: keys.from(),
        jwks_url: row.jwks_url.clone(),
        fetched: keys.published().map(|published| published.shown()),
    }
}

/// What is asked for, in words: whoever approves it reads where the keys come from.
pub(crate) fn described(wanted: &PutIssuer) -> String {
    let issuer = wanted.issuer.escape_debug();
    match (&wanted.jwks_url, wanted.discovery) {
        (Some(url), _) => format!("the issuer {issuer}, keys from {}", url.escape_debug()),
        (None, true) => format!("the issuer {issuer}, keys by its discovery document"),
        (None, false) => format!("the issuer {issuer}"),
    }
}
