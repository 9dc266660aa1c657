//! The server as the commands see it: typed calls, each ending in data or in a [`Failure`].

use std::future::Future;
use std::time::Duration;

use clap::Args;
use petsem_api::ErrorCode;
use petsem_client::{
    CallError, Client, Credentials, Endpoint, EndpointFailure, FailureKind, Method, Patience,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::context::{Connection, Resolved};
use crate::failure::Failure;
use crate::{messages, private_file};

/// How often a server that was told to seal itself is asked whether it is.
const SEALED_LOOKS: u32 = 60;
const SEALED_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

/// What a command takes that asks the server and shows its answer.
#[derive(Args)]
pub(crate) struct Asking {
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

impl Asking {
    /// Reads context and token file. Nothing is sent yet.
    pub(crate) fn remote(&self) -> Result<Remote, Failure> {
        Remote::open(&self.connection.resolve()?)
    }
}

/// One installation, and a token for it.
pub(crate) struct Remote {
    runtime: Runtime,
    client: Client,
    credentials: Credentials,
}

impl Remote {
    /// Reads the token file. Nothing is sent yet.
    pub(crate) fn open(resolved: &Resolved) -> Result<Self, Failure> {
        let endpoint: Endpoint = resolved.endpoint.parse()?;
        let token = private_file::read_token(resolved.token_file()?)?;
        Ok(Self {
            runtime: runtime()?,
            client: Client::builder(vec![endpoint]).build(),
            credentials: Credentials::new(&token)?,
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

    /// As [`Remote::post`]; none where what is named is not there.
    pub(crate) fn post_if_there<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Option<Answer>, Failure> {
        let call = self.client.call(Method::POST, path, Some(&self.credentials), Some(request));
        match self.runtime.block_on(call) {
            Ok(answer) => Ok(Some(answer)),
            Err(CallError::Refused { code: ErrorCode::NotFound, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn put<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Answer, Failure> {
        self.call(Method::PUT, path, Some(request))
    }

    pub(crate) fn delete<Answer: DeserializeOwned>(&self, path: &str) -> Result<Answer, Failure> {
        self.call(Method::DELETE, path, None::<&()>)
    }

    /// Whether the server says within a while that it is sealed.
    pub(crate) fn is_sealed_soon(&self) -> bool {
        self.runtime.block_on(async {
            for _ in 0..SEALED_LOOKS {
                tokio::time::sleep(SEALED_EVERY).await;
                let call = self.client.call(Method::GET, "/v1/orgs", Some(&self.credentials), None::<&()>);
                let answer: Result<serde_json::Value, CallError> = call.await;
                match answer {
                    Err(CallError::Unavailable { failures, .. }) if failures.iter().any(says_sealed) => {
                        return true;
                    }
                    _ => {}
                }
            }
            false
        })
    }

    /// The discharge of a ticket of petsem's own discharger, which is the server that is called.
    pub(crate) fn discharge_ticket(
        &self,
        resolved: &Resolved,
        location: &str,
        ticket: &[u8],
        wait: u64,
    ) -> Result<Credentials, Failure> {
        let endpoint: Endpoint = resolved.endpoint.parse()?;
        let client = Client::builder(vec![endpoint.clone()]).discharger(location, vec![endpoint]).build();
        let open = |url: &str| crate::output::notice(&messages::page_to_open(url));
        let patience = Patience { wait: Duration::from_secs(wait), open_url: Some(&open) };
        let discharge = client.discharge_ticket(location, ticket, Some(&self.credentials), &patience);
        Ok(self.runtime.block_on(discharge)?)
    }

    /// Waits before the server is asked again.
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
        Ok(self.runtime.block_on(call)?)
    }
}

fn says_sealed(failure: &EndpointFailure) -> bool {
    matches!(failure.kind, FailureKind::Status { code: Some(ErrorCode::Sealed), .. })
}

/// Drives one future to its end; for commands that keep nothing between calls.
pub(crate) fn wait_for<Answer>(future: impl Future<Output = Answer>) -> Result<Answer, Failure> {
    Ok(runtime()?.block_on(future))
}

/// Drives a server, or work on its store, to its end.
pub(crate) fn serve<Answer>(future: impl Future<Output = Answer>) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    Ok(runtime.map_err(messages::no_runtime)?.block_on(future))
}

/// One thread: a command makes one call at a time.
fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(messages::no_runtime)
}
