//! The server as the commands see it: typed calls that return data or a [`Failure`].

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use petsem_api::{ErrorCode, ExplainToken, Explanation, TokenUuid};
use petsem_client::{
    CallError, Client, Credentials, Endpoint, EndpointFailure, FailureKind, Method, Patience,
};
use petsem_policy::{Action, Actions, Ancestors, PetsemCaveat, TokenId, UnverifiedToken};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::context::Resolved;
use crate::failure::Failure;
use crate::{messages, output, value_source};

/// How often, and how many times, to check that a server is sealed after it was ordered to seal itself.
const SEALED_INTERVAL: Duration = Duration::from_millis(200);
const SEALED_POLLS: u32 = 60;

/// One installation, and a token for it.
pub(crate) struct Remote {
    runtime: Runtime,
    client: Client,
    credentials: Credentials,
    /// Where the token is from, for errors.
    token_file: PathBuf,
}

impl Remote {
    /// Reads the token file. Nothing is sent yet.
    pub(crate) fn open(resolved: &Resolved) -> Result<Self, Failure> {
        let file = resolved.token_file()?;
        Self::with_token(resolved, file, &value_source::token(file)?)
    }

    /// As [`Remote::open`], for a token that has been read from this file: a pipe can be read once.
    pub(crate) fn with_token(resolved: &Resolved, file: &Path, token: &str) -> Result<Self, Failure> {
        let endpoint: Endpoint = resolved.endpoint.parse()?;
        Ok(Self {
            runtime: runtime()?,
            client: Client::builder(vec![endpoint]).build(),
            credentials: credentials(file, token)?,
            token_file: file.into(),
        })
    }

    pub(crate) fn get<Answer: DeserializeOwned>(&self, path: &str) -> Result<Answer, Failure> {
        self.call(Method::GET, path, None::<&()>)
    }

    pub(crate) fn post<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Answer, Failure> {
        self.call(Method::POST, path, Some(request))
    }

    /// Whether no caveat of the token keeps it from listing.
    pub(crate) fn may_list(&self) -> bool {
        let text = self.credentials.expose_text().split(',').next().unwrap_or_default();
        let Ok(token) = UnverifiedToken::parse(text) else { return true };
        token.caveats().iter().all(|caveat| match PetsemCaveat::of(caveat) {
            Some(Ok(Some(PetsemCaveat::Actions(Actions(actions))))) => actions.contains(Action::List),
            _ => true,
        })
    }

    /// Whether the token would end with this one: it is the same, a discharge of it, or was minted from it.
    pub(crate) fn depends_on(&self, id: TokenUuid) -> bool {
        let id = TokenId::from_bytes(*id.as_bytes());
        elements(&self.credentials).any(|token| {
            token.id() == id
                || token.caveats().iter().any(|caveat| match PetsemCaveat::of(caveat) {
                    Some(Ok(Some(PetsemCaveat::Ancestors(Ancestors(ids))))) => ids.contains(&id),
                    _ => false,
                })
        })
    }

    /// The file with the token.
    pub(crate) fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// Asks what the tokens of this command may do; an answer means that the server accepts them.
    pub(crate) fn accepts(&self, request: &ExplainToken) -> Result<(), CallError> {
        let call =
            self.client.call(Method::POST, "/v1/tokens/explain", Some(&self.credentials), Some(request));
        self.runtime.block_on(call).map(|_: Explanation| ())
    }

    pub(crate) fn put<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Answer, Failure> {
        self.call(Method::PUT, path, Some(request))
    }

    pub(crate) fn patch<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Answer, Failure> {
        self.call(Method::PATCH, path, Some(request))
    }

    pub(crate) fn delete<Answer: DeserializeOwned>(&self, path: &str) -> Result<Answer, Failure> {
        self.call(Method::DELETE, path, None::<&()>)
    }

    /// Waits for the server to report that it is sealed; `false` if it does not in time.
    pub(crate) fn wait_until_sealed(&self) -> bool {
        self.runtime.block_on(async {
            for _ in 0..SEALED_POLLS {
                tokio::time::sleep(SEALED_INTERVAL).await;
                let call = self.client.call(Method::GET, "/v1/orgs", Some(&self.credentials), None::<&()>);
                let answer: Result<serde_json::Value, CallError> = call.await;
                match answer {
                    Err(CallError::Unavailable { failures, .. }) if failures.iter().any(reports_sealed) => {
                        return true;
                    }
                    _ => {}
                }
            }
            false
        })
    }

    /// A discharge from petsem's own discharger, which is the server that is called.
    pub(crate) fn discharge_ticket(
        &self,
        resolved: &Resolved,
        location: &str,
        ticket: &[u8],
        wait: u64,
    ) -> Result<Credentials, Failure> {
        let endpoint: Endpoint = resolved.endpoint.parse()?;
        let client = Client::builder(vec![endpoint.clone()]).discharger(location, vec![endpoint]).build();
        let open = |url: &str| output::notice(&messages::approval_page(url));
        let patience = Patience { wait: Duration::from_secs(wait), open_url: Some(&open) };
        let discharge = client.discharge_ticket(location, ticket, Some(&self.credentials), &patience);
        Ok(self.runtime.block_on(discharge)?)
    }

    /// Waits before the next call.
    pub(crate) fn pause(&self, duration: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(duration).await });
    }

    fn call<Answer: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        request: Option<&impl Serialize>,
    ) -> Result<Answer, Failure> {
        let call = self.client.call(method, path, Some(&self.credentials), request);
        self.runtime.block_on(call).map_err(|error| refused(error, &self.credentials, &self.token_file))
    }
}

/// A refusal of a request with the credential of this file.
pub(crate) fn refused(error: CallError, credentials: &Credentials, file: &Path) -> Failure {
    let is_jwt = elements(credentials).next().is_none();
    match error.code() {
        // Of a JWT, `petsem policy test` says why.
        Some(ErrorCode::PolicyDenied) if is_jwt => error.into(),
        _ => messages::refused_with_token(error, file),
    }
}

/// The tokens of a credential, and their discharges.
fn elements(credentials: &Credentials) -> impl Iterator<Item = UnverifiedToken> {
    credentials.expose_text().split(',').filter_map(|text| UnverifiedToken::parse(text).ok())
}

/// A token from a file, as a credential.
pub(crate) fn credentials(file: &Path, token: &str) -> Result<Credentials, Failure> {
    Credentials::new(token).map_err(|error| messages::no_credential(file, &error))
}

fn reports_sealed(failure: &EndpointFailure) -> bool {
    matches!(failure.kind, FailureKind::Status { code: Some(ErrorCode::Sealed), .. })
}

/// Runs one future; for commands that keep nothing between calls.
pub(crate) fn wait_for<Answer>(future: impl Future<Output = Answer>) -> Result<Answer, Failure> {
    Ok(runtime()?.block_on(future))
}

/// Runs a server, or work on its store.
pub(crate) fn serve<Answer>(future: impl Future<Output = Answer>) -> Result<Answer, Failure> {
    Ok(petsem_server::runtime().map_err(messages::no_runtime)?.block_on(future))
}

/// One thread: a command makes one call at a time.
fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(messages::no_runtime)
}
