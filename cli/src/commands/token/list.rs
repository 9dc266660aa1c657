//! `petsem token list`.

use clap::Args;
use petsem_api::{TokenInfo, TokenKind, TokenList};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::context::Connection;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};
use crate::remote::Remote;

/// List tokens that were minted: what is known of them, never the tokens
#[derive(Args)]
pub(crate) struct List {
    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// By this machine's clock, as is good enough for a list.
fn state(token: &TokenInfo) -> &'static str {
    let end = OffsetDateTime::parse(&token.expires_at, &Rfc3339);
    match end {
        _ if token.revoked => messages::REVOKED,
        Ok(end) if end < OffsetDateTime::now_utc() => messages::OVER,
        _ => messages::VALID,
    }
}

impl List {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let answer: TokenList = Remote::open(&self.connection.resolve()?)?.get("/v1/tokens")?;
        if answer.truncated {
            output::notice("there are more tokens than these; the list of an org's token has all of the org");
        }
        output::answer(self.json, &answer, |answer| {
            let mut table = Table::new(&["ID", "KIND", "HELD BY", "EXPIRES", "STATE", "CARRIES"]);
            for token in &answer.tokens {
                let kind = match token.kind {
                    TokenKind::Operator => "operator",
                    TokenKind::Host => "host",
                    TokenKind::Org => "org",
                    TokenKind::BreakGlass => "break-glass",
                };
                table.row([
                    token.id.to_string(),
                    kind.to_owned(),
                    token.subject.clone(),
                    token.expires_at.clone(),
                    state(token).to_owned(),
                    token.caveats.join("; "),
                ]);
            }
            table
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_valid_until_it_ends_or_is_revoked() {
        let token = |end: &str, revoked: bool| {
            serde_json::from_value(json!({
                "id": "00000000-0000-0000-0000-000000000001", "kind": "org", "subject": "kim", "ancestors": [],
                "caveats": [], "created_at": "2026-01-01T00:00:00.000Z", "expires_at": end, "revoked": revoked,
            }))
            .unwrap()
        };
        assert_eq!(state(&token("2999-01-01T00:00:00Z", false)), "valid");
        assert_eq!(state(&token("2026-01-02T00:00:00Z", false)), "over");
        assert_eq!(state(&token("2026-01-02T00:00:00Z", true)), "revoked");
    }
}
