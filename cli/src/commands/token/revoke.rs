//! `petsem token revoke`.

use clap::Args;
use petsem_api::{RevokeRequest, Revoked, TokenKind, TokenList, TokenUuid};

use super::list::has_expired;
use crate::arguments::ServerArguments;
use crate::confirmation::Confirmation;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::revocation::Revocation;
use crate::{messages, output};

/// Revoke a token, a signing key, a Machine, a host, JWTs, or boots of an outside discharger
///
/// Revoking a token also revokes all tokens that descend from it, those of hosts included; the command says how many
/// petsem knows. A revoked Machine boots nowhere, and nothing boots on a revoked host, also after it is enrolled again:
/// neither can be lifted. Revoking JWTs also revokes the renewals and tokens derived from them. A Machine, a host, a
/// signing key, all JWTs of an issuer, and the token that the command itself uses need a confirmation.
#[derive(Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    what: Revocation,

    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    server: ServerArguments,
}

/// Tokens that were minted from another one, have not expired, and are known to the server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Descendants {
    /// All of them.
    pub(crate) tokens: u64,
    /// Those of hosts.
    pub(crate) hosts: u64,
    /// Whether there may be more.
    pub(crate) truncated: bool,
}

impl Revoke {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let request = self.what.request()?;
        let remote = self.server.remote()?;
        let token = match &request {
            RevokeRequest::Token { id, .. } => Some(*id),
            _ => None,
        };
        let own = token.filter(|id| remote.depends_on(*id));
        // Afterwards the token of this command lists nothing. Otherwise nothing delays a revocation.
        let before = own.map(|id| Descendants::of(&remote, id));
        if let (Some(id), Some(known)) = (own, &before) {
            let consequence = messages::own_token_revocation(remote.token_file(), known.as_ref());
            self.confirmation.require(&consequence, &id.to_string())?;
        }
        if let Some((consequence, word)) = messages::revocation_consequence(&request) {
            self.confirmation.require(&consequence, &word)?;
        }
        let answer: Revoked = remote.post("/v1/revocations", &request)?;
        output::confirm(self.server.json, &answer, &messages::revoked(&request, &answer))?;
        if let Some(id) = token {
            let known = before.unwrap_or_else(|| Descendants::of(&remote, id));
            output::notice(&messages::descendants_revoked(known.as_ref()));
        }
        if own.is_some() {
            output::notice(messages::OWN_TOKEN_REVOKED);
        }
        Ok(())
    }
}

impl Descendants {
    /// Those of this token. `None` if the server does not list them: only an operator sees those of all orgs.
    fn of(remote: &Remote, id: TokenUuid) -> Option<Self> {
        remote.get::<TokenList>("/v1/tokens").ok().map(|list| Self::among(&list, id))
    }

    fn among(list: &TokenList, id: TokenUuid) -> Self {
        let mut found = Self { truncated: list.truncated, ..Self::default() };
        for token in list.tokens.iter().filter(|token| token.ancestors.contains(&id) && !has_expired(token)) {
            found.tokens += 1;
            found.hosts += u64::from(token.kind == TokenKind::Host);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn descendants_are_the_unexpired_tokens_that_name_the_token_among_their_ancestors() {
        let id = |number: u8| TokenUuid::from_bytes([number; 16]);
        let token = |kind: &str, end: &str, ancestors: &[TokenUuid]| {
            json!({
                "id": id(9), "kind": kind, "subject": "kim", "ancestors": ancestors, "caveats": [],
                "created_at": "2026-01-01T00:00:00.000Z", "expires_at": end, "revoked": true,
            })
        };
        let (live, over) = ("2999-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let tokens = [
            token("host", live, &[id(2), id(1)]),
            token("org", live, &[id(1)]),
            token("org", over, &[id(1)]),
            token("org", live, &[id(2)]),
            token("operator", live, &[]),
        ];
        let list = serde_json::from_value(json!({"tokens": tokens, "truncated": true})).unwrap();
        assert_eq!(Descendants::among(&list, id(1)), Descendants { tokens: 2, hosts: 1, truncated: true });
        assert_eq!(Descendants::among(&list, id(3)), Descendants { tokens: 0, hosts: 0, truncated: true });
    }
}
