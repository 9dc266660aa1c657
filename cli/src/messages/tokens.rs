//! Of tokens: read, narrowed, minted, revoked.

use super::*;

pub(crate) fn token_to_terminal() -> Failure {
    Failure::new(
        Exit::Usage,
        "the token would be shown on this terminal, and stay in its history",
        "give --out FILE to write it to a file of yours alone, or --print to show it all the same",
    )
}

pub(crate) fn token_not_text() -> Failure {
    Failure::new(Exit::Usage, "standard input holds no token", "give the text that starts with fm2_")
}

pub(crate) fn no_token() -> Failure {
    Failure::new(Exit::Usage, "there is no token", "give the text that starts with fm2_")
}

pub(crate) fn not_a_token(error: &TextError) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("this is no single token: {error}"),
        "give one token, the text that starts with fm2_, without its discharges",
    )
}

pub(crate) fn header_refused(error: &HeaderError) -> Failure {
    Failure::new(Exit::Usage, error.to_string(), "give one token and its discharges")
}

pub(crate) fn element_malformed(number: usize) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("token {number} cannot be read: it is cut short, or not in canonical form"),
        "copy the whole text, from fm2_ to its end",
    )
}

pub(crate) fn element_foreign(number: usize) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("token {number} is no macaroon"),
        "give the text that starts with fm2_; JWTs and OAuth tokens are not read here",
    )
}

pub(crate) fn cannot_narrow(error: &AddError) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("the token cannot be narrowed: {error}"),
        "mint a narrower one with `petsem token create`",
    )
}

pub(crate) fn inspected(token: &Inspected) -> String {
    let mut text = format!("token     {}\nbelongs   to {}\n", token.id, harmless(&token.location));
    let state = if token.expired { " (over)" } else { "" };
    match &token.expires_at {
        Some(end) => text.push_str(&format!("ends      {end}{state}\n")),
        None => text.push_str("ends      never by itself\n"),
    }
    if token.proof {
        text.push_str("kind      proof (such as a discharge): nothing can be added to it\n");
    }
    if token.caveats.is_empty() {
        text.push_str("carries   nothing that narrows it\n");
    }
    for (at, caveat) in token.caveats.iter().enumerate() {
        text.push_str(if at == 0 { "carries   " } else { "          " });
        text.push_str(&harmless(caveat));
        text.push('\n');
    }
    text
}

/// RFC 3339; the number itself where it is beyond the calendar.
pub(crate) fn time_text(unix_seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("unix second {unix_seconds}"))
}

pub(crate) fn token_minted(minted: &MintedToken) -> String {
    format!("token {}, good until {}", minted.id, minted.expires_at)
}

pub(crate) fn jwt_exchanged(app: &AppRef, seconds: u64) -> String {
    format!("a token that reads of app {app}, good for {seconds} s")
}

pub(crate) fn token_narrowed(id: &TokenId) -> String {
    format!("token {id}, narrowed; it is revoked together with the one it came from")
}

pub(crate) fn token_written(path: &Path, described: &str) -> String {
    format!("{described}, is in {}", path.display())
}

pub(crate) fn revoked(what: &RevokeRequest, answer: &Revoked) -> String {
    format!("{} revoked (control change {})", to_be_revoked(what), answer.number)
}

pub(crate) fn denied(what: &RevokeRequest, denied: Denied) -> String {
    let what = to_be_revoked(what);
    match denied {
        Denied::Everywhere { number } => format!("{what} revoked (control change {number})"),
        Denied::Here => format!(
            "{what} refused on this node; the store takes no writes, so no other node knows yet; it is tried again"
        ),
        Denied::AtUnseal => format!(
            "{what} refused as soon as this node is unsealed; its server is sealed and serves nobody until then"
        ),
        _ => format!("{what} refused from the next start of this node on; the store takes no writes"),
    }
}

/// Subject and verb of a sentence.
fn to_be_revoked(what: &RevokeRequest) -> String {
    match what {
        RevokeRequest::Token { id } => format!("token {id} and all that descend from it are"),
        RevokeRequest::SigningKey { id } => {
            format!("all tokens of signing key {id} and all that descend from them are")
        }
        RevokeRequest::Machine { app, machine } => format!("Machine {machine} of {app} is"),
        RevokeRequest::Host { host } => format!("host {host} is"),
        RevokeRequest::JwtSubject { issuer, sub, before: None } => {
            format!("the JWTs so far of {sub} ({issuer}), and what came of them, are")
        }
        RevokeRequest::JwtSubject { issuer, sub, before: Some(before) } => format!(
            "the JWTs of {sub} ({issuer}) from before {}, and what came of them, are",
            time_text(*before)
        ),
        RevokeRequest::JwtIssuer { issuer, before: None } => {
            format!("all JWTs of {issuer} so far, and what came of them, are")
        }
        RevokeRequest::JwtIssuer { issuer, before: Some(before) } => {
            format!("all JWTs of {issuer} from before {}, and what came of them, are", time_text(*before))
        }
        RevokeRequest::Jwt { issuer, jti } => format!("JWT {jti} of {issuer}, and what came of it, is"),
    }
}

pub(crate) fn recovered(token: &MintedToken, file: &Path) -> String {
    format!("the operator's token is in {}, good until {}", file.display(), token.expires_at)
}
