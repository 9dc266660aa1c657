//! `petsem token list`.

use clap::Args;
use petsem_api::{ApprovalState, TokenInfo, TokenKind, TokenList};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};

/// List minted tokens: their properties, never the tokens themselves
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    server: ServerArguments,
}

/// By this machine's clock, which is good enough for a list.
pub(crate) fn has_expired(token: &TokenInfo) -> bool {
    OffsetDateTime::parse(&token.expires_at, &Rfc3339).is_ok_and(|end| end < OffsetDateTime::now_utc())
}

/// Whether it can be used, in words.
pub(crate) fn state(token: &TokenInfo) -> &'static str {
    match () {
        () if token.revoked => messages::REVOKED,
        () if has_expired(token) => messages::EXPIRED,
        () if token.kind == TokenKind::BreakGlass => match token.approval {
            Some(ApprovalState::Approved) => messages::VALID,
            Some(ApprovalState::Open) => messages::WAITS,
            Some(ApprovalState::Expired) => messages::EXPIRED,
            Some(ApprovalState::Denied) | None => messages::DENIED,
        },
        () => messages::VALID,
    }
}

impl List {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let answer: TokenList = self.server.remote()?.get("/v1/tokens")?;
        if answer.truncated {
            output::notice(messages::MORE_TOKENS);
        }
        output::answer(self.server.json, &answer, |answer| {
            let mut table = Table::new(&["ID", "KIND", "HOLDER", "EXPIRES", "STATE", "CAVEATS"]);
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
    fn a_break_glass_token_is_valid_only_while_its_request_is_approved() {
        let token = |approval: Option<&str>| {
            let mut token = json!({
                "id": "00000000-0000-0000-0000-000000000001", "kind": "break_glass", "subject": "kim",
                "caveats": [], "created_at": "2026-01-01T00:00:00.000Z", "expires_at": "2999-01-01T00:00:00Z",
                "revoked": false,
            });
            if let Some(approval) = approval {
                token["approval"] = json!(approval);
            }
            serde_json::from_value(token).unwrap()
        };
        let states = [Some("approved"), Some("open"), Some("denied"), Some("expired"), None]
            .map(|of| state(&token(of)));
        assert_eq!(states, ["valid", "waits for approval", "denied", "expired", "denied"]);
    }

    #[test]
    fn a_token_is_valid_until_it_expires_or_is_revoked() {
        let token = |end: &str, revoked: bool| {
            serde_json::from_value(json!({
                "id": "00000000-0000-0000-0000-000000000001", "kind": "org", "subject": "kim", "ancestors": [],
                "caveats": [], "created_at": "2026-01-01T00:00:00.000Z", "expires_at": end, "revoked": revoked,
            }))
            .unwrap()
        };
        assert_eq!(state(&token("2999-01-01T00:00:00Z", false)), "valid");
        assert_eq!(state(&token("2026-01-02T00:00:00Z", false)), "expired");
        assert_eq!(state(&token("2026-01-02T00:00:00Z", true)), "revoked");
    }
}
