//! Everything that people read, but for `--help`, which stands beside the arguments that it explains.
//!
//! A failure says what happened, then what to do, naming the flag or command to type. No text here can hold a
//! value, a key or a token: the functions are not given any.

mod explanations;
mod issuers;
mod rotation;
mod seals;
mod second_person;
mod tokens;

use std::fmt;
use std::path::Path;

use petsem_api::{
    App, AppRef, Approval, ApprovalState, BootResponse, BreakGlassToken, DeletedApp, Discharger, ErrorCode,
    ExplainedRefusal, Explanation, MintedToken, NameError, Org, OrgRef, RevokeRequest, Revoked,
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

pub(crate) use explanations::*;
pub(crate) use issuers::*;
pub(crate) use rotation::*;
pub(crate) use seals::*;
pub(crate) use second_person::*;
pub(crate) use tokens::*;

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
pub(crate) const OVER: &str = "over";
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

/// Where somebody would be asked.
const NO_TERMINAL: &str = "there is nobody to ask: standard input is no terminal";

pub(crate) fn no_prompt() -> Failure {
    Failure::new(
        Exit::Usage,
        NO_TERMINAL,
        "give --stdin to read the value from standard input, or --file FILE",
    )
}

pub(crate) fn prompt_failed(error: std::io::Error) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the terminal cannot be read: {error}"),
        "end the line with Enter; or give it in a file, with the option that --help names",
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
            CallError::Refused { code, request_id: Some(id), .. } => Some(in_the_log(*code, *id)),
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
fn in_the_log(code: ErrorCode, id: RequestId) -> String {
    match code {
        ErrorCode::TokenMissing
        | ErrorCode::TokenMalformed
        | ErrorCode::TokenInvalid
        | ErrorCode::DischargeMissing => {
            format!("this was request {id}; the server's audit log counts such refusals together")
        }
        ErrorCode::NoRoute | ErrorCode::MethodNotAllowed => {
            format!("this was request {id}; the audit log has no line of it")
        }
        _ => format!("the server's audit log has this request as {id}"),
    }
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

pub(crate) fn owner_made(token: &MintedToken, file: &Path) -> String {
    format!(
        "the owner's token is in {}, good until {}\nit may prove boots: keep it from whoever may enroll hosts",
        file.display(),
        token.expires_at
    )
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
        [name] => format!("{name} is not set any more"),
        names => format!("none of these {} secrets is set any more", names.len()),
    };
    format!("{gone}; {app} is at version {version}")
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
    format!("{label} is deleted; {app} is at version {version}")
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
