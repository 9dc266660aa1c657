//! `petsem secrets list`.

use clap::Args;
use petsem_api::{AppRef, SecretList, Value, WireField};

use crate::arguments::AppArguments;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};
use crate::remote::Remote;

/// List names, digests, versions and authors
#[derive(Args)]
pub(crate) struct List {
    /// Show the values, with a token that a second person approved (`petsem break-glass`)
    ///
    /// On a terminal and in a pipe alike, characters that a terminal does not show are escaped (a line end is \u{a}), and
    /// FORM says whether a value is text or, if it is not UTF-8, base64. --json has the values exactly, and in a pipe a
    /// line is name, form and value with tabs between, without headings.
    #[arg(long)]
    show: bool,

    #[command(flatten)]
    common: AppArguments,
}

impl List {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (remote, app) = self.common.open()?;
        if self.show {
            return show(&remote, &app, self.common.json());
        }
        let answer: SecretList = remote.get(&format!("/v1/apps/{app}/secrets"))?;
        messages::secret_warnings(&answer.secrets).iter().for_each(|note| output::notice(note));
        output::answer(self.common.json(), &answer, |answer| {
            let mut table = Table::new(&["NAME", "DIGEST", "SET IN VERSION", "SET AT", "SET BY"]);
            for secret in &answer.secrets {
                table.row([
                    secret.name.to_string(),
                    secret.digest.to_string(),
                    secret.set_in_version.to_string(),
                    secret.updated_at.clone(),
                    secret.author.clone(),
                ]);
            }
            table
        })
    }
}

fn show(remote: &Remote, app: &AppRef, json: bool) -> Result<(), Failure> {
    let answer: SecretList = remote.get(&format!("/v1/apps/{app}/secrets?show_secrets=true"))?;
    output::answer(json, &answer, |answer| {
        let mut table = Table::new(&["NAME", "FORM", "VALUE"]);
        for secret in &answer.secrets {
            let (form, value) = secret.value.as_ref().map(form_and_value).unwrap_or_default();
            table.row([secret.name.to_string(), form.to_owned(), value]);
        }
        table
    })
}

/// A value as people read it, and what that is: base64 looks like text.
fn form_and_value(value: &Value) -> (&'static str, String) {
    let field = value.expose_wire();
    let form = match field {
        WireField::Value(_) => "text",
        WireField::ValueB64(_) => "base64",
    };
    (form, field.expose().1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_with_its_form() {
        let shown = |bytes: &[u8]| form_and_value(&Value::new(bytes.to_vec()));
        assert_eq!(shown("ä\n".as_bytes()), ("text", "ä\n".to_owned()));
        assert_eq!(shown(&[0xff, 0]), ("base64", "/wA=".to_owned()));
    }
}
