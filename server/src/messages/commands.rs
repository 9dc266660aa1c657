//! Commands on the node: what the server answers on the operator socket, and why a command was not carried out.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use petsem_api::ErrorCode;
use petsem_engine::{CompromisedSeal, Failure, UnfinishedReplacement};
use petsem_seals::{PASSPHRASE_KIND, SHAMIR_KIND};

use crate::error::StartError;
use crate::settings::Settings;

pub(crate) fn unknown_command() -> Failure {
    Failure::new(ErrorCode::BadRequest, "unknown request; use a `petsem` of the same version as the server")
}

pub(crate) fn no_seal_with_shares() -> StartError {
    refused(
        "no seal of this store has shares, so there is nothing to gather\nrepeat the command without --gather-shares; \
         `petsem operator seal add shamir --threshold 2 --shares 3` makes such a seal",
    )
}

pub(crate) fn shares_not_gathered(path: &Path, error: &io::Error) -> StartError {
    refused(format!(
        "shares cannot be gathered at {}: {error}\nrun this as the user that runs the server",
        path.display()
    ))
}

pub(crate) fn shares_too_late(missing: u8) -> StartError {
    refused(format!(
        "the time is over, and {missing} more shares were needed; the shares that were given are wiped, and nothing was \
         changed\nrepeat the command when all who are needed can give theirs within ten minutes"
    ))
}

pub(crate) fn attempt_over(error: &io::Error) -> StartError {
    refused(format!(
        "the share was not taken: {error}; the command that gathers shares has ended, or another user runs \
         it\n`petsem operator share --show` lists those that gather shares now"
    ))
}

pub(crate) fn stopping() -> Failure {
    Failure::new(ErrorCode::Stopping, "the server is stopping; start it again, then repeat the command")
}

/// A second `operator init`, while the server of the first one runs.
pub(crate) fn installation_in_use(data_directory: &Path) -> StartError {
    refused(format!(
        "there is an installation in {} already, and its server runs; nothing was changed\nif its first token was lost, \
         `petsem operator recover` makes a new one; for another installation, name another data_directory",
        data_directory.display()
    ))
}

/// A seal opens the store; what the server lacks is its audit log.
pub(crate) fn log_lost_for_command(loss: &str) -> Failure {
    Failure::new(
        ErrorCode::AuditLost,
        format!(
            "the server does not serve, because the audit log of this node is lost: {loss}; nothing was changed\nput the log \
             back where it was, or begin a new one with `petsem operator audit accept-loss`, then repeat this command"
        ),
    )
}

pub(crate) fn too_many_commands() -> Failure {
    Failure::new(ErrorCode::Busy, "the server already has many operator requests; try again")
}

pub(crate) fn no_operator_socket() -> StartError {
    refused(
        "the server that holds the store does not listen on operator.sock in the data directory\ncheck its log; use a \
         `petsem` of the same version as the server",
    )
}

pub(crate) fn operator_socket_of_another_user(user: u32) -> StartError {
    refused(format!(
        "user {user}, who is neither you nor root, listens on operator.sock in the data directory; nothing was \
         sent\nrun this as the user that runs the server, and check who can write to the data directory"
    ))
}

pub(crate) fn operator_socket_denied(data_directory: &Path) -> StartError {
    refused(format!(
        "this user may not reach operator.sock in {}, so whether a server runs there is unknown; nothing was changed\nrun \
         this as the user that runs the server",
        data_directory.display()
    ))
}

pub(crate) fn answer_incomplete(error: &io::Error) -> StartError {
    refused(format!(
        "the server's answer was not complete: {error}\ncheck `petsem operator status` and the server's log"
    ))
}

/// A request or an answer.
pub(crate) fn message_too_long() -> io::Error {
    io::Error::other("the object is too long")
}

pub(crate) fn no_server_to_unseal() -> StartError {
    refused(
        "no server runs on this node\nstart one with `petsem server`; if no configured seal opens the store, it starts \
         sealed and waits for this command",
    )
}

pub(crate) fn no_configured_seal(kind: &str) -> StartError {
    refused(format!(
        "the configuration has no seal of kind {kind}; nothing was changed\nadd a [[seal]] to it first, then repeat \
         this command"
    ))
}

pub(crate) fn configured_seals_in_use(kind: &str) -> StartError {
    refused(format!(
        "every {kind} seal of the configuration already opens the store; nothing was changed\nadd another [[seal]] to \
         it first, then repeat this command"
    ))
}

/// Why a seal of this kind was not tried.
pub(crate) fn seal_not_tried(kind: &str) -> String {
    match kind {
        PASSPHRASE_KIND => {
            "it was not tried: type the passphrase at a terminal, or provide it with --passphrase-file".to_owned()
        }
        SHAMIR_KIND => {
            "it was not tried: type shares at a terminal, or provide them with --share-file or --gather-shares".to_owned()
        }
        _ => "it was not tried: the configuration has no [[seal]] for it".to_owned(),
    }
}

/// A key file that this command did not create: its key may be that of a seal that was removed.
pub(crate) fn key_file_exists(path: &Path) -> StartError {
    refused(format!(
        "{} already exists, and whoever knows its key could open the store; nothing was changed\ngive the [[seal]] a \
         path where no file is, so that this command creates a new key; or delete that file, if neither a store nor a copy \
         needs its key",
        path.display()
    ))
}

pub(crate) fn root_key_in_use() -> StartError {
    refused(
        "a server holds the store, and would continue with the old root key; nothing was changed\nstop it, repeat this \
         command, and start it; this takes seconds",
    )
}

/// The store is between the begin of a replacement of all keys and its end.
pub(crate) fn replacement_unfinished(unfinished: &UnfinishedReplacement) -> StartError {
    refused(match unfinished {
        UnfinishedReplacement::Removal(CompromisedSeal { id, description }) => format!(
            "the compromised seal {id} ({description}) is removed, but not all keys that it could open are replaced; no \
             server starts before they are\nfinish it: `petsem operator seal remove --compromised --yes {id}`"
        ),
        UnfinishedReplacement::Rollback => "an older database was accepted, but not all keys are replaced; no server \
                                            starts before they are\nfinish it: `petsem operator accept-rollback --yes`"
            .to_owned(),
    })
}

/// The older database is accepted, and then this happened.
pub(crate) fn acceptance_interrupted(error: &dyn Display) -> StartError {
    refused(format!(
        "the older database is accepted, but not all keys are replaced: {error}\nno server starts before they are; correct \
         that, then repeat `petsem operator accept-rollback --yes`"
    ))
}

/// An older copy whose chain of the audit log has ended since.
pub(crate) fn database_before_chain(settings: &Settings, chain: u64) -> StartError {
    let directory = settings.audit.directory.display();
    refused(format!(
        "integrity: the database is an older copy: it names chain {chain} of this node's audit log, which ended since (its \
         files are in {directory}/chain-{chain}), when a compromised seal was removed, or an older copy or a loss was \
         accepted; nothing was changed\nput the newer database back; if it is lost, put a copy of the data directory and the \
         audit directory back, both of one time (docs/copies.md)"
    ))
}

pub(crate) fn not_rolled_back() -> StartError {
    refused(
        "the database has all that this node's audit log has seen, so there is no older copy to accept; nothing was \
         changed\nstart the server",
    )
}

pub(crate) fn store_in_use() -> StartError {
    refused("a server holds the store; nothing was changed\nstop it, and repeat this command")
}

/// The removal of another seal must be finished first.
pub(crate) fn another_removal_unfinished(which: &str, other: &CompromisedSeal) -> StartError {
    let CompromisedSeal { id, description } = other;
    refused(format!(
        "the removal of another compromised seal is not finished: {id} ({description}); {which} was not removed\nfinish \
         it first: `petsem operator seal remove --compromised --yes {id}`"
    ))
}

/// The seal is removed, and then this happened.
pub(crate) fn replacement_interrupted(removed: &CompromisedSeal, error: &dyn Display) -> StartError {
    let CompromisedSeal { id, description } = removed;
    refused(format!(
        "the seal {id} ({description}) is removed, but not all keys that it could open are replaced: {error}\nno server \
         starts before they are; correct that, then repeat `petsem operator seal remove --compromised --yes {id}`"
    ))
}

pub(crate) fn removal_vanished() -> StartError {
    refused("the removal of the seal is not in the store: an older copy was put back\nrepeat the command")
}

pub(crate) fn denial_not_written(error: &io::Error) -> StartError {
    refused(format!(
        "the denial cannot be written to the data directory: {error}\ncheck its owner, mode and disk; nothing was denied"
    ))
}

pub(crate) fn denial_not_answered(waited: Duration, data_directory: &Path) -> StartError {
    refused(format!(
        "the server that holds the store did not answer within {} s, so the denial may not be in force\ncheck its log; \
         the denial is in {}/denials, and the server applies it when it next reads that directory",
        waited.as_secs(),
        data_directory.display()
    ))
}

fn refused(text: impl Into<String>) -> StartError {
    StartError::Refused(text.into())
}
