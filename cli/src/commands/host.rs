//! `petsem host`: the hosts that boot Machines.

use clap::{Args, Subcommand};
use petsem_api::{Approval, EnrollmentRequest, HostId, TokenInfo, TokenKind, TokenList};

use crate::arguments::ServerArguments;
use crate::commands::token::token_state;
use crate::failure::Failure;
use crate::output::Table;
use crate::{messages, output};

#[derive(Subcommand)]
pub(crate) enum Host {
    /// Request to mint the tokens of hosts; a second person approves it
    ///
    /// For a day from the request, once it is approved, `petsem token create --kind host --host HOST` mints them.
    Enroll(Enroll),
    /// List the hosts that have tokens, and whether they can boot Machines with them
    List(List),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Enroll {
    /// The hosts
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<HostId>,

    /// The reason, for the approver and the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    common: ServerArguments,
}

impl Host {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Enroll(enroll) => enroll.run(),
            Self::List(list) => list.run(),
        }
    }
}

impl Enroll {
    fn run(self) -> Result<(), Failure> {
        let request = EnrollmentRequest { hosts: self.hosts, reason: self.reason };
        let approval: Approval = self.common.remote()?.post("/v1/enrollments", &request)?;
        output::confirm(self.common.json, &approval, &messages::awaits_approval(&approval))
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let mut answer: TokenList = self.common.remote()?.get("/v1/tokens")?;
        answer.tokens.retain(|token| token.kind == TokenKind::Host);
        if answer.truncated {
            output::notice(messages::MORE_TOKENS);
        }
        output::answer(self.common.json, &answer, |answer| {
            let mut table = Table::new(&["HOST", "TOKEN", "EXPIRES", "STATE", "ENROLLED BY"]);
            for token in &answer.tokens {
                let (host, by) = host_and_enroller(token);
                let (id, state) = (token.id.to_string(), token_state(token).to_owned());
                table.row([host.to_owned(), id, token.expires_at.clone(), state, by.to_owned()]);
            }
            table
        })
    }
}

/// The holder of a host's token is named after the host, and who had it enrolled.
fn host_and_enroller(token: &TokenInfo) -> (&str, &str) {
    let holder = token.subject.strip_prefix("host:").unwrap_or(&token.subject);
    holder.split_once(", enrolled by ").unwrap_or((holder, ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_holder_of_a_hosts_token_names_the_host_and_who_enrolled_it() {
        for (subject, named) in [
            ("host:h-1, enrolled by kim (petsem)", ("h-1", "kim (petsem)")),
            ("host:h-1, enrolled by a, enrolled by b", ("h-1", "a, enrolled by b")),
            ("something else", ("something else", "")),
        ] {
            let token: TokenInfo = serde_json::from_value(json!({
                "id": "00000000-0000-0000-0000-000000000001", "kind": "host", "subject": subject, "caveats": [],
                "created_at": "2026-01-01T00:00:00.000Z", "expires_at": "2999-01-01T00:00:00Z", "revoked": false,
            }))
            .unwrap();
            assert_eq!(host_and_enroller(&token), named);
        }
    }
}
