//! Everything that people read, but for `--help`, which stands beside the arguments that it explains.
//!
//! A failure says what happened, then what to do, naming the flag or command to type. No text here can hold a
//! value, a key or a token: the functions are not given any.

mod rotation;
mod seals;

use std::fmt;
use std::path::Path;

use petsem_api::{
    App, AppRef, Approval, ApprovalState, BootResponse, BreakGlassToken, DeletedApp, Discharger, ErrorCode,
    ExplainedRefusal, Explanation, Issuer, MintedToken, NameError, Org, OrgRef, RevokeRequest, Revoked,
    SecretKeyName, SecretName, SetSecretKeyResponse, SigningKeyInfo, SigningKeyState,
};
use petsem_client::{
    BootFlowError, CallError, CredentialsError, DeliveryError, EndpointError, NarrowError, Rejection,
};
use petsem_policy::{Action, AddError, HeaderError, TextError, TokenId};
use petsem_seals::KeyFileError;
use petsem_server::{Denied, Installed, ServeError, SettingsError, StartError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::commands::{Inspected, Seen, Tested};
use crate::context::ContextError;
use crate::dotenv::{DotenvError, Problem, ProblemKind};
use crate::failure::{Exit, Failure};
use crate::output::harmless;
use crate::private_file::PrivateFileError;

pub(crate) use rotation::*;
pub(crate) use seals::*;

/// The end of `petsem --help`.
pub(crate) const EXIT_STATUSES: &str = "\
Exit status:
  0  done
  1  refused by the server, or failed on this machine
  2  the command line, or a file that it names, is not as it must be
  3  no server answered, or none could work now (502, 503, 504)
`petsem run` and `petsem boot` end as the command does that they start.";

/// How standard input is called where a file name stands otherwise.
pub(crate) const STDIN_NAME: &str = "standard input";
pub(crate) const TOKEN_PROMPT: &str = "Token (not shown): ";
pub(crate) const DURATION_RULE: &str =
    "give a whole number and a unit, s, m, h or d, such as 90s, 15m, 24h or 30d";
pub(crate) const VALUE_ENDS_WITH_NEWLINE: &str =
    "the value ends with a newline, which is part of it; --trim-newline takes it off";
pub(crate) const TIME_RULE: &str = "give date, time and offset, such as 2026-01-31T12:00:00Z";
pub(crate) const DELETED_ENTRY: &str = "(deleted)";
pub(crate) const REVOKED: &str = "revoked";
pub(crate) const VALID: &str = "valid";
pub(crate) const GOOD_SIGNATURE: &str = "the signature is good";

// -- the command line ------------------------------------------------------------------------------------------

pub(crate) fn value_in_argument() -> Failure {
    Failure::new(
        Exit::Usage,
        "a value was given on the command line, where every user of this machine can read it",
        "give the name alone and type the value when asked, or use --stdin or --file FILE; the value that was \
         typed is in the shell's history now: choose a new one",
    )
}

pub(crate) fn bad_secret_name(error: &NameError) -> Failure {
    Failure::new(Exit::Usage, "this is no secret's name", error.to_string())
}

pub(crate) fn bad_key_label(error: &NameError) -> Failure {
    Failure::new(Exit::Usage, "this is no key's label", error.to_string())
}

pub(crate) fn key_is_there(label: &SecretKeyName) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("there is a key {label} already"),
        "leave the version off to get the next one, or give --force to replace the key: what it encrypted \
         stays closed then",
    )
}

pub(crate) fn no_such_key(label: &SecretKeyName, app: &AppRef) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("{app} has no key {label}, and no version of it"),
        "`petsem keys list` shows what there is",
    )
}

pub(crate) fn bytes_to_terminal() -> Failure {
    Failure::new(
        Exit::Usage,
        "what comes out is bytes, and would be shown on this terminal",
        "give --out FILE, or a pipe; for ciphertexts and signatures also --base64",
    )
}

pub(crate) fn not_base64(path: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} does not hold base64", name_of(path)),
        "use the standard alphabet (+ /) with padding, or leave --base64 off for bytes",
    )
}

pub(crate) fn nothing_narrows() -> Failure {
    Failure::new(
        Exit::Usage,
        "nothing was given that would narrow the token",
        "give at least one of --app, --secret, --secret-prefix, --action, --machine, --host, --expires-in",
    )
}

pub(crate) fn unknown_action() -> Failure {
    let names: Vec<_> = Action::ALL.iter().map(|action| action.name()).collect();
    Failure::new(Exit::Usage, "there is no such action", format!("actions are {}", names.join(", ")))
}

pub(crate) fn too_far_away() -> Failure {
    Failure::new(Exit::Usage, "this is too far in the future", "give a shorter --expires-in, such as 30d")
}

pub(crate) fn nothing_to_revoke() -> Failure {
    Failure::new(
        Exit::Usage,
        "it is not said what to revoke",
        "give a token's id, or --key, --machine with --app, --host, or --issuer with --sub or --jti",
    )
}

pub(crate) fn nothing_to_run() -> Failure {
    Failure::new(
        Exit::Usage,
        "there is no command to run",
        "give it behind two dashes, as in: petsem boot --app shop --machine m1 -- ./start; or give --show",
    )
}

// -- where petsem is, and who we are -----------------------------------------------------------------------------

pub(crate) fn no_endpoint() -> Failure {
    Failure::new(
        Exit::Usage,
        "it is not known where petsem is",
        "give --endpoint URL and --token-file FILE, or --context FILE; or start `petsem dev` here",
    )
}

pub(crate) fn no_token_file() -> Failure {
    Failure::new(
        Exit::Usage,
        "there is no token for this endpoint",
        "give --token-file FILE; the context file's token goes to the context file's endpoint alone",
    )
}

pub(crate) fn no_host_token_file() -> Failure {
    Failure::new(
        Exit::Usage,
        "there is no host token for this endpoint",
        "give --host-token-file FILE; `petsem token create --kind host --host HOST --out FILE` makes one",
    )
}

pub(crate) fn no_app() -> Failure {
    Failure::new(Exit::Usage, "it is not said which app", "give --app APP, by name or id")
}

pub(crate) fn no_org() -> Failure {
    Failure::new(Exit::Usage, "it is not said which org", "give --org ORG, by name or id")
}

pub(crate) fn no_jwt() -> Failure {
    Failure::new(
        Exit::Usage,
        "there is no JWT that says who asks",
        "give --jwt-file FILE or PETSEM_JWT_FILE; in front of `petsem dev` its context file is enough",
    )
}

pub(crate) fn no_host() -> Failure {
    Failure::new(
        Exit::Usage,
        "it is not known for which host to narrow your token",
        "give --host HOST, as the host token names it, or a proof by --jwt-file FILE",
    )
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::Read(source) => source.into(),
            ContextError::NotToml { path, source } => Self::new(
                Exit::Usage,
                format!("{} is no context file: {}", path.display(), source.message()),
                "let `petsem dev` write it, or name another with --context FILE",
            ),
        }
    }
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

// -- files, prompts, the process -----------------------------------------------------------------------------------

impl From<PrivateFileError> for Failure {
    fn from(error: PrivateFileError) -> Self {
        match error {
            PrivateFileError::Open { path, source } => Self::new(
                Exit::Usage,
                format!("{} cannot be opened: {source}", path.display()),
                "check the path and who may read it",
            ),
            PrivateFileError::Read { path, source } => Self::new(
                Exit::Refused,
                format!("{} cannot be read: {source}", path.display()),
                "check the file and its disk",
            ),
            PrivateFileError::OpenToOthers { path, mode } => {
                let path = path.display();
                Self::new(
                    Exit::Usage,
                    format!(
                        "others may read or change {path} (mode {mode:04o}), so what it holds is no secret"
                    ),
                    format!("chmod 600 {path}; and replace the token if others use this machine"),
                )
            }
            PrivateFileError::ForeignOwner { path, owner } => {
                let path = path.display();
                Self::new(
                    Exit::Usage,
                    format!("{path} belongs to user {owner}, who may read and change it"),
                    format!("chown it to the user who runs petsem, or name another file than {path}"),
                )
            }
            PrivateFileError::NotAFile { path } => {
                Self::new(Exit::Usage, format!("{} is no regular file", path.display()), "name a file")
            }
            PrivateFileError::TooLarge { path, limit } => Self::new(
                Exit::Usage,
                format!("{} holds more than {limit} bytes", path.display()),
                "check that it is the file you mean",
            ),
            PrivateFileError::NotText { path } => Self::new(
                Exit::Usage,
                format!("{} holds no text", path.display()),
                "check that it is the file you mean",
            ),
            PrivateFileError::Exists { path } => Self::new(
                Exit::Usage,
                format!("{} is there already, and is left as it is", path.display()),
                "name a file that is not there",
            ),
            PrivateFileError::Write { path, source } => Self::new(
                Exit::Refused,
                format!("{} cannot be written: {source}", path.display()),
                "check the directory, who may write there, and the space on its disk",
            ),
        }
    }
}

pub(crate) fn values_readable_by_others(path: &Path, mode: u32) -> String {
    let path = path.display();
    format!("other users of this machine may read {path} (mode {mode:04o}); chmod 600 {path}, or delete it")
}

pub(crate) fn no_prompt() -> Failure {
    Failure::new(
        Exit::Usage,
        "there is nobody to ask: standard input is no terminal",
        "give --stdin to read the value from standard input, or --file FILE",
    )
}

pub(crate) fn prompt_failed(error: std::io::Error) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the terminal cannot be read: {error}"),
        "give --stdin or --file FILE",
    )
}

pub(crate) fn output_failed(error: impl fmt::Display) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("standard output cannot be written: {error}"),
        "what was asked for may be done all the same: look before you repeat it",
    )
}

pub(crate) fn cannot_harden(error: rustix::io::Errno) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("this process cannot be closed to others: {error}"),
        "run petsem where prctl and setrlimit are allowed; nothing secret has been read",
    )
}

pub(crate) fn no_runtime(error: std::io::Error) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the process cannot be set up: {error}"),
        "check the limits on threads and open files (ulimit -a)",
    )
}

pub(crate) fn not_json(path: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is not JSON: line {}, column {}", path.display(), error.line(), error.column()),
        "check the file; `petsem policy show` prints the form that is taken",
    )
}

// -- the server's answers --------------------------------------------------------------------------------------------

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let hint = match &error {
            CallError::Refused { code, request_id: Some(id), .. } if has_its_own_line(*code) => {
                Some(format!("the server's audit log has this request as {id}"))
            }
            _ => None,
        };
        let (exit, fact) = match &error {
            CallError::Refused { code, message, .. } => (Exit::Refused, format!("{message} ({code})")),
            CallError::Unavailable { .. } => (Exit::Unreachable, error.to_string()),
            _ => (Exit::Refused, error.to_string()),
        };
        Self { exit, fact, hint }
    }
}

/// Requests whose credential did not verify are summed up in the audit log, and what is no route is not in it.
fn has_its_own_line(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::TokenMissing
            | ErrorCode::TokenMalformed
            | ErrorCode::TokenInvalid
            | ErrorCode::DischargeMissing
            | ErrorCode::NoRoute
            | ErrorCode::MethodNotAllowed
    )
}

impl From<BootFlowError> for Failure {
    fn from(error: BootFlowError) -> Self {
        match error {
            BootFlowError::Discharge(call) => {
                let Self { exit, fact, hint } = call.into();
                Self { exit, fact: format!("no discharge for this boot: {fact}"), hint }
            }
            BootFlowError::Boot(call) | BootFlowError::Renew(call) => call.into(),
            other => Self::bare(Exit::Usage, other.to_string()),
        }
    }
}

impl From<NarrowError> for Failure {
    fn from(error: NarrowError) -> Self {
        Self::bare(Exit::Usage, error.to_string())
    }
}

/// A bundle that the command's environment cannot carry.
pub(crate) fn does_not_fit(rejection: Rejection) -> Failure {
    Failure::bare(Exit::Refused, rejection.to_string())
}

impl From<DeliveryError> for Failure {
    fn from(error: DeliveryError) -> Self {
        Self::bare(Exit::Refused, error.to_string())
    }
}

pub(crate) fn booted(response: &BootResponse) -> String {
    format!(
        "Machine {} of {} has booted with version {}: {} {}",
        response.machine,
        response.app_name,
        response.version,
        response.secrets.len(),
        plural(response.secrets.len(), "secret", "secrets")
    )
}

// -- this node ----------------------------------------------------------------------------------------------

/// The first lines of the context file that `petsem dev` writes.
pub(crate) const CONTEXT_HEADER: &str = "\
# Written by `petsem dev` at each start; other commands find their server by it.
";

pub(crate) fn development_ready(endpoint: &str, directory: &Path, context: &Path) -> String {
    let export = match context == Path::new("petsem-dev/context.toml") {
        true => String::new(),
        false => format!("  export PETSEM_CONTEXT={}\n", context.display()),
    };
    format!(
        "petsem dev serves {endpoint}; all it keeps is in {}. To try things out, not to keep secrets.\n\
         Type in another terminal:\n\
         {export}  petsem secrets set GREETING\n  petsem secrets list\n  \
         petsem run -- sh -c 'echo \"$GREETING\"'\n\
         Ctrl-C stops it; the next `petsem dev` goes on where this one was.",
        directory.display()
    )
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Value { key, value, remedy } => {
                Self::new(Exit::Usage, format!("the configuration key {key} is {value:?}"), remedy)
            }
            SettingsError::Unreadable { .. } => {
                Self::new(Exit::Usage, error.to_string(), "check the path and who may read it")
            }
            other => two_lines(Exit::Usage, &other.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        two_lines(Exit::Refused, &error.to_string())
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        two_lines(Exit::Refused, &error.to_string())
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        two_lines(Exit::Usage, &error.to_string())
    }
}

/// The server's own texts put the hint on their last line. Those that also stand in its log, which has one line
/// for each, put it behind the last semicolon.
fn two_lines(exit: Exit, text: &str) -> Failure {
    match text.rsplit_once('\n').or_else(|| text.rsplit_once("; ")) {
        Some((fact, hint)) => Failure::new(exit, fact.trim_end(), hint),
        None => Failure::bare(exit, text),
    }
}

pub(crate) fn bad_log_filter(variable: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{variable} is no log filter"),
        format!("give one such as {variable}=info or {variable}=petsem_server=debug"),
    )
}

pub(crate) fn configuration_good(path: &Path) -> String {
    format!("{} is a good configuration", path.display())
}

pub(crate) fn key_file_to_be_made(path: &Path) -> String {
    format!("the key file {} is not there yet; `petsem operator init` makes it", path.display())
}

pub(crate) fn installed(installed: &Installed, token: &Path, config: &Path) -> String {
    let seals: Vec<&str> = installed.seals.iter().map(|seal| seal.description.as_str()).collect();
    let keep = match installed.seals.iter().any(|seal| seal.kind == petsem_seals::KEY_FILE_KIND) {
        true => {
            "keep a copy of the key file in a safe place: without it, or another seal, nothing opens the store"
        }
        false => "keep what opens it in safe places: without a seal nothing opens the store",
    };
    format!(
        "installation {} is made, sealed by {}\n\
         the first token is in {}, good until {}\n\
         {keep}\n\
         now: petsem server --config {}",
        installed.store,
        seals.join(", "),
        token.display(),
        installed.token.expires_at,
        config.display()
    )
}

pub(crate) fn no_issuer(path: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is no issuer: {error}", name_of(path)),
        "give {\"issuer\": \"https://…\", \"algorithms\": [\"ES256\"]} with one of \"keys\": {\"keys\": [ … ]}, \
         \"jwks_url\": \"https://…\" and \"discovery\": true",
    )
}

pub(crate) fn owner_made(token: &MintedToken, file: &Path) -> String {
    format!(
        "the owner's token is in {}, good until {}\nit may prove boots: keep it from whoever may enroll hosts",
        file.display(),
        token.expires_at
    )
}

pub(crate) fn issuer_added(issuer: &Issuer) -> String {
    let registered = format!("issuer {} is registered as {}", issuer.issuer, issuer.id);
    match issuer.fetched {
        None => registered,
        Some(_) => format!(
            "{registered}\nits keys are fetched while the server runs; /readyz warns when they cannot be"
        ),
    }
}

pub(crate) const UNREADABLE_LINE: &str = "(a line that cannot be read: petsem operator audit verify)";

pub(crate) fn no_audit_log(directory: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} holds no audit log that can be read: {error}", directory.display()),
        "name audit.directory of the configuration, or petsem-dev/audit, as a user who may read it",
    )
}

pub(crate) fn not_an_audit_log(directory: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} holds no audit log: no file in it is named audit-….log", directory.display()),
        "name audit.directory of the configuration; by default that is `audit` in the data directory",
    )
}

pub(crate) fn audit_verified(report: &Seen) -> String {
    if report.last_line == 0 {
        return "the audit log has no lines".to_owned();
    }
    let sealed = match report.without_mac {
        0 => String::new(),
        count => format!(
            "; {count} have no MAC: the node was sealed then, and whoever can write its disk could have made them"
        ),
    };
    format!(
        "the audit log is what was written: lines {} to {}, {} {}, {} recovered after a kill{sealed}",
        report.first_line,
        report.last_line,
        report.checkpoints,
        plural(usize::try_from(report.checkpoints).unwrap_or(usize::MAX), "checkpoint", "checkpoints"),
        report.recovered.len()
    )
}

// -- .env files -----------------------------------------------------------------------------------------------------

/// Most problems of one file that are shown.
const PROBLEMS_SHOWN: usize = 10;

pub(crate) fn dotenv_problems(f: &mut fmt::Formatter<'_>, problems: &[Problem]) -> fmt::Result {
    for (at, problem) in problems.iter().take(PROBLEMS_SHOWN).enumerate() {
        let separator = if at == 0 { "" } else { "\n" };
        write!(f, "{separator}  line {}: {}", problem.line, DescribedProblem(problem.kind))?;
    }
    match problems.len().saturating_sub(PROBLEMS_SHOWN) {
        0 => Ok(()),
        more => write!(f, "\n  and {more} more"),
    }
}

struct DescribedProblem(ProblemKind);

impl fmt::Display for DescribedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ProblemKind::NotUtf8 => "not UTF-8; for other bytes use `petsem secrets set NAME --file FILE`",
            ProblemKind::NoEqualsSign => "no NAME=value; a value over several lines stands in quotes",
            ProblemKind::BadName => {
                "the name is not 1 to 255 letters, digits and underscores, not starting with a digit"
            }
            ProblemKind::UnclosedQuote => "the quote that opens here is never closed",
            ProblemKind::TextAfterQuote => {
                "text behind the closing quote; inside double quotes write a double quote as \\\""
            }
            ProblemKind::Backtick => "backticks are no quotes here; use single or double ones",
            ProblemKind::UnquotedPem => "a key over several lines stands in quotes",
            ProblemKind::ControlCharacter => {
                "a control character; for such values use `petsem secrets set NAME --file FILE`"
            }
            ProblemKind::ValueTooLarge => "the value is over 64 KiB",
            ProblemKind::Duplicate { first } => {
                return write!(f, "the same name as on line {first}; which value is meant cannot be known");
            }
        })
    }
}

pub(crate) fn dotenv_refused(path: &Path, error: &DotenvError) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("nothing was imported, {} cannot be read whole:\n{error}", name_of(path)),
        "correct these lines; `petsem secrets import --dry-run FILE` checks without a server",
    )
}

pub(crate) fn dotenv_empty(path: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("nothing was imported, {} holds no variables", name_of(path)),
        "check that it is the file you mean",
    )
}

fn name_of(path: &Path) -> String {
    if path == Path::new(crate::value_source::STDIN) {
        STDIN_NAME.to_owned()
    } else {
        path.display().to_string()
    }
}

// -- tokens -----------------------------------------------------------------------------------------------------------

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
        RevokeRequest::Jwt { issuer, jti } => format!("JWT {jti} of {issuer}, and what came of it, is"),
    }
}

pub(crate) fn recovered(token: &MintedToken, file: &Path) -> String {
    format!("the operator's token is in {}, good until {}", file.display(), token.expires_at)
}

// -- what was done ------------------------------------------------------------------------------------------------------

pub(crate) fn value_prompt(name: &SecretName) -> String {
    format!("Value of {name} (not shown): ")
}

pub(crate) fn secret_set(name: &SecretName, app: &AppRef, version: u64) -> String {
    format!("{name} is set; {app} is at version {version}")
}

pub(crate) fn secret_rolled_back(name: &SecretName, app: &AppRef, to: u64, version: u64) -> String {
    format!("{name} has its value of version {to} again; {app} is at version {version}")
}

/// What was not there is not said to be deleted.
pub(crate) fn secrets_unset(names: &[String], app: &AppRef, version: u64) -> String {
    let gone = match names {
        [name] => format!("secret {name}"),
        names => format!("secret of these {} names", names.len()),
    };
    format!("{app} has no {gone} at version {version}")
}

pub(crate) fn secrets_imported(count: usize, app: &AppRef, version: u64) -> String {
    format!("{count} {} set; {app} is at version {version}", plural(count, "secret is", "secrets are"))
}

pub(crate) fn key_made(key: &SetSecretKeyResponse, app: &AppRef) -> String {
    let label = &key.key.name;
    let public = key.key.public_key.as_ref().map(|public| format!("; its public key is {public}"));
    format!(
        "{label} is a key of type {}{}; {app} is at version {}",
        key.key.kind,
        public.unwrap_or_default(),
        key.version
    )
}

pub(crate) fn key_deleted(label: &SecretKeyName, app: &AppRef, version: u64) -> String {
    format!("{app} has no key {label} at version {version}")
}

pub(crate) fn org_created(org: &Org) -> String {
    format!("org {} is {}", org.name, org.id)
}

pub(crate) fn org_deleted(org: &OrgRef) -> String {
    format!("org {org} is deleted")
}

pub(crate) fn app_created(app: &App) -> String {
    format!("app {} is {}", app.name, app.id)
}

pub(crate) fn app_typed_again(app: &str) -> String {
    format!("This destroys all secrets and keys of {app}. Type {app} to go on: ")
}

pub(crate) fn app_not_deleted() -> Failure {
    Failure::new(
        Exit::Usage,
        "something else was typed; nothing was deleted",
        "type the app as it stands in the command, or give --yes",
    )
}

pub(crate) fn app_deleted(app: &AppRef, answer: &DeletedApp) -> String {
    format!("app {app} ({}) is deleted. {}", answer.id, answer.notice)
}

pub(crate) fn policy_set(app: &AppRef, version: u64) -> String {
    format!("the policy of {app} is at version {version}")
}

fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

// -- the second person --------------------------------------------------------------------------------------------------

pub(crate) const NO_SECOND_PERSON: &str =
    "no second person stood behind this: the seal stood in, and the audit log says so";
pub(crate) const PLATFORM: &str = "the platform";

pub(crate) fn glass_waits(asked: &BreakGlassToken) -> String {
    format!(
        "request {} waits for a second person until {}; they type: petsem approve {}",
        asked.request, asked.expires_at, asked.request
    )
}

pub(crate) fn glass_broken(asked: &BreakGlassToken) -> String {
    format!("token {} with its discharge, good until {}", asked.id, asked.expires_at)
}

pub(crate) fn no_ticket() -> Failure {
    Failure::new(
        Exit::Refused,
        "the server made a token that asks for no discharge",
        "check that server and command are of one version",
    )
}

pub(crate) fn page_to_open(url: &str) -> String {
    let shown: String = url.chars().filter(|character| !character.is_control()).collect();
    format!("the page for whoever approves it: {shown}")
}

pub(crate) fn approval_state(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Open => "open",
        ApprovalState::Approved => "approved",
        ApprovalState::Denied => "denied",
        ApprovalState::Expired => "over",
    }
}

pub(crate) fn decided(approval: &Approval) -> String {
    let Approval { id, state, summary, asker, reason, .. } = approval;
    format!("request {id} is {}: {summary}, asked by {asker}: {reason}", approval_state(*state))
}

pub(crate) fn waits(approval: &Approval) -> String {
    let Approval { id, summary, ends_at, .. } = approval;
    format!(
        "request {id} waits for a second person until {ends_at}: {summary}; they type: petsem approve {id}"
    )
}

pub(crate) fn signing_key_state(state: SigningKeyState) -> &'static str {
    match state {
        SigningKeyState::Current => "signs new tokens",
        SigningKeyState::Verifying => "verifies old ones",
        SigningKeyState::Revoked => REVOKED,
        _ => "unknown to this version",
    }
}

pub(crate) fn signing_key_rotated(key: &SigningKeyInfo) -> String {
    format!(
        "new tokens are signed with key {}; those of the key before stay good until they end or it is revoked",
        key.id
    )
}

// -- why was I denied? --------------------------------------------------------------------------------------------------

pub(crate) fn explained(explanation: &Explanation) -> String {
    let mut text = String::new();
    for token in &explanation.tokens {
        if token.refusals.is_empty() {
            text.push_str(&format!("token {} allows it\n", token.id));
            continue;
        }
        text.push_str(&format!("token {} refuses it\n", token.id));
        for refusal in &token.refusals {
            let reason = harmless(&format!("{} ({})", refusal.reason, refusal.code));
            match &refusal.caveat {
                Some(caveat) => text.push_str(&format!("  {}: {reason}\n", harmless(caveat))),
                None => text.push_str(&format!("  {reason}\n")),
            }
        }
    }
    text
}

pub(crate) fn not_allowed() -> Failure {
    Failure::new(
        Exit::Refused,
        "none of the tokens allows it",
        "tokens never add up: one alone has to allow all of it",
    )
}

pub(crate) fn offline_needs_ids() -> Failure {
    Failure::new(
        Exit::Usage,
        "--offline asks no server, which alone knows names",
        "give the id (`petsem app list`, `petsem org list`), or leave --offline out",
    )
}

pub(crate) fn discharge_missing(location: &str) -> ExplainedRefusal {
    ExplainedRefusal {
        caveat: Some(format!("only with a discharge from {location}")),
        code: "discharge_missing".to_owned(),
        reason: "there is none; get one there, and give both".to_owned(),
    }
}

pub(crate) fn of_discharge(kind: u64) -> String {
    format!("a condition of a discharge (type {kind})")
}

pub(crate) fn policy_tested(tested: &Tested) -> String {
    if let Some(rule) = &tested.allowed_by {
        return format!("rule {rule} allows it");
    }
    if tested.rules.is_empty() {
        return "the policy has no rule, and without one nothing is allowed".to_owned();
    }
    let mut text = String::new();
    for rule in &tested.rules {
        let nearest = if tested.nearest.as_ref() == Some(&rule.rule) { ", the nearest," } else { "" };
        text.push_str(&format!("rule {}{nearest} refuses it; it would pass with\n", rule.rule));
        for change in &rule.changes {
            text.push_str(&format!("  {change}\n"));
        }
    }
    text
}

pub(crate) fn policy_refuses() -> Failure {
    Failure::new(
        Exit::Refused,
        "no rule of the policy allows it",
        "change the JWT or, if it shall be allowed, a rule, and `petsem policy set` it",
    )
}

pub(crate) fn policy_unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("the policy is not one: {error}"), "mend it and try again")
}

pub(crate) fn policy_not_text() -> Failure {
    Failure::new(Exit::Usage, "the policy is not UTF-8 text", "give JSON, as `petsem policy show` prints it")
}

pub(crate) fn claims_not_text() -> Failure {
    Failure::new(Exit::Usage, "the claims are not UTF-8 text", "give a JSON object, or a JWT")
}

pub(crate) fn no_claims(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("these are no claims: {error}"), "give a JSON object, or a JWT")
}

pub(crate) fn nothing_to_test() -> Failure {
    Failure::new(Exit::Usage, "there is nothing to ask", "give --secret, or --machine and --host")
}

pub(crate) fn test_needs_app() -> Failure {
    Failure::new(
        Exit::Usage,
        "a policy from a file does not say which app it is of, and a boot is of one",
        "give the app's name as --app and its id as --app-id, or leave --policy out",
    )
}

pub(crate) fn org_guarded(org: &OrgRef, guarded: bool) -> String {
    if guarded {
        format!("in {org} a second person approves each policy with rules")
    } else {
        format!(
            "in {org} policies take effect at once; `petsem org guard {org} --on` asks for a second person"
        )
    }
}

pub(crate) fn no_shared_key() -> Failure {
    Failure::new(
        Exit::Usage,
        "this is no shared key",
        "give 32 bytes in base64, as the discharger shows them",
    )
}

pub(crate) fn no_discharger_id() -> Failure {
    Failure::new(
        Exit::Usage,
        "this is no discharger's id",
        "give 32 hex digits, as `petsem discharger list` shows",
    )
}

pub(crate) fn discharger_added(discharger: &Discharger) -> String {
    format!("the discharger at {} is registered as {}", discharger.location, discharger.id)
}

pub(crate) fn discharger_deleted(discharger: &Discharger) -> String {
    format!("the discharger {} at {} is deleted", discharger.id, discharger.location)
}
