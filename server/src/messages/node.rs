//! The node's files: its id, its audit log, its sockets.

use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;
use petsem_api::shell_quoted;
use petsem_audit::{AuditOpenError, Finding};
use petsem_engine::LostChain;

use crate::error::StartError;
use crate::settings::Settings;

/// Instead of an address, when the operator socket cannot be opened.
pub(crate) const OPERATOR_SOCKET: &str = "operator.sock in the data directory";
/// The source of requests for which the connection names none.
pub(crate) const UNKNOWN_SOURCE: &str = "unknown";

/// A server or command that runs as root.
pub(crate) fn directory_of_another_user(directory: &Path, owner: u32, name: Option<&str>) -> StartError {
    let (who, before) = match name {
        Some(name) => (name.to_owned(), format!("runuser -u {name} --")),
        None => (format!("user {owner}"), format!("setpriv --reuid {owner} --clear-groups")),
    };
    StartError::Refused(format!(
        "the data directory {} belongs to {who}, and this command runs as root: it would leave files there that {who} cannot \
         open; nothing was changed\nrun the same command as {who}: put `{before}` before it",
        directory.display()
    ))
}

/// A command of a user who may not use the data directory. Users have a number, and most have a name.
pub(crate) fn command_of_another_user(
    directory: &Path,
    owner: (u32, Option<&str>),
    user: (u32, Option<&str>),
) -> StartError {
    let named = |(number, name): (u32, Option<&str>)| match name {
        Some(name) => format!("{name} (uid {number})"),
        None => format!("uid {number}"),
    };
    let sudo = owner.1.map_or_else(|| format!("'#{}'", owner.0), str::to_owned);
    let (owner, user) = (named(owner), named(user));
    StartError::Refused(format!(
        "the data directory {} belongs to {owner}, and this command runs as {user}, who may neither open the store nor talk \
         to a server that runs there; nothing was changed\nrun the same command as {owner}: put `sudo -u {sudo} --` before \
         it",
        directory.display()
    ))
}

/// A failure to open files, `first` and `more` of which belong to others.
pub(crate) fn files_of_another_user(
    error: &StartError,
    first: &Path,
    more: usize,
    user: u32,
    directories: &[&Path],
) -> StartError {
    let files_belong = match more {
        0 => "1 file of this node belongs".to_owned(),
        _ => format!("{} files of this node belong", more + 1),
    };
    let mut paths: Vec<String> =
        directories.iter().map(|path| shell_quoted(&path.display().to_string())).collect();
    paths.dedup();
    StartError::Refused(format!(
        "{files_belong} to another user than {user}, which petsem runs as, such as {}: perhaps a command ran as root, and \
         petsem cannot use them:\n{error}\nstop what runs there, then as root: `chown -R {user} {}`",
        first.display(),
        paths.join(" ")
    ))
}

pub(crate) fn invalid_node_id() -> io::Error {
    io::Error::other("it must be 32 hex digits and a newline")
}

pub(crate) fn unknown_node(id_file: &Path) -> StartError {
    StartError::Refused(format!(
        "integrity: the store does not know the node of {}: its row was removed, or the file belongs to another \
         store\nrestore the store of this node; to continue as a new node, remove the file, give audit.directory an \
         empty directory, and run `petsem operator node add`",
        id_file.display()
    ))
}

pub(crate) fn no_node(id_file: &Path, audit_directory: &Path) -> StartError {
    StartError::Refused(format!(
        "this data directory belongs to no node: {} is missing, and {} has no audit log\nrestore both, or, if this is a \
         new node, add it with `petsem operator node add`; a node that lost both is a new node, and its old log stays \
         incomplete",
        id_file.display(),
        audit_directory.display()
    ))
}

pub(crate) fn has_node(data_directory: &Path, node: &[u8; 16]) -> StartError {
    StartError::Refused(format!(
        "{} is the data directory of the node {} already; nothing was changed",
        data_directory.display(),
        HEXLOWER.encode(node)
    ))
}

/// A node without its database: a new one in its place would bury what can still be restored.
pub(crate) fn database_lost(settings: &Settings, node: &[u8; 16]) -> StartError {
    StartError::Refused(format!(
        "the database of the node {} is lost: {directory} has none, but the node's id or its audit log, in {audit}, is \
         still there; nothing was changed\nrestore the copy of the data directory that you have (docs/copies.md); for a \
         new installation, configure another data_directory and audit.directory",
        HEXLOWER.encode(node),
        directory = settings.data_directory.display(),
        audit = settings.audit.directory.display()
    ))
}

pub(crate) fn no_log_lost() -> StartError {
    StartError::Refused("the audit log of this node is complete: there is no loss to accept".to_owned())
}

/// The detail of the first line of a chain.
pub(crate) fn new_chain(chain: u64, lost: &LostChain) -> String {
    let LostChain { line, head, .. } = lost;
    let before = chain.saturating_sub(1);
    format!(
        "chain {chain} begins after chain {before}: the store knew its line {line}, with the chain {head}"
    )
}

/// The detail of an audit line, and the answer to the command.
pub(crate) fn loss_accepted(lost: &AuditOpenError, chain: u64, moved: Option<&Path>) -> String {
    let next = chain.saturating_add(1);
    let left = match moved {
        Some(folder) => format!("its files are in {} now", folder.display()),
        None => "no file of it was there".to_owned(),
    };
    let what = match lost {
        AuditOpenError::Broken(finding) => finding.to_string(),
        AuditOpenError::Missing { directory, line } => {
            format!("{} had no line, but the store knew line {line}", directory.display())
        }
        lost => lost.to_string(),
    };
    format!("the loss of chain {chain} is accepted ({what}; {left}), and chain {next} begins")
}

pub(crate) fn node_id_missing(id_file: &Path, audit_directory: &Path, id: &str) -> StartError {
    StartError::Refused(format!(
        "{} is missing, but the audit log in {} was written by the node {id}\nwrite this id and a newline to the \
         file, with mode 0600; to continue as a new node, give audit.directory an empty \
         directory and run `petsem operator node add`",
        id_file.display(),
        audit_directory.display()
    ))
}

pub(crate) fn no_audit_log(audit_directory: &Path) -> StartError {
    StartError::Refused(format!(
        "no node has written an audit log in {} yet; correct audit.directory in the configuration",
        audit_directory.display()
    ))
}

pub(crate) fn audit_log_differs(finding: &Finding) -> StartError {
    let hint = match finding.is_cut() {
        true => {
            "put the missing lines back: mount the disk of the log, or copy its files from where they were shipped; if they are \
             lost, `petsem operator audit accept-loss` lets the node go on without them"
        }
        false => {
            "the lines before it are unchanged; keep the directory as evidence, and compare it with the shipped copies"
        }
    };
    StartError::Refused(format!("{finding}\n{hint}"))
}
