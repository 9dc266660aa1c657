//! The server's answers: refusals, and changes to secrets, keys, orgs and apps.

use std::io;
use std::path::Path;

use petsem_api::{
    App, AppRef, AppSecret, AppSettings, BootResponse, DeletedApp, ErrorCode, Org, OrgRef, RequestId,
    SecretKeyName, SecretName, SecretWarning, SetSecretKeyResponse, shell_quoted,
};
use petsem_client::{
    BootFlowError, CallError, CredentialsError, DeliveryError, EndpointFailure, FailureKind, LeftOut,
    LeftOutReason, NarrowError, Rejection,
};

use super::phrasing::{counted, file_name, plural, split_hint};
use crate::failure::{Exit, Failure};

pub(crate) const DELETED_ENTRY: &str = "(deleted)";
pub(crate) const VALID_SIGNATURE: &str = "the signature is valid";

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let (exit, fact) = match &error {
            CallError::Refused { code, message, request_id, .. } => {
                let request = request_id.map_or(String::new(), |id| format!(", request {id}"));
                (Exit::Refused, format!("{message} ({code}){request}"))
            }
            CallError::Unavailable { .. } => (Exit::Unreachable, error.to_string()),
            _ => (Exit::Refused, error.to_string()),
        };
        let hint = match &error {
            CallError::Refused { code, request_id: Some(id), .. } => audited_as(*code, *id),
            CallError::Unavailable { failures, .. } if failures.iter().all(is_silent) => {
                Some("on its node, `petsem operator status --config FILE` shows whether it runs".to_owned())
            }
            _ => None,
        };
        Self { exit, fact, hint }
    }
}

fn is_silent(failure: &EndpointFailure) -> bool {
    !matches!(failure.kind, FailureKind::Status { .. })
}

/// Where more is said than in the answer. Requests whose credential did not verify are aggregated, and unknown routes are
/// not recorded. Other errors say themselves what to do.
fn audited_as(code: ErrorCode, id: RequestId) -> Option<String> {
    let line = format!(
        "`petsem operator audit show --config FILE --request {id}` shows its audit line; with `petsem dev`, give \
         petsem-dev/audit in place of --config FILE"
    );
    match code {
        ErrorCode::Forbidden | ErrorCode::Integrity | ErrorCode::Internal => {
            Some(format!("on the server's node, {line}"))
        }
        // A JWT that no rule accepts is a stranger's: the audit log only counts its refusals.
        ErrorCode::PolicyDenied => Some(format!(
            "`petsem policy test` says which condition of which rule a JWT fails; on the server's node, the log names the \
             rule under the request's id; if the credential may do something else with this app, {line}"
        )),
        _ => None,
    }
}

/// Whether a refusal is of the token itself, not of what it was used for.
pub(crate) fn refuses_token(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TokenMissing
            | ErrorCode::TokenMalformed
            | ErrorCode::TokenInvalid
            | ErrorCode::TokenExpired
            | ErrorCode::Revoked
            | ErrorCode::DischargeMissing
            | ErrorCode::DischargeInvalid
    )
}

/// A refusal of a request with the token of this file: what depends on the token says so.
pub(crate) fn refused_with_token(error: CallError, file: &Path) -> Failure {
    // Without the option, the command shows another token: the one of the context file.
    let whoami = format!("`petsem whoami --token-file {}`", shell_quoted(&file.display().to_string()));
    let file = file_name(file);
    let hint = match &error {
        CallError::Refused { code, .. } => match code {
            code if refuses_token(*code) => Some(format!(
                "this is the token of {file}; {whoami} shows what it is, and where it is from"
            )),
            // No rule is tested with a token, which was exchanged for a JWT, and may be narrower than the rule.
            ErrorCode::PolicyDenied => Some(format!(
                "this is the token of {file}; {whoami} shows for which app it is, and which secrets its caveats leave; if \
                 they allow this, the rule by which it was exchanged no longer does"
            )),
            ErrorCode::DecryptionFailed => Some(
                "a label without a version means its newest version: name the one that encrypted, such as mailv0 \
                 (`petsem keys list` lists them), and give the same --associated-data"
                    .to_owned(),
            ),
            ErrorCode::Forbidden | ErrorCode::ReadNeedsWorkload => {
                Some(format!("this is the token of {file}; {whoami} shows what it may do"))
            }
            _ => None,
        },
        _ => None,
    };
    let failure = Failure::from(error);
    Failure { hint: hint.or(failure.hint), ..failure }
}

pub(crate) fn no_credential(file: &Path, error: &CredentialsError) -> Failure {
    split_hint(Exit::Usage, &format!("{}: {error}", file_name(file)))
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

/// A name of `--allow` that none of the secrets has.
pub(crate) fn allowed_without_secret(name: &SecretName) -> String {
    format!("--allow {name} changes nothing: none of the secrets that were read has this name")
}

/// A name of `--allow` that needs no consent.
pub(crate) fn allowed_needlessly(name: &SecretName) -> String {
    format!(
        "--allow {name} changes nothing: programs do not obey this name, and the environment has no such variable"
    )
}

/// What an environment lacks, and what to type: a note for each secret.
pub(crate) fn left_out(left_out: &[LeftOut]) -> Vec<String> {
    let note = |LeftOut { name, reason }: &LeftOut| match reason {
        LeftOutReason::Reserved { obeyed_by } => format!(
            "{name} is left out: {obeyed_by} would obey it; to pass it on, give --allow {name}, or allow it for the app \
             with `petsem app set`"
        ),
        LeftOutReason::AlreadySet => format!(
            "{name} is left out: the environment already has it; to replace it with the secret, give --allow {name}"
        ),
        LeftOutReason::HoldsNul => format!(
            "{name} is left out: its value has a NUL byte, which no environment can carry; set it in base64, and decode \
             it in the program"
        ),
        LeftOutReason::TooLong => {
            format!("{name} is left out: with its value it is over 131,071 bytes; keep it shorter")
        }
        _ => format!("{name} is left out"),
    };
    left_out.iter().map(note).collect()
}

/// What environments will lack, after a write and beside a list: a note for each secret and warning.
pub(crate) fn secret_warnings<'a>(secrets: impl IntoIterator<Item = &'a AppSecret>) -> Vec<String> {
    let note = |name: &SecretName, warning: &SecretWarning| match warning {
        SecretWarning::NulByte => format!(
            "environments leave {name} out: its value has a NUL byte, which only files and VM channels carry; for \
             `petsem run` and `petsem boot`, set it in base64 and decode it in the program"
        ),
        SecretWarning::ReservedName => format!(
            "environments leave {name} out: programs obey this name; `petsem app set APP --allow-reserved-name {name}` \
             allows it"
        ),
        _ => format!("environments leave {name} out"),
    };
    let of = |secret: &'a AppSecret| secret.warnings.iter().map(move |warning| note(&secret.name, warning));
    secrets.into_iter().flat_map(of).collect()
}

/// A boot that continues.
pub(crate) fn not_reported(error: &CallError) -> String {
    format!("the audit log does not say what was left out: {error}")
}

impl From<DeliveryError> for Failure {
    fn from(error: DeliveryError) -> Self {
        // Not in the PATH: the system did not refuse to start a file, whose interpreter may be what is missing.
        if let DeliveryError::Exec { program, source } = &error
            && source.kind() == io::ErrorKind::NotFound
            && source.raw_os_error().is_none()
        {
            let fact = format!("command not found: {}", program.to_string_lossy());
            return Self::new(Exit::NotFound, fact, "check its name and the variable PATH");
        }
        // As POSIX has it for every program that starts another one.
        let exit = match &error {
            DeliveryError::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            DeliveryError::Exec { .. } => Exit::NotExecutable,
            _ => Exit::Refused,
        };
        Self::bare(exit, error.to_string())
    }
}

pub(crate) fn booted(response: &BootResponse) -> String {
    format!(
        "Machine {} of {} booted with version {}: {} {}",
        response.machine,
        response.app_name,
        response.version,
        response.secrets.len(),
        plural(response.secrets.len(), "secret", "secrets")
    )
}

pub(crate) fn value_prompt(name: &SecretName) -> String {
    format!("Value of {name} (not shown): ")
}

pub(crate) fn secret_set(name: &SecretName, app: &AppRef, version: u64) -> String {
    format!("{name} is set; {app} is at version {version}")
}

pub(crate) fn secret_rolled_back(name: &SecretName, app: &AppRef, to: u64, version: u64) -> String {
    format!("{name} is set to its value of version {to}; {app} is at version {version}")
}

pub(crate) fn no_such_secrets(names: &[SecretName], app: &AppRef) -> Vec<String> {
    let note = |name: &SecretName| format!("{app} has no secret {name}; `petsem secrets list` shows all");
    names.iter().map(note).collect()
}

/// A name that did not exist is not reported as deleted.
pub(crate) fn secrets_unset(names: &[&SecretName], app: &AppRef, version: u64) -> String {
    match names {
        [] => format!("nothing was changed; {app} is at version {version}"),
        [name] => format!("{name} is unset; {app} is at version {version}"),
        names => format!("all {} secrets are unset; {app} is at version {version}", names.len()),
    }
}

pub(crate) fn secrets_imported(count: usize, app: &AppRef, version: u64) -> String {
    format!("{count} {} set; {app} is at version {version}", plural(count, "secret is", "secrets are"))
}

pub(crate) fn key_created(key: &SetSecretKeyResponse, app: &AppRef) -> String {
    let label = &key.key.name;
    let public = key.key.public_key.as_ref().map(|public| format!("; its public key is {public}"));
    let replaced = if key.replaced { "; it replaces the key that had this label" } else { "" };
    format!(
        "{label} is a key of type {}{}{replaced}; {app} is at version {}",
        key.key.kind,
        public.unwrap_or_default(),
        key.version
    )
}

pub(crate) fn key_deleted(label: &SecretKeyName, app: &AppRef, version: u64) -> String {
    format!("{label} is deleted; {app} is at version {version}")
}

pub(crate) fn org_created(org: &Org) -> String {
    format!("org {} is created with id {}", org.name, org.id)
}

pub(crate) fn org_deleted(org: &OrgRef) -> String {
    format!("org {org} is deleted")
}

pub(crate) fn org_guarded(org: &OrgRef, guarded: bool) -> String {
    if guarded {
        format!("in {org} a second person approves each policy with rules")
    } else {
        format!(
            "in {org} policies take effect at once; `petsem org guard {org} --on` requires a second person"
        )
    }
}

pub(crate) fn app_created(app: &App) -> String {
    format!("app {} is created with id {}", app.name, app.id)
}

pub(crate) fn settings_changed(app: &App) -> String {
    let AppSettings { renewal_life, history, allowed_reserved_names } = &app.settings;
    let allowed: Vec<_> = allowed_reserved_names.iter().map(SecretName::as_str).collect();
    let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(" ") };
    format!(
        "the settings of {}: renewals of {}, {} of each secret, allowed reserved names: {allowed}",
        app.name,
        counted(*renewal_life, "second", "seconds"),
        counted(u64::from(*history), "value", "values")
    )
}

pub(crate) fn key_deletion(label: &SecretKeyName) -> String {
    format!("what {label} encrypted can then never be decrypted")
}

pub(crate) fn app_deletion(app: &AppRef) -> String {
    format!("this destroys all secrets and keys of {app}")
}

pub(crate) fn app_deleted(app: &AppRef, answer: &DeletedApp) -> String {
    format!("app {app} ({}) is deleted. {}", answer.id, answer.notice)
}

pub(crate) fn policy_set(app: &AppRef, version: u64) -> String {
    format!("the policy of {app} is at version {version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_not_in_the_path_is_named() {
        let failed =
            |program: &str, source| Failure::from(DeliveryError::Exec { program: program.into(), source });
        let absent = failed("notacommand", io::ErrorKind::NotFound.into());
        assert_eq!((absent.exit, absent.fact.as_str()), (Exit::NotFound, "command not found: notacommand"));
        // ENOENT of a file that is there, without its interpreter.
        let script = failed("./script", io::Error::from_raw_os_error(2));
        assert_eq!(script.exit, Exit::NotFound);
        assert!(script.fact.starts_with("./script cannot be started (No such file"), "{}", script.fact);
    }

    /// A token that was exchanged for a JWT, and narrowed: its own caveats refuse, not a condition of a rule.
    #[test]
    fn a_refused_token_is_shown_by_the_command_that_names_its_file() {
        let hint = |code| {
            let error = CallError::Refused { status: 403, code, message: "no".to_owned(), request_id: None };
            refused_with_token(error, Path::new("my token")).hint.unwrap_or_default()
        };
        let whoami = "this is the token of my token; `petsem whoami --token-file 'my token'` shows";
        assert_eq!(hint(ErrorCode::Forbidden), format!("{whoami} what it may do"));
        assert_eq!(hint(ErrorCode::Revoked), format!("{whoami} what it is, and where it is from"));
        let denied = hint(ErrorCode::PolicyDenied);
        assert_eq!(
            denied,
            format!(
                "{whoami} for which app it is, and which secrets its caveats leave; if they allow this, the rule by which \
                 it was exchanged no longer does"
            )
        );
    }

    #[test]
    fn an_audit_line_is_promised_only_where_each_refusal_has_one() {
        let id: RequestId = "0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00".parse().unwrap();
        let hint = |code| audited_as(code, id).unwrap_or_default();
        let line = format!("`petsem operator audit show --config FILE --request {id}` shows its audit line");
        assert!(hint(ErrorCode::Forbidden).starts_with(&format!("on the server's node, {line}")));
        let denied = hint(ErrorCode::PolicyDenied);
        assert!(denied.starts_with("`petsem policy test` says which condition"), "{denied}");
        assert!(denied.contains(&format!("may do something else with this app, {line}")), "{denied}");
        assert_eq!(hint(ErrorCode::NotFound), "");
    }
}
