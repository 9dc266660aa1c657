//! `petsem whoami`.

use clap::Args;
use petsem_api::ExplainToken;
use serde::Serialize;

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::held_token::{HeldToken, held};
use crate::remote::Remote;
use crate::{clock, messages, output, value_source};

/// Show which token commands use here: where it is from, whose it is, what it may do, and for which server
///
/// The server is asked whether it accepts the token. A host's token, and a break-glass token that nobody has approved,
/// cannot be tested without a discharge. The token itself is not shown. The exit status is 1 if the server refuses the
/// token.
#[derive(Args)]
pub(crate) struct WhoAmI {
    #[command(flatten)]
    server: ServerArguments,
}

/// What the command shows.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) server: String,
    pub(crate) server_from: String,
    pub(crate) token_file: String,
    pub(crate) token_from: String,
    /// Whether the server accepts the tokens; `None` if it was not asked.
    pub(crate) accepted: Option<bool>,
    pub(crate) tokens: Vec<HeldToken>,
}

impl WhoAmI {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let resolved = self.server.connection.resolve()?;
        let file = resolved.token_file()?;
        let text = value_source::token(file)?;
        let now = i64::try_from(clock::unix_now()).unwrap_or(i64::MAX);
        let tokens =
            held(value_source::without_scheme(&text), now).ok_or_else(|| messages::not_tokens(file))?;
        let remote = Remote::with_token(&resolved, file, &text)?;
        let answer = asked(&tokens).map(|action| remote.accepts(&request(action)));
        let (accepted, failure) = match answer {
            None => (None, None),
            Some(Ok(())) => (Some(true), None),
            Some(Err(error)) => {
                let code = error.code();
                let refused = code.is_some_and(messages::refuses_token).then_some(false);
                (refused, Some(error.into()))
            }
        };
        let identity = Identity {
            server: resolved.endpoint.clone(),
            server_from: messages::origin(&resolved.endpoint_from),
            token_file: messages::file_name(file),
            token_from: messages::origin(&resolved.token_from),
            accepted,
            tokens,
        };
        output::confirm(self.server.json, &identity, &messages::identity(&identity))?;
        failure.map_or(Ok(()), Err)
    }
}

/// An action to ask the server about. It verifies the tokens first, whatever the action is; for a token without a
/// discharge it would only say that this is missing.
fn asked(tokens: &[HeldToken]) -> Option<&'static str> {
    let testable = tokens.iter().all(|token| token.undischarged.is_empty());
    testable.then(|| tokens.iter().find_map(|token| token.may.first().copied()).unwrap_or("list"))
}

fn request(action: &str) -> ExplainToken {
    ExplainToken {
        action: action.to_owned(),
        org: None,
        app: None,
        secret: None,
        secret_key: None,
        machine: None,
        host: None,
    }
}
