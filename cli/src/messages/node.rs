//! This node: `petsem dev`, configuration, installation, audit log.

use std::path::Path;

use petsem_api::{MintedToken, shell_quoted};
use petsem_seals::KeyFileError;
use petsem_server::{Installed, ServeError, SettingsError, StartError};

use super::phrasing::{counted, split_hint};
use crate::failure::{Exit, Failure};
use crate::report::AuditReport;

/// The first lines of the context file that `petsem dev` writes.
pub(crate) const CONTEXT_HEADER: &str = "\
# Written by `petsem dev` at each start; other commands find their server here.
";
pub(crate) const DEVELOPMENT_CONFIGURATION_HEADER: &str = "\
# Written by `petsem dev` at each start, for commands on the node (--config). `petsem server` refuses its store.
";
pub(crate) fn configuration_of_others(path: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("{} exists, and petsem dev did not write it; it was left as it is", path.display()),
        "petsem dev writes a configuration of that name, for commands on the node: name another directory with --dir, or \
         move that file away",
    )
}

pub(crate) const INSTALLATION_CONTINUED: &str =
    "the creation of this installation was interrupted; it is finished now, with the seals that it has";
pub(crate) const UNREADABLE_LINE: &str = "(unreadable line; run petsem operator audit verify)";

pub(crate) fn development_ready(endpoint: &str, directory: &Path, context: &Path, config: &Path) -> String {
    let export = match context == Path::new("petsem-dev/context.toml") {
        true => String::new(),
        false => format!("  export PETSEM_CONTEXT={}\n", shell_quoted(&context.display().to_string())),
    };
    format!(
        "petsem dev serves {endpoint}; all its data is in {}. Use it to try petsem, not to keep secrets.\n\
         Type in another terminal:\n\
         {export}  petsem secrets set GREETING\n  petsem secrets list\n  \
         petsem run -- sh -c 'echo \"$GREETING\"'\n\
         In place of a second person: petsem operator approve ID --config {}\n\
         Ctrl-C stops it; the next `petsem dev` continues with the same data.",
        directory.display(),
        shell_quoted(&config.display().to_string())
    )
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Value { key, value, remedy } => {
                Self::new(Exit::Usage, format!("the configuration key {key} is {value:?}"), remedy)
            }
            SettingsError::Unreadable { .. } => {
                Self::new(Exit::Usage, error.to_string(), "check the path and its permissions")
            }
            other => split_hint(Exit::Usage, &other.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        split_hint(Exit::Refused, &error.to_string())
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        split_hint(Exit::Refused, &error.to_string())
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        split_hint(Exit::Usage, &error.to_string())
    }
}

pub(crate) fn invalid_log_filter(variable: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{variable} is not a log filter"),
        format!("give one such as {variable}=info or {variable}=petsem_server=debug"),
    )
}

pub(crate) fn configuration_valid(path: &Path) -> String {
    format!("{} is a valid configuration", path.display())
}

pub(crate) fn key_file_missing(path: &Path) -> String {
    format!("the key file {} does not exist yet; `petsem operator init` creates it", path.display())
}

pub(crate) fn no_directory(file: &Path, directory: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} cannot be created: there is no directory {}", file.display(), directory.display()),
        format!("mkdir -p -m 700 {}, or name another file in the configuration", directory.display()),
    )
}

pub(crate) fn no_key_directory(file: &Path, directory: &Path) -> String {
    format!(
        "the directory {} of the key file {} does not exist; create it before `petsem operator init`",
        directory.display(),
        file.display()
    )
}

pub(crate) fn no_socket_directory(socket: &Path, directory: &Path) -> String {
    format!(
        "the directory {} of the socket {} does not exist; create it before the server starts",
        directory.display(),
        socket.display()
    )
}

pub(crate) fn no_parent_directory(directory: &Path, parent: &Path) -> String {
    format!(
        "{} would be created together with {}, which does not exist: if that is a disk of its own, mount it first",
        directory.display(),
        parent.display()
    )
}

pub(crate) fn installed(installed: &Installed, token: &Path, config: &Path) -> String {
    let seals: Vec<&str> = installed.seals.iter().map(|seal| seal.description.as_str()).collect();
    let keep = match installed.seals.iter().any(|seal| seal.kind == petsem_seals::KEY_FILE_KIND) {
        true => {
            "keep a copy of the key file in a safe place: without it, or another seal, nothing opens the store"
        }
        false => "keep what opens the seals in safe places: without a seal nothing opens the store",
    };
    format!(
        "installation {} is created, sealed by {}\n\
         the first token is in {}, valid until {}\n\
         {keep}\n\
         next: petsem server --config {}",
        installed.store,
        seals.join(", "),
        token.display(),
        installed.token.expires_at,
        config.display()
    )
}

pub(crate) fn owner_token_minted(token: &MintedToken, file: &Path) -> String {
    format!(
        "the owner's token is in {}, valid until {}\nit can prove boots: keep it from everyone who can enroll hosts",
        file.display(),
        token.expires_at
    )
}

pub(crate) fn operator_token_minted(token: &MintedToken, file: &Path) -> String {
    format!("the operator's token is in {}, valid until {}", file.display(), token.expires_at)
}

pub(crate) fn audit_log_unreadable(directory: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("the audit log in {} cannot be read: {error}", directory.display()),
        "give --config FILE, or audit.directory of the configuration, or petsem-dev/audit, as a user who can read it",
    )
}

pub(crate) fn no_audit_log(directory: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} has no audit log: no file in it is named audit-….log", directory.display()),
        "give --config FILE, or audit.directory of the configuration; by default that is `audit` in the data directory",
    )
}

pub(crate) fn no_such_request(request: &str, directory: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the audit log in {} has no line of the request {request}", directory.display()),
        "look in the log of the node that answered; refusals of strangers have no lines of their own: they are counted in \
         `request.unverified`",
    )
}

pub(crate) fn requests(count: u64) -> String {
    counted(count, "request", "requests")
}

pub(crate) fn accepting_loss(lost: &str) -> String {
    format!(
        "{lost}\naccepting the loss begins a new chain without these lines: what they record is known only from copies, \
         and an older database is no longer noticed"
    )
}

pub(crate) fn loss_accepted(accepted: &str) -> String {
    format!(
        "{accepted}\nthe database could not be compared with the lost log: compare its apps with a shipped copy, and find \
         out who could reach the log"
    )
}

pub(crate) fn node_added(node: &str) -> String {
    format!("this node is now {node}\nnext: `petsem server --config FILE`")
}

pub(crate) fn audit_verified(report: &AuditReport) -> String {
    if report.last_line == 0 {
        return "the audit log has no lines".to_owned();
    }
    let sealed = match report.without_mac {
        0 => String::new(),
        count => format!(
            "; {count} {}: the node was sealed then, and anyone who can write its disk can forge such lines",
            if count == 1 { "has no MAC" } else { "have no MAC" }
        ),
    };
    format!(
        "the audit log is intact: lines {} to {}, {}, {} recovered after a kill{sealed}",
        report.first_line,
        report.last_line,
        counted(report.checkpoints, "checkpoint", "checkpoints"),
        report.recovered.len()
    ) + &lines_not_here(report.first_line).map_or_else(String::new, |note| format!("\n{note}"))
}

/// What a log that begins after line 1 does not show. Shipping finished files away is usual, so it is no fault.
pub(crate) fn lines_not_here(first_line: u64) -> Option<String> {
    let which = match first_line {
        0 | 1 => return None,
        2 => "line 1 is".to_owned(),
        first => format!("lines 1 to {} are", first - 1),
    };
    Some(format!(
        "{which} NOT on this node, and not checked: the files were shipped away, or somebody removed them; compare with \
         what was shipped"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_whose_first_lines_are_gone_says_which() {
        let text = |first_line, last_line| {
            audit_verified(&AuditReport {
                node: None,
                first_line,
                last_line,
                head: String::new(),
                checkpoints: 2,
                without_mac: 0,
                recovered: Vec::new(),
                macs_verified: true,
                signatures_verified: true,
            })
        };
        let rest = "2 checkpoints, 0 recovered after a kill";
        let gone = "NOT on this node, and not checked: the files were shipped away, or somebody removed them; compare \
                    with what was shipped";
        assert_eq!(text(1, 9), format!("the audit log is intact: lines 1 to 9, {rest}"));
        assert_eq!(text(2, 9), format!("the audit log is intact: lines 2 to 9, {rest}\nline 1 is {gone}"));
        assert_eq!(
            text(5, 9),
            format!("the audit log is intact: lines 5 to 9, {rest}\nlines 1 to 4 are {gone}")
        );
        assert_eq!(text(1, 0), "the audit log has no lines");
    }
}
