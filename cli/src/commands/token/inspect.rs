//! `petsem token inspect`.

use std::path::{Path, PathBuf};

use clap::Args;
use petsem_policy::{Caveat, Content, Header, UnverifiedToken};

use crate::failure::Failure;
use crate::report::TokenDescription;
use crate::{clock, messages, output, private_file, value_source};

/// Describe in words what a token allows; needs no server
///
/// Nothing is verified: a forged token looks like a genuine one. The token itself is not shown.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The file with the token (mode 0600), or - for standard input
    #[arg(value_name = "TOKEN_FILE", default_value = private_file::STDIN)]
    token: PathBuf,

    /// Print the description as JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let text = value_source::token(&self.token)?;
        let tokens = inspect(&self.token, &text, clock::unix_now())?;
        if self.json {
            return output::confirm(true, &tokens, "");
        }
        let descriptions: Vec<String> = tokens.iter().map(messages::token_description).collect();
        output::write(descriptions.join("\n").as_bytes())
    }
}

/// Every token of a header value; an error names the first element that is not a token.
fn inspect(file: &Path, text: &str, now: u64) -> Result<Vec<TokenDescription>, Failure> {
    if text.trim().is_empty() {
        return Err(messages::no_token(file));
    }
    let header = Header::parse(text, "").map_err(|error| messages::header_refused(file, &error))?;
    let mut tokens = Vec::new();
    for (at, element) in header.elements().iter().enumerate() {
        match element.content() {
            Content::Token(token) => tokens.push(describe(token, now)),
            Content::Malformed => return Err(messages::element_malformed(file, at + 1)),
            _ => return Err(messages::element_foreign(file, at + 1)),
        }
    }
    Ok(tokens)
}

fn describe(token: &UnverifiedToken, now: u64) -> TokenDescription {
    let end = token.expires_at();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    TokenDescription {
        id: token.id().to_string(),
        location: token.location().to_owned(),
        proof: token.nonce().proof(),
        caveats: token.caveats().iter().map(Caveat::describe).collect(),
        third_parties: token.undischarged(&[]).into_iter().map(|(location, _)| location.to_owned()).collect(),
        expires_at: end.map(messages::time_text),
        expired: end.is_some_and(|end| end < now),
    }
}

#[cfg(test)]
mod tests {
    use petsem_policy::{Action, ActionSet, Actions, Apps, Macaroon, Machines};

    use super::*;

    fn inspect(text: &str, now: u64) -> Result<Vec<TokenDescription>, Failure> {
        super::inspect(Path::new("look.token"), text, now)
    }

    /// The worked example of the format's description, part 13.
    const EXAMPLE: &str = "fm2_lJPEBGtpZDHEEBAREhMUFRYXGBkaGxwdHh/Ctmh0dHBzOi8vcGV0c2VtLmV4YW1wbGWUAJLNEnEfzgABAACBpHJlYWTDxCDBgM5HrCEYOhxC0MdxtZZP4HyKwiEF/HRogWLAWMy5iA==";

    #[test]
    fn a_forged_token_neither_controls_the_terminal_nor_adds_lines() {
        let mut forged = Macaroon::from_token(&UnverifiedToken::parse(EXAMPLE).unwrap()).unwrap();
        forged.add([Machines::new(["m\x1b]0;x\x07\nexpires   never".to_owned()]).into()]).unwrap();
        let inspected = inspect(&forged.to_text(), 0).unwrap();
        let shown = messages::token_description(inspected.first().unwrap());
        let controls: Vec<char> = shown.chars().filter(|one| one.is_control() && *one != '\n').collect();
        assert_eq!((controls, shown.lines().count()), (Vec::new(), 6), "{shown:?}");
    }

    #[test]
    fn a_description_has_the_id_and_never_the_token() {
        let inspected = inspect(&format!("FlyV1 {EXAMPLE}"), 0).unwrap();
        let [token] = inspected.as_slice() else { panic!("{} tokens", inspected.len()) };
        assert_eq!(token.id, "c5ad1097-07c7-5db3-b181-a6187ee029ea");
        assert_eq!(token.location, "https://petsem.example");
        assert_eq!(token.expires_at, None);
        assert_eq!(token.caveats.len(), 2);
        assert_eq!(token.caveats[1], "petsem type 65536, malformed: refuses everything");
        let shown = messages::token_description(token);
        assert!(!shown.contains("fm2_") && !shown.contains("wYDOR6whGD"), "{shown}");
    }

    #[test]
    fn a_description_has_caveats_and_expiry() {
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
    fn an_element_that_is_not_a_token_is_named_by_its_file_and_position() {
        let fact = |text: &str| inspect(text, 0).map(|_| ()).unwrap_err().fact;
        let malformed = "look.token: token 1 is malformed: it is truncated, or not in canonical form";
        assert_eq!(fact("fm2_AAAA"), malformed);
        assert_eq!(fact(&format!("{EXAMPLE},canary")), "look.token: token 2 is not a macaroon");
        assert_eq!(fact(""), "look.token has no token");
    }
}
