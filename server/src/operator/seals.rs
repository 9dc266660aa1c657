//! Changes of the seal list on the node: one seal opens the store, the change is planned, then committed here or passed
//! to the server that holds the store.

use std::path::Path;
use std::sync::Arc;

use petsem_engine::{
    KeepShares, NodeCommand, OpenList, PlannedSeals, SealInfo, SealSources, SealedRows, Timestamp,
    Unavailable, try_automatic,
};
use petsem_seals::{
    NewKeyFile, PASSPHRASE_KIND, Passphrase, SHAMIR_KIND, SealSettings, SealSource, ShareSet,
};
use petsem_store::OpenError;

use crate::error::StartError;
use crate::messages;
use crate::node::file_owner::check_user;
use crate::node::start::{open_installed, start_unlocked, stop_after, view_rows, with_store};
use crate::operator::hand_over::hand_over;
use crate::operator::socket::{Answer, CommandError, SocketCommand, send, unseal_command};
use crate::operator::unseal_input::UnsealInput;
use crate::settings::Settings;

/// A seal to add.
#[derive(Debug)]
pub struct AddSeal<'a> {
    /// Its kind. If the configuration has a seal of this kind that does not open the store yet, that one is added.
    pub kind: &'a str,
    /// The new passphrase, for `passphrase` without a file.
    pub passphrase: Option<Passphrase>,
    /// The threshold and the number of shares, for `shamir`.
    pub shares: Option<(u8, u8)>,
}

/// The result of trying a seal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TriedSeal {
    /// The seal. If it opened the store, its verification time is updated.
    pub seal: SealInfo,
    /// Whether it was tried: what it needs was there.
    pub tried: bool,
    /// Why it did not open the store, or why it was not tried; `None` if it opened the store.
    pub fault: Option<String>,
}

/// The result of an attempt to unseal a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsealedServer {
    /// The seal that opened it.
    pub by: String,
    /// Whether the server was sealed before; otherwise nothing was tried.
    pub was_sealed: bool,
}

/// The seal that opened the server that runs on this node; `None` if the server is sealed.
///
/// # Errors
/// [`StartError`]: no server runs here.
pub async fn unsealed_before(settings: &Settings) -> Result<Option<UnsealedServer>, StartError> {
    match send(&settings.data_directory, &SocketCommand::Status {}).await {
        Ok(Answer::Status { status }) if status.sealed => Ok(None),
        Ok(Answer::Status { status }) => {
            Ok(Some(UnsealedServer { by: status.opened_by.unwrap_or_default(), was_sealed: false }))
        }
        Ok(Answer::Refused { error, .. }) => Err(StartError::Refused(error)),
        Ok(_) => Err(CommandError::NoServer.into()),
        Err(CommandError::NoServer) => Err(messages::no_server_to_unseal()),
        Err(error) => Err(error.into()),
    }
}

/// Unseals the server that runs sealed on this node.
///
/// The input is in the settings ([`Settings::opened_by`]). Without input the server tries its configured seals again.
///
/// # Errors
/// [`StartError`]: no server runs here, or the input does not open the store.
pub async fn unseal(settings: &Settings) -> Result<UnsealedServer, StartError> {
    match send(&settings.data_directory, &unseal_command(&settings.input)).await {
        Ok(Answer::Unsealed { by }) => Ok(UnsealedServer { by, was_sealed: true }),
        Ok(Answer::NotSealed { by }) => Ok(UnsealedServer { by, was_sealed: false }),
        Ok(Answer::Refused { error, .. }) => Err(StartError::Refused(error)),
        Ok(_) => Err(CommandError::NoServer.into()),
        Err(CommandError::NoServer) => Err(messages::no_server_to_unseal()),
        Err(error) => Err(error.into()),
    }
}

/// The inputs from people that can open this store: a passphrase, or shares, which are checked against the wraps as
/// they are typed.
#[derive(Debug)]
pub struct PeopleSeals {
    /// Whether a passphrase opens it.
    pub passphrase: bool,
    /// An empty set for each seal that needs shares.
    pub shares: Vec<ShareSet>,
}

/// Reads which inputs from people can open this store. Opens nothing.
///
/// # Errors
/// [`StartError`]: there is no store, or it cannot be read.
pub async fn people_seals(settings: &Settings) -> Result<PeopleSeals, StartError> {
    let wraps = read_rows(settings).await?.wraps().map_err(|error| settings.unlock_failed(error))?;
    let mut people = PeopleSeals { passphrase: false, shares: Vec::new() };
    for wrap in wraps {
        match wrap.kind.as_str() {
            PASSPHRASE_KIND => people.passphrase = true,
            SHAMIR_KIND => people.shares.extend(ShareSet::for_wrap(&wrap.wrapped).ok()),
            _ => {}
        }
    }
    Ok(people)
}

async fn read_rows(settings: &Settings) -> Result<SealedRows, StartError> {
    match with_store(settings, async |store| Ok(SealedRows::read(store).await?)).await {
        Err(StartError::Store(OpenError::InUse { .. })) => view_rows(&settings.data_directory),
        rows => rows,
    }
}

/// The seal of the configuration that opens the store without a person; `None` if none does.
///
/// # Errors
/// [`StartError`]: there is no store, or it cannot be read.
pub async fn automatic_seal(settings: &Settings) -> Result<Option<String>, StartError> {
    let tried = try_automatic(&settings.seal_sources(), read_rows(settings).await?).await;
    let opened = tried.map_err(|error| settings.unlock_failed(error))?.ok();
    Ok(opened.map(|opened_by| messages::opening_seal(&opened_by)))
}

/// A warning if the next start will wait for people although the configuration has seals that open by themselves.
///
/// # Errors
/// [`StartError`]: there is no store, or it cannot be read.
pub async fn next_start_warning(settings: &Settings) -> Result<Option<String>, StartError> {
    without_people(settings, read_rows(settings).await?).await
}

/// [`next_start_warning`]. Only key files are tried: devices count wrong PINs, a KMS may be slow, and a passphrase costs
/// a second and 256 MiB. For those it counts that the store has a seal of the kind.
pub(crate) async fn without_people(
    settings: &Settings,
    rows: SealedRows,
) -> Result<Option<String>, StartError> {
    let wraps = rows.wraps().map_err(|error| settings.unlock_failed(error))?;
    let mut automatic = settings.seals.iter().filter(|seal| seal.is_automatic()).peekable();
    // Root, which may read this, may not read the files of the service's user as that user does.
    if automatic.peek().is_none() || check_user(settings).is_err() {
        return Ok(None);
    }
    let (mut key_files, mut faults) = (SealSources::default(), Vec::new());
    for seal in automatic {
        let is_key_file = matches!(seal, SealSettings::KeyFile { .. });
        match (seal.file(), wraps.iter().any(|wrap| wrap.kind == seal.kind())) {
            // Where the service has it, this process may not see it.
            (Some(file), _) if is_credential(file) => return Ok(None),
            (Some(file), _) if !is_key_file && !file.exists() => faults.push(messages::no_file(file)),
            (_, true) if !is_key_file => return Ok(None),
            (_, true) => key_files.configured.push(Arc::new(seal.clone())),
            (_, false) => faults.push(messages::no_seal_of_kind(seal.kind())),
        }
    }
    let tried = try_automatic(&key_files, rows).await.map_err(|error| settings.unlock_failed(error))?;
    Ok(tried.err().map(|tried| messages::next_start_sealed(&[tried, faults].concat())))
}

async fn open_list(settings: &Settings, rows: SealedRows) -> Result<OpenList, StartError> {
    OpenList::open(&settings.seal_sources(), rows).await.map_err(|error| settings.unlock_failed(error))
}

/// The seals of the store, whose MACs are verified after opening it.
///
/// # Errors
/// [`StartError`]: no seal opens the store, or a row differs from what was written.
pub async fn list_seals(settings: &Settings) -> Result<Vec<SealInfo>, StartError> {
    Ok(open_list(settings, read_rows(settings).await?).await?.infos())
}

/// Adds a seal: it wraps the same root key as the others.
///
/// # Errors
/// [`StartError`]; nothing was changed then, except that a new key file may exist.
pub async fn add_seal(
    settings: &Settings,
    wanted: AddSeal<'_>,
    keep_shares: KeepShares<'_>,
) -> Result<SealInfo, StartError> {
    let list = open_list(settings, read_rows(settings).await?).await?;
    let source = wanted_source(&list, settings, wanted)?;
    check_writable(settings).await?;
    let added = list.add(&*source, Timestamp::now().millis(), keep_shares);
    let (added, planned) = added.map_err(|error| settings.unlock_failed(error))?;
    commit(settings, planned).await?;
    Ok(added)
}

/// The seal to remove, if it is the only one that the configuration opens without a person.
///
/// # Errors
/// [`StartError`]: the seal cannot be removed.
pub async fn last_automatic_seal(settings: &Settings, which: &str) -> Result<Option<SealInfo>, StartError> {
    let list = open_list(settings, read_rows(settings).await?).await?;
    // Without what people gave to this command.
    let automatic = settings.clone().opened_by(UnsealInput::default()).seal_sources();
    let last = list.last_available(which, &automatic).await;
    last.map_err(|error| settings.unlock_failed(error))
}

/// Removes a seal. A seal that is known to open must remain.
///
/// # Errors
/// [`StartError`]; nothing was changed then.
pub async fn remove_seal(settings: &Settings, which: &str) -> Result<SealInfo, StartError> {
    let list = open_list(settings, read_rows(settings).await?).await?;
    let (removed, planned) = list.remove(which).map_err(|error| settings.unlock_failed(error))?;
    commit(settings, planned).await?;
    Ok(removed)
}

/// Tries every available seal: those of the configuration, and the input from people. A seal that opened the store is
/// recorded as verified.
///
/// # Errors
/// [`StartError`]: none opens the store, or the list cannot be written.
pub async fn verify_seals(settings: &Settings) -> Result<Vec<TriedSeal>, StartError> {
    let rows = read_rows(settings).await?;
    let list = match open_list(settings, rows.clone()).await {
        // The input is tried below; another seal may open the store.
        Err(first @ StartError::Sealed { .. }) if !settings.input.is_empty() => {
            let configured = settings.clone().opened_by(UnsealInput::default());
            open_list(&configured, rows).await.map_err(|_| first)?
        }
        opened => opened?,
    };
    let verified = list.verify(&settings.seal_sources(), Timestamp::now().millis()).await;
    let (tried, planned) = verified.map_err(|error| settings.unlock_failed(error))?;
    commit(settings, planned).await?;
    let tried = tried.into_iter().map(|(seal, fault)| {
        let is_tried = fault != Some(Unavailable::NotTried);
        let fault = fault.map(|fault| match fault {
            Unavailable::NotTried => messages::seal_not_tried(&seal.kind),
            Unavailable::Failed(text) => text,
        });
        TriedSeal { seal, tried: is_tried, fault }
    });
    Ok(tried.collect())
}

/// The seal to add: the one of the command line, else the first configured seal of the kind that does not open the
/// store yet.
fn wanted_source(
    list: &OpenList,
    settings: &Settings,
    wanted: AddSeal<'_>,
) -> Result<Arc<dyn SealSource>, StartError> {
    match (wanted.kind, wanted.shares, wanted.passphrase) {
        (SHAMIR_KIND, Some((threshold, shares)), _) => {
            return Ok(Arc::new(SealSettings::Shamir { threshold, shares }));
        }
        (PASSPHRASE_KIND, _, Some(passphrase)) => return Ok(Arc::new(passphrase)),
        _ => {}
    }
    let of_kind: Vec<&SealSettings> =
        settings.seals.iter().filter(|seal| seal.kind() == wanted.kind).collect();
    if let Some(unused) = of_kind.iter().find(|seal| !list.is_opened_by(**seal)) {
        return match unused {
            // A key that exists may be that of a seal that was removed because others have it.
            SealSettings::KeyFile { path } if path.symlink_metadata().is_ok() => {
                Err(messages::key_file_exists(path))
            }
            SealSettings::KeyFile { path } => Ok(Arc::new(NewKeyFile::at(path.clone()))),
            unused => Ok(Arc::new((*unused).clone())),
        };
    }
    Err(match of_kind.is_empty() {
        true => messages::no_configured_seal(wanted.kind),
        false => messages::configured_seals_in_use(wanted.kind),
    })
}

/// Checks, before a key file is created, that the list can be changed: by the server, or by this user.
async fn check_writable(settings: &Settings) -> Result<(), StartError> {
    match send(&settings.data_directory, &SocketCommand::Status {}).await {
        Ok(Answer::Status { status }) if status.sealed => Err(messages::sealed().into()),
        Ok(_) | Err(CommandError::NoServer) => check_user(settings),
        Err(error) => Err(error.into()),
    }
}

/// Whether a path names a credential of systemd, as the configuration writes it.
fn is_credential(file: &Path) -> bool {
    file.starts_with("$CREDENTIALS_DIRECTORY")
}

/// Commits a change: here, or in the server that holds the store.
async fn commit(settings: &Settings, planned: PlannedSeals) -> Result<(), StartError> {
    match open_installed(settings).await {
        Ok(held) => {
            let PlannedSeals { unlocked, change } = planned;
            let started = start_unlocked(settings.clone(), held, unlocked).await?;
            Ok(stop_after(started, async |engine| engine.change_seals("node", &change).await).await??)
        }
        Err(StartError::Store(OpenError::InUse { .. })) => {
            let PlannedSeals { unlocked, change } = planned;
            hand_over(settings, &unlocked.codec, NodeCommand::Seals(Box::new(change))).await.map(drop)
        }
        Err(error) => Err(error),
    }
}
