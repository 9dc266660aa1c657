//! The command line, the context file, and missing arguments.

use std::path::Path;

use petsem_api::{AppRef, NameError, SecretKeyName, SecretName};
use petsem_client::{CredentialsError, EndpointError};
use petsem_policy::Action;

use super::phrasing::file_name;
use crate::failure::{Exit, Failure};

/// The end of `petsem --help`.
pub(crate) const EXIT_STATUSES: &str = "\
Exit status:
  0  success
  1  refused by the server, or failed on this machine
  2  the command line, or a file named on it, is invalid
  3  no server answered, or none is available now (502, 503, 504)
  4  nothing is changed yet: a second person must approve the change (`policy set`, `app set`,
     `org guard`); commands that only make requests, such as `host enroll`, exit with 0 then
`petsem run` and `petsem boot` exit with the status of the command that they start, with 127 if it
is not found, and with 126 if it cannot be started. `petsem operator status` exits with 0 if the
node is ready, with 2 if it is sealed or stopped, and with 1 otherwise.";

pub(crate) const TOKEN_VARIABLE_IGNORED: &str = "PETSEM_TOKEN is ignored: a token in the environment is visible to other \
     processes of this user; put it into a file and name that in PETSEM_TOKEN_FILE, or give --token-file -";

pub(crate) const DURATION_RULE: &str =
    "give a whole number and a unit, s, m, h or d, such as 90s, 15m, 24h or 30d";
pub(crate) const TIME_RULE: &str = "give date, time and offset, such as 2026-01-31T12:00:00Z";

/// The question; a person types the word after it.
pub(crate) fn confirmation_prompt(consequence: &str, word: &str) -> String {
    format!("{consequence}\nType {word} to continue: ")
}

pub(crate) fn not_confirmed(word: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        "the confirmation does not match; nothing was changed",
        format!("type {word}, and nothing else, or give --yes"),
    )
}

pub(crate) fn confirmation_needs_yes(consequence: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{consequence}; nothing was changed, because nobody confirmed it"),
        "give --yes to confirm; without it the command asks, for which standard input must be a terminal",
    )
}

pub(crate) fn value_in_argument() -> Failure {
    Failure::new(
        Exit::Usage,
        "a value was given on the command line, where every user of this machine can read it",
        "give only the name and type the value at the prompt, or use --stdin or --file FILE; the value that was \
         typed is now in the shell's history: choose a new one",
    )
}

pub(crate) fn invalid_secret_name(error: &NameError) -> Failure {
    Failure::new(Exit::Usage, "invalid secret name", error.to_string())
}

pub(crate) fn invalid_key_label(error: &NameError) -> Failure {
    Failure::new(Exit::Usage, "invalid key label", error.to_string())
}

pub(crate) fn key_exists(label: &SecretKeyName) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("key {label} already exists"),
        "omit the version to create the next one, or give --force to replace the key: what it encrypted can then \
         no longer be decrypted",
    )
}

pub(crate) fn key_not_found(label: &SecretKeyName, app: &AppRef) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("{app} has no key {label} and no version of it"),
        "`petsem keys list` lists the keys",
    )
}

pub(crate) fn bytes_to_terminal() -> Failure {
    Failure::new(
        Exit::Usage,
        "the result is binary, and standard output is a terminal",
        "give --out FILE, or use a pipe; for ciphertexts and signatures also --base64",
    )
}

pub(crate) fn not_base64(path: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is not base64", file_name(path)),
        "use the standard alphabet (+ /) with padding, or omit --base64 for bytes",
    )
}

pub(crate) fn nothing_narrows() -> Failure {
    Failure::new(
        Exit::Usage,
        "no restriction given",
        "give at least one of --app, --secret, --secret-prefix, --action, --machine, --host, --expires-in",
    )
}

pub(crate) fn unknown_action() -> Failure {
    let names: Vec<_> = Action::ALL.iter().map(|action| action.name()).collect();
    Failure::new(Exit::Usage, "unknown action", format!("actions are {}", names.join(", ")))
}

pub(crate) fn expiry_too_late() -> Failure {
    Failure::new(
        Exit::Usage,
        "the expiry is too far in the future",
        "give a shorter --expires-in, such as 30d",
    )
}

pub(crate) fn nothing_to_revoke() -> Failure {
    Failure::new(
        Exit::Usage,
        "nothing to revoke given",
        "give a token id, or --key, --machine with --app, --host, or --issuer with --sub, --all-jwts or --jti",
    )
}

pub(crate) fn not_a_mapping() -> Failure {
    Failure::new(
        Exit::Usage,
        "--map needs a variable and a secret",
        "write it as in: --map DATABASE_URL=PROD_DATABASE_URL",
    )
}

pub(crate) fn mapped_twice(variable: &SecretName) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("--map names the variable {variable} twice"),
        "choose one secret for it",
    )
}

pub(crate) fn nothing_to_run() -> Failure {
    Failure::new(
        Exit::Usage,
        "no command given",
        "give it after two dashes, as in: petsem boot --app shop --machine m1 -- ./start; or give --show",
    )
}

pub(crate) fn no_endpoint() -> Failure {
    Failure::new(
        Exit::Usage,
        "no server address given",
        "give --endpoint URL and --token-file FILE, or --context FILE; or start `petsem dev` in this directory",
    )
}

pub(crate) fn token_without_endpoint(file: &Path, context: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!(
            "{} is not sent to the server of {}, which this command found by itself",
            file.display(),
            context.display()
        ),
        format!(
            "name the server, too: --endpoint URL, or --context {0} (PETSEM_CONTEXT={0})",
            context.display()
        ),
    )
}

/// A token that was just written: the next command would refuse to send it.
pub(crate) fn token_needs_context(file: &Path, context: &Path) -> String {
    format!(
        "a command that uses {} must name the server, too: --context {1}, or PETSEM_CONTEXT={1}",
        file.display(),
        context.display()
    )
}

pub(crate) fn context_of_others(context: &Path, owned: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} was not read: other users can write {}", context.display(), owned.display()),
        format!(
            "check what it names; then make it yours alone (chown, chmod go-w {}), or name it with --context",
            owned.display()
        ),
    )
}

pub(crate) fn context_names_elsewhere(context: &Path, file: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} was not used: it names {}, which is not beside it", context.display(), file.display()),
        format!("check what it names; to use it, name it: --context {}", context.display()),
    )
}

pub(crate) fn no_metadata(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} cannot be examined: {error}", path.display()),
        "check the path and its permissions",
    )
}

pub(crate) fn no_token_file() -> Failure {
    Failure::new(
        Exit::Usage,
        "no token file given for this endpoint",
        "give --token-file FILE; the token of a context file is sent only to the endpoint of that file",
    )
}

pub(crate) fn no_host_token_file() -> Failure {
    Failure::new(
        Exit::Usage,
        "no host token file given for this endpoint",
        "give --host-token-file FILE; once `petsem host enroll HOST` is approved, `petsem token create --kind host --host \
         HOST --out FILE` creates one",
    )
}

pub(crate) fn no_app() -> Failure {
    Failure::new(Exit::Usage, "no app given", "give --app APP, by name or id")
}

pub(crate) fn no_org() -> Failure {
    Failure::new(Exit::Usage, "no org given", "give --org ORG, by name or id")
}

pub(crate) fn no_jwt() -> Failure {
    Failure::new(
        Exit::Usage,
        "no JWT given",
        "give --jwt-file FILE or set PETSEM_JWT_FILE; for `petsem dev` its context file is enough",
    )
}

pub(crate) fn no_host() -> Failure {
    Failure::new(
        Exit::Usage,
        "no host given to narrow your token to",
        "give --host HOST, as the host token names it, or a proof with --jwt-file FILE",
    )
}

pub(crate) fn invalid_context(path: &Path, error: &toml::de::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is not a context file: {}", path.display(), error.message()),
        "let `petsem dev` write it, or name another file with --context FILE",
    )
}

impl From<EndpointError> for Failure {
    fn from(error: EndpointError) -> Self {
        Self::bare(Exit::Usage, error.to_string())
    }
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Self {
        Self::bare(Exit::Usage, error.to_string())
    }
}
