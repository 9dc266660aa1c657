//! `petsem token list`.

use clap::Args;
use petsem_api::{TokenKind, TokenList};

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
                    if token.revoked { messages::REVOKED } else { messages::VALID }.to_owned(),
                    token.caveats.join("; "),
                ]);
            }
            table
        })
    }
}
