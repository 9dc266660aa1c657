//! Registering issuers: done on the node, with the seal opened for it.

use petsem_api::{ErrorCode, Issuer, IssuerId, PutIssuer};
use petsem_policy::evaluate::{Algorithm, Jwks};

use crate::core::{Core, expect};
use crate::entropy;
use crate::failure::Failure;
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
    /// Registers an issuer.
    pub(crate) async fn register_issuer(
        &self,
        trail: &mut Trail,
        wanted: &PutIssuer,
        development: bool,
    ) -> Result<Issuer, Failure> {
        let bad = |text: String| Failure::new(ErrorCode::BadRequest, text);
        if wanted.issuer.is_empty() || wanted.issuer.len() > 512 {
            return Err(bad("issuer is the exact `iss` of its JWTs, 1 to 512 bytes".to_owned()));
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
        Jwks::parse(&wanted.keys.to_string()).map_err(|error| bad(format!("keys: {error}")))?;
        if self.control().issuer(&wanted.issuer).is_some() {
            return Err(Failure::new(
                ErrorCode::NameTaken,
                "this issuer is registered already; nothing was changed",
            ));
        }
        let now = self.now().millis();
        let id = IssuerId::new_v7(now, &entropy::bytes());
        let row = IssuerRow {
            issuer: wanted.issuer.clone(),
            algorithms: wanted.algorithms.clone(),
            keys: wanted.keys.clone(),
            development,
            created_at: now,
        };
        trail.set_detail(format_args!("issuer {}", wanted.issuer));
        let feed = [FeedRow::IssuerSet { issuer: id, version: 1, at: now }];
        self.commit_control(trail, &feed, |change| {
            change.expects.push(expect::<IssuerRow>(id.as_bytes(), 0));
            change.puts.push(self.ledger.write(id.as_bytes(), 1, &row));
        })
        .await?;
        Ok(Issuer { id, issuer: row.issuer, algorithms: row.algorithms, development })
    }
}
