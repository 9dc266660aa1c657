//! `petsem token inspect`.

use std::path::PathBuf;

use clap::Args;
use petsem_policy::{Caveat, Content, Header, UnverifiedToken};
use serde::Serialize;

use crate::failure::Failure;
use crate::{clock, messages, output, value_source};

/// Say in words what a token may do; needs no server
///
/// Nothing is verified: a forged token reads as well as a true one. The token itself is not shown.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The file with the token (mode 0600), or - for standard input
    #[arg(value_name = "TOKEN_FILE", default_value = value_source::STDIN)]
    token: PathBuf,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// A token as a person reads it.
#[derive(Debug, Serialize)]
pub(crate) struct Inspected {
    /// Its id: what `petsem token revoke` takes.
    pub(crate) id: String,
    /// Where it says that it belongs; covered by no signature.
    pub(crate) location: String,
    /// A proof is finished: nothing can be added to it. Discharges are proofs.
    pub(crate) proof: bool,
    /// What narrows it, in its order.
    pub(crate) caveats: Vec<String>,
    /// Whose discharge it needs.
    pub(crate) third_parties: Vec<String>,
    /// Its earliest end, RFC 3339; none where it has no end.
    pub(crate) expires_at: Option<String>,
    /// Whether that is over, by this machine's clock.
    pub(crate) expired: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let text = value_source::token(&self.token)?;
        let inspected = inspect(&text, clock::unix_now())?;
        if self.json {
            return output::confirm(true, &inspected, "");
        }
        let shown: Vec<String> = inspected.iter().map(messages::inspected).collect();
        output::write(shown.join("\n").as_bytes())
    }
}

/// Every token of a header value; an error names the first element that is none.
pub(super) fn inspect(text: &str, now: u64) -> Result<Vec<Inspected>, Failure> {
    if text.trim().is_empty() {
        return Err(messages::no_token());
    }
    let header = Header::parse(text, "").map_err(|error| messages::header_refused(&error))?;
    let mut inspected = Vec::new();
    for (at, element) in header.elements().iter().enumerate() {
        match element.content() {
            Content::Token(token) => inspected.push(Inspected::of(token, now)),
            Content::Malformed => return Err(messages::element_malformed(at + 1)),
            _ => return Err(messages::element_foreign(at + 1)),
        }
    }
    Ok(inspected)
}

impl Inspected {
    fn of(token: &UnverifiedToken, now: u64) -> Self {
        let end = token.expires_at();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        Self {
            id: token.id().to_string(),
            location: token.location().to_owned(),
            proof: token.nonce().proof(),
            caveats: token.caveats().iter().map(Caveat::describe).collect(),
            third_parties: token
                .undischarged(&[])
                .into_iter()
                .map(|(location, _)| location.to_owned())
                .collect(),
            expires_at: end.map(messages::time_text),
            expired: end.is_some_and(|end| end < now),
        }
    }
}

#[cfg(test)]
mod tests {
    use petsem_policy::{Action, ActionSet, Actions, Apps, Macaroon, Machines};

    use super::*;

    /// The worked example of the format's description, part 13.
    const EXAMPLE: &str = "fm2_lJPEBGtpZDHEEBAREhMUFRYXGBkaGxwdHh/Ctmh0dHBzOi8vcGV0c2VtLmV4YW1wbGWUAJLNEnEfzgABAACBpHJlYWTDxCDBgM5HrCEYOhxC0MdxtZZP4HyKwiEF/HRogWLAWMy5iA==";

    #[test]
    fn what_a_forger_wrote_neither_moves_the_terminal_nor_makes_lines() {
        let mut forged = Macaroon::from_token(&UnverifiedToken::parse(EXAMPLE).unwrap()).unwrap();
        forged.add([Machines::new(["m\x1b]0;x\x07\nends      never".to_owned()]).into()]).unwrap();
        let inspected = inspect(&forged.to_text(), 0).unwrap();
        let shown = messages::inspected(inspected.first().unwrap());
        let controls: Vec<char> = shown.chars().filter(|one| one.is_control() && *one != '\n').collect();
        assert_eq!((controls, shown.lines().count()), (Vec::new(), 6), "{shown:?}");
    }

    #[test]
    fn a_token_is_shown_by_id_and_words_and_never_by_its_text() {
        let inspected = inspect(&format!("FlyV1 {EXAMPLE}"), 0).unwrap();
        let [token] = inspected.as_slice() else { panic!("{} tokens", inspected.len()) };
        assert_eq!(token.id, "c5ad1097-07c7-5db3-b181-a6187ee029ea");
        assert_eq!(token.location, "https://petsem.example");
        assert_eq!(token.expires_at, None);
        assert_eq!(token.caveats.len(), 2);
        assert_eq!(token.caveats[1], "petsem type 65536, malformed: refuses everything");
        let shown = messages::inspected(token);
        assert!(!shown.contains("fm2_") && !shown.contains("wYDOR6whGD"), "{shown}");
    }

    #[test]
    fn a_narrowed_token_says_what_narrows_it_and_when_it_ends() {
        let mut macaroon = Macaroon::from_token(&UnverifiedToken::parse(EXAMPLE).unwrap()).unwrap();
        macaroon
            .add([
                Apps::new([[1; 16]]).into(),
                Actions([Action::List].into_iter().collect::<ActionSet>()).into(),
                Caveat::ValidityWindow { not_before: 0, not_after: 1000 },
            ])
            .unwrap();
        let inspected = inspect(&macaroon.to_text(), 1001).unwrap();
        let token = &inspected[0];
        assert_eq!(token.caveats[2], "only apps: 01010101-0101-0101-0101-010101010101");
        assert_eq!(token.expires_at.as_deref(), Some("1970-01-01T00:16:40Z"));
        assert!(token.expired);
        assert!(!inspect(&macaroon.to_text(), 1000).unwrap()[0].expired);
    }

    #[test]
    fn what_is_no_token_is_named_by_its_place() {
        let fact = |text: &str| inspect(text, 0).map(|_| ()).unwrap_err().fact;
        assert_eq!(fact("fm2_AAAA"), messages::element_malformed(1).fact);
        assert_eq!(fact(&format!("{EXAMPLE},canary")), messages::element_foreign(2).fact);
        assert_eq!(fact(""), messages::no_token().fact);
    }
}
