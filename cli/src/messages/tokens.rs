//! Tokens: read, narrowed, minted, revoked.

use std::path::Path;

use petsem_api::{AppRef, MintedToken, RevokeRequest, Revoked, escaped};
use petsem_policy::{AddError, HeaderError, TextError, TokenId};
use petsem_server::Denied;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::phrasing::{counted, file_name};
use crate::commands::Descendants;
use crate::failure::{Exit, Failure};
use crate::report::TokenDescription;

pub(crate) const REVOKED: &str = "revoked";
pub(crate) const VALID: &str = "valid";
pub(crate) const EXPIRED: &str = "expired";
pub(crate) const WAITS: &str = "waits for approval";
pub(crate) const DENIED: &str = "denied";
pub(crate) const MORE_TOKENS: &str =
    "there are more tokens than these; with a token of an org the list has all tokens of that org";

pub(crate) fn token_to_terminal() -> Failure {
    Failure::new(
        Exit::Usage,
        "the token would be printed to this terminal, and stay in its history",
        "give --out FILE to write it to a private file, or --print to print it anyway",
    )
}

pub(crate) fn no_token(file: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} has no token", file_name(file)),
        "give the text that starts with fm2_",
    )
}

pub(crate) fn not_a_token(file: &Path, error: &TextError) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is not a single token: {error}", file_name(file)),
        "give one token, the text that starts with fm2_, without its discharges",
    )
}

/// A token that the server sent.
pub(crate) fn no_token_sent(error: &TextError) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the server's answer is not a token: {error}"),
        "check that the endpoint is a petsem server of this version",
    )
}

pub(crate) fn header_refused(file: &Path, error: &HeaderError) -> Failure {
    Failure::new(Exit::Usage, format!("{}: {error}", file_name(file)), "give one token and its discharges")
}

pub(crate) fn element_malformed(file: &Path, number: usize) -> Failure {
    Failure::new(
        Exit::Usage,
        format!(
            "{}: token {number} is malformed: it is truncated, or not in canonical form",
            file_name(file)
        ),
        "copy the whole text, from fm2_ to its end",
    )
}

pub(crate) fn element_foreign(file: &Path, number: usize) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{}: token {number} is not a macaroon", file_name(file)),
        "give the text that starts with fm2_; JWTs and OAuth tokens are not supported here",
    )
}

pub(crate) fn cannot_narrow(error: &AddError) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("the token cannot be narrowed: {error}"),
        "mint a narrower one with `petsem token create`",
    )
}

pub(crate) fn token_description(token: &TokenDescription) -> String {
    let mut text = format!("token     {}\nlocation  {}\n", token.id, escaped(&token.location, &[]));
    let state = if token.expired { " (expired)" } else { "" };
    match &token.expires_at {
        Some(end) => text.push_str(&format!("expires   {end}{state}\n")),
        None => text.push_str("expires   never\n"),
    }
    if token.proof {
        text.push_str("kind      proof (such as a discharge): no caveat can be added\n");
    }
    if token.caveats.is_empty() {
        text.push_str("caveats   none\n");
    }
    for (at, caveat) in token.caveats.iter().enumerate() {
        text.push_str(if at == 0 { "caveats   " } else { "          " });
        text.push_str(&escaped(caveat, &[]));
        text.push('\n');
    }
    text
}

/// RFC 3339; Unix seconds if the calendar has no such time.
pub(crate) fn time_text(unix_seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("unix second {unix_seconds}"))
}

pub(crate) fn token_minted(minted: &MintedToken) -> String {
    format!("token {}, valid until {}", minted.id, minted.expires_at)
}

pub(crate) fn jwt_exchanged(app: &AppRef, seconds: u64) -> String {
    format!("a token that reads secrets of app {app}, valid for {seconds} s")
}

pub(crate) const TOKEN_READS_NOTHING: &str = "this token reads no values, in spite of read_value: no token reads alone; \
     values are read by Machines that boot, with a JWT that a rule of the app's policy accepts (`petsem run`, `petsem token \
     exchange`), or after another person's approval (`petsem break-glass`); `petsem secrets get NAME` says by whom";

pub(crate) fn token_allows_nothing(what: &str) -> String {
    format!(
        "this token allows nothing: its restrictions on {what} have none in common; `petsem token inspect` shows them, and \
         `petsem token create` with fewer options makes another one"
    )
}

pub(crate) fn token_already_expired(end: i64) -> String {
    format!("this token allows nothing: it expired at {}", time_text(end))
}

pub(crate) fn token_ends_earlier(end: i64) -> String {
    format!(
        "this token expires earlier than asked, at {}, because the token that it comes from does; `petsem operator \
         recover` and `petsem operator owner` make tokens that live longer",
        time_text(end)
    )
}

pub(crate) fn token_narrowed(id: &TokenId) -> String {
    format!("token {id}, narrowed (revoking the original revokes it too)")
}

pub(crate) fn token_written(path: &Path, described: &str) -> String {
    format!("{described}, written to {}", path.display())
}

/// What a revocation that hits much, or cannot be undone, does, and the word that confirms it. `None` for one token, JWT
/// or subject: in an emergency nothing delays that.
pub(crate) fn revocation_consequence(what: &RevokeRequest) -> Option<(String, String)> {
    match what {
        RevokeRequest::SigningKey { id } => Some((
            format!(
                "this revokes all tokens of signing key {id} and all tokens that descend from them, for ever"
            ),
            id.to_string(),
        )),
        RevokeRequest::Machine { app, machine } => {
            Some((format!("Machine {machine} of {app} then never boots again"), machine.to_string()))
        }
        RevokeRequest::Host { host, .. } => Some((
            format!("no Machine boots on host {host} any more, also not after it is enrolled again"),
            host.to_string(),
        )),
        RevokeRequest::JwtIssuer { issuer, .. } => Some((
            format!(
                "this revokes JWTs of {issuer} of all subjects, and everything derived from them: tokens and renewals of \
                 boots"
            ),
            issuer.clone(),
        )),
        RevokeRequest::Token { .. }
        | RevokeRequest::Jwt { .. }
        | RevokeRequest::JwtSubject { .. }
        | RevokeRequest::DischargerSubject { .. } => None,
    }
}

pub(crate) fn revoked(what: &RevokeRequest, answer: &Revoked) -> String {
    let note = match what {
        RevokeRequest::Host { .. } => {
            "\nno command lifts this: a machine that is to boot again is enrolled under another host id"
        }
        RevokeRequest::JwtIssuer { before: None, .. } | RevokeRequest::JwtSubject { before: None, .. } => {
            "\nJWTs that are issued within the next 30 s count as issued so far, because clocks differ: get new ones then"
        }
        _ => "",
    };
    let change = answer.number;
    format!("{} revoked (control change {change}){note}{}", subject_and_verb(what), unchecked(what))
}

/// What petsem does not know, it cannot tell from a mistyped name.
fn unchecked(what: &RevokeRequest) -> String {
    let (kind, name) = match what {
        RevokeRequest::Machine { machine, .. } => ("Machine", machine.as_str()),
        RevokeRequest::JwtSubject { sub, .. } | RevokeRequest::DischargerSubject { sub, .. } => {
            ("subject", sub.as_str())
        }
        RevokeRequest::Jwt { jti, .. } => ("JWT", jti.as_str()),
        _ => return String::new(),
    };
    let name = escaped(name, &[]);
    format!(
        "\npetsem does not know which {kind}s exist: compare \"{name}\" with the {kind} that you mean, letter by letter"
    )
}

/// Before the token is revoked that the command itself uses, or one that this was minted from.
pub(crate) fn own_token_revocation(file: &Path, known: Option<&Descendants>) -> String {
    let more = match known {
        Some(Descendants { tokens: 0, .. }) | None => String::new(),
        Some(known) => format!("; petsem knows {}", descendants(known)),
    };
    format!(
        "the token of {}, which this command uses, is this token or was minted from it: it ends now, with all tokens that \
         were minted from it{more}; after the last operator's token, only `petsem operator recover` on the node makes a \
         new one",
        file_name(file)
    )
}

pub(crate) const OWN_TOKEN_REVOKED: &str = "the token of this command is revoked, too: use another one, or make a new \
     operator's token on the node with `petsem operator recover --config FILE`";

/// What ended with a token.
pub(crate) fn descendants_revoked(known: Option<&Descendants>) -> String {
    match known {
        None => "tokens that were minted from it, those of hosts included, ended with it; `petsem token list` and `petsem \
                 host list` show them to an operator"
            .to_owned(),
        Some(Descendants { tokens: 0, truncated: false, .. }) => {
            "petsem knows no unexpired token that was minted from it".to_owned()
        }
        Some(known) => format!(
            "with it ended {}; `petsem token list` and `petsem host list` show them as revoked",
            descendants(known)
        ),
    }
}

fn descendants(known: &Descendants) -> String {
    let Descendants { tokens, hosts, truncated } = known;
    let at_least = if *truncated { "at least " } else { "" };
    let of_hosts = match hosts {
        0 => "none of them of a host".to_owned(),
        hosts => format!("{hosts} of them of hosts, on which nothing boots until they are enrolled again"),
    };
    format!(
        "{at_least}{} minted from it, {of_hosts}",
        counted(*tokens, "unexpired token", "unexpired tokens")
    )
}

pub(crate) fn denied(what: &RevokeRequest, denied: Denied) -> String {
    let unchecked = unchecked(what);
    let what = subject_and_verb(what);
    let done = match denied {
        Denied::Everywhere { number } => format!("{what} revoked (control change {number})"),
        Denied::Here => format!(
            "{what} refused on this node; the store takes no writes, so other nodes do not refuse it yet; petsem retries"
        ),
        Denied::AtUnseal => format!(
            "{what} refused as soon as this node is unsealed; until then its server is sealed and serves no requests"
        ),
        _ => format!("{what} refused from the next start of this node; the store takes no writes"),
    };
    done + &unchecked
}

/// Subject and verb of a sentence, as in "host h1 is".
fn subject_and_verb(what: &RevokeRequest) -> String {
    match what {
        RevokeRequest::Token { id, .. } => format!("token {id} and all tokens that descend from it are"),
        RevokeRequest::SigningKey { id } => {
            format!("all tokens of signing key {id} and all tokens that descend from them are")
        }
        RevokeRequest::Machine { app, machine } => format!("Machine {machine} of {app} is"),
        RevokeRequest::Host { host, .. } => format!("host {host} is"),
        RevokeRequest::JwtSubject { issuer, sub, before: None, .. } => {
            format!("the JWTs of {sub} ({issuer}) issued so far, and everything derived from them, are")
        }
        RevokeRequest::JwtSubject { issuer, sub, before: Some(before), .. } => format!(
            "the JWTs of {sub} ({issuer}) issued before {}, and everything derived from them, are",
            time_text(*before)
        ),
        RevokeRequest::DischargerSubject { discharger, sub, before: None, .. } => {
            format!("the boots that {discharger} has proved for {sub} so far, and their renewals, are")
        }
        RevokeRequest::DischargerSubject { discharger, sub, before: Some(before), .. } => format!(
            "the boots that {discharger} proved for {sub} before {}, and their renewals, are",
            time_text(*before)
        ),
        RevokeRequest::JwtIssuer { issuer, before: None, .. } => {
            format!("all JWTs of {issuer} issued so far, and everything derived from them, are")
        }
        RevokeRequest::JwtIssuer { issuer, before: Some(before), .. } => {
            format!(
                "all JWTs of {issuer} issued before {}, and everything derived from them, are",
                time_text(*before)
            )
        }
        RevokeRequest::Jwt { issuer, jti, .. } => {
            format!("JWT {jti} of {issuer}, and everything derived from it, is")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_repeats_the_name_that_petsem_cannot_check() {
        let revoked = |what| revoked(&what, &Revoked { number: 7 });
        let machine =
            RevokeRequest::Machine { app: "shop".parse().unwrap(), machine: "m-1".parse().unwrap() };
        assert_eq!(
            revoked(machine),
            "Machine m-1 of shop is revoked (control change 7)\npetsem does not know which Machines exist: compare \"m-1\" \
             with the Machine that you mean, letter by letter"
        );
        let subject = |sub: &str| RevokeRequest::JwtSubject {
            issuer: "https://ci.example".to_owned(),
            sub: sub.to_owned(),
            before: Some(0),
            unknown: false,
        };
        let text = revoked(subject("ann "));
        assert!(
            text.ends_with("compare \"ann \" with the subject that you mean, letter by letter"),
            "{text}"
        );
        let text = denied(&subject("ann"), Denied::Everywhere { number: 7 });
        assert!(text.ends_with("compare \"ann\" with the subject that you mean, letter by letter"), "{text}");
        let host = revoked(RevokeRequest::Host { host: "h".parse().unwrap(), unknown: false });
        assert!(!host.contains("letter by letter"), "{host}");
    }

    #[test]
    fn what_ends_with_a_token_is_counted_if_it_is_known() {
        let text =
            |tokens, hosts, truncated| descendants_revoked(Some(&Descendants { tokens, hosts, truncated }));
        assert_eq!(text(0, 0, false), "petsem knows no unexpired token that was minted from it");
        let shown = "; `petsem token list` and `petsem host list` show them as revoked";
        assert_eq!(
            text(3, 2, false),
            format!(
                "with it ended 3 unexpired tokens minted from it, 2 of them of hosts, on which nothing boots until they \
                 are enrolled again{shown}"
            )
        );
        assert_eq!(
            text(1, 0, true),
            format!("with it ended at least 1 unexpired token minted from it, none of them of a host{shown}")
        );
        assert!(
            descendants_revoked(None).starts_with("tokens that were minted from it, those of hosts included")
        );
    }
}
