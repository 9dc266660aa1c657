//! `petsem operator status`: the status of this node, with or without a running server.

use std::path::PathBuf;

use petsem_audit::AuditStats;
use petsem_engine::{
    DenialFolder, SealedRows, StoreStatus, Timestamp, Unlocked, missing_from_store, unlock_rows,
};
use petsem_store::{OpenError, Store};
use serde::Serialize;

use crate::disks::{self, DiskSpace};
use crate::error::StartError;
use crate::messages;
use crate::node::identity::node;
use crate::node::lost_log::{LogState, look_at_log};
use crate::node::sealed::SealedNode;
use crate::node::start::{Started, is_absent, view_rows, with_store};
use crate::operator::seals::without_people;
use crate::operator::socket::{Answer, CommandError, ServerStatus, SocketCommand, send};
use crate::settings::Settings;

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// `open`, `sealed`, `audit_lost` or `stopped`.
    pub state: &'static str,
    /// Whether a server is open here, and has no problem of its own.
    pub ready: bool,
    /// The server that runs here, if one does.
    pub server: Option<ServerStatus>,
    /// The store.
    pub store: StoreStatus,
    /// The seal that would open the store at a start; tried only if no server runs.
    pub would_open: Option<String>,
    /// The directory of the audit log.
    pub audit_directory: PathBuf,
    /// The free space of the directories that the node writes to.
    pub disks: Vec<DiskSpace>,
    /// Denials that are in force only on this node, or that its next server will read.
    pub denials_waiting: usize,
    /// Problems, each with the command to type: on its last line, or after the last semicolon.
    pub problems: Vec<String>,
    /// What does not keep the node from being ready, in the same form: the warnings of `/readyz` without those of disks,
    /// which are problems here, and that the next start will need people.
    pub warnings: Vec<String>,
}

/// Reads the status of this node: from the server that runs here, else from the store. Changes nothing.
///
/// # Errors
/// [`StartError`]: there is no store, or it cannot be read.
pub async fn status(settings: &Settings) -> Result<NodeStatus, StartError> {
    match send(&settings.data_directory, &SocketCommand::Status {}).await {
        Ok(Answer::Status { status }) => of_running(settings, *status).await,
        Ok(Answer::Refused { error, .. }) => Err(StartError::Refused(error)),
        Ok(_) => Err(CommandError::NoServer.into()),
        Err(CommandError::NoServer) => of_stopped(settings).await,
        Err(error) => Err(error.into()),
    }
}

async fn of_running(settings: &Settings, mut server: ServerStatus) -> Result<NodeStatus, StartError> {
    let store = match server.store.take() {
        Some(store) => store,
        None => of_rows(settings, &view_rows(&settings.data_directory)?, false)?,
    };
    let mut problems = server.problems.clone();
    if server.sealed && !server.audit_lost {
        problems.push(messages::SERVER_SEALED.to_owned());
    }
    let is_gone = is_absent(settings);
    if is_gone {
        problems.push(StartError::Gone { directory: settings.data_directory.clone() }.to_string());
    }
    problems.extend(of_seals(&store));
    let disks = disks::of_settings(settings);
    problems.extend(disks.iter().filter_map(DiskSpace::warning));
    let mut warnings = server.warnings.clone();
    // A database that is gone is a problem already.
    if !server.sealed && !is_gone {
        warnings.extend(without_people(settings, view_rows(&settings.data_directory)?).await?);
    }
    let state = match (server.audit_lost, server.sealed) {
        (true, _) => "audit_lost",
        (false, true) => "sealed",
        (false, false) => "open",
    };
    Ok(NodeStatus {
        state,
        ready: state == "open" && server.problems.is_empty() && !is_gone,
        denials_waiting: server.denials_waiting.unwrap_or_else(|| denials_in_folder(settings)),
        server: Some(server),
        store,
        would_open: None,
        audit_directory: settings.audit.directory.clone(),
        disks,
        problems,
        warnings,
    })
}

async fn of_stopped(settings: &Settings) -> Result<NodeStatus, StartError> {
    match with_store(settings, async |store| inspect(settings, store).await).await {
        // A server holds the store but does not answer: it is starting, or has another version.
        Err(StartError::Store(OpenError::InUse { .. })) => Err(CommandError::NoServer.into()),
        status => status,
    }
}

async fn inspect(settings: &Settings, store: &dyn Store) -> Result<NodeStatus, StartError> {
    let rows = SealedRows::read(store).await?;
    let mut problems = vec![messages::NO_SERVER.to_owned()];
    let unlocked = unlock_rows(&settings.seal_sources(), rows.clone()).await;
    let (checked, would_open) = match unlocked.map_err(|error| settings.unlock_failed(error)) {
        Ok(unlocked) => {
            problems.extend(match unlocked.unfinished_replacement() {
                // The command that finishes it needs the log, and says what is wrong with it.
                Some(unfinished) => Some(messages::replacement_unfinished(&unfinished).to_string()),
                None => problem_of_log(settings, store, &unlocked).await,
            });
            (true, Some(unlocked.opened_by.description))
        }
        Err(StartError::Sealed { tried, people }) => {
            problems.extend(tried);
            problems.push(match people.is_empty() {
                true => messages::NO_SEAL_OPENS.to_owned(),
                false => messages::would_start_sealed(&people),
            });
            (false, None)
        }
        Err(error) => {
            problems.push(error.to_string());
            (false, None)
        }
    };
    let store = of_rows(settings, &rows, checked)?;
    problems.extend(of_seals(&store));
    let disks = disks::of_settings(settings);
    problems.extend(disks.iter().filter_map(DiskSpace::warning));
    Ok(NodeStatus {
        state: "stopped",
        ready: false,
        server: None,
        store,
        would_open,
        audit_directory: settings.audit.directory.clone(),
        disks,
        denials_waiting: denials_in_folder(settings),
        problems,
        warnings: Vec::new(),
    })
}

/// Why a start would not serve with this node's audit log.
/// Why the next start would refuse the audit log, or the database beside it.
async fn problem_of_log(settings: &Settings, store: &dyn Store, unlocked: &Unlocked) -> Option<String> {
    let found = async {
        let (id, keys) = node(settings, store, unlocked).await?;
        let seen = match look_at_log(settings, id, keys)? {
            LogState::Lost(lost) => return Ok(Some(lost.to_string())),
            LogState::Whole(seen) => seen,
        };
        let missing = missing_from_store(store, unlocked, seen).await?;
        Ok(missing.map(|what| StartError::RolledBack { what }.to_string()))
    };
    found.await.unwrap_or_else(|error: StartError| Some(error.to_string()))
}

/// None if the directory cannot be read: the log of a server says why.
fn denials_in_folder(settings: &Settings) -> usize {
    DenialFolder::of(&settings.data_directory).denials().map_or(0, |denials| denials.len())
}

/// Problems of a list of seals.
fn of_seals(store: &StoreStatus) -> Vec<String> {
    let mut problems = Vec::new();
    let never: Vec<&str> = store
        .seals
        .iter()
        .filter(|seal| seal.verified_at.is_none())
        .map(|seal| seal.description.as_str())
        .collect();
    if !never.is_empty() {
        problems.push(messages::seals_never_tried(&never));
    }
    if store.seals.len() == 1 {
        problems.push(messages::ONE_SEAL.to_owned());
    }
    problems
}

fn of_rows(settings: &Settings, rows: &SealedRows, checked: bool) -> Result<StoreStatus, StartError> {
    StoreStatus::of_rows(rows, checked).map_err(|error| settings.unlock_failed(error))
}

/// The status of an open server.
pub(crate) async fn of_open(started: &Started, since: Timestamp) -> ServerStatus {
    let engine = &started.state.engine;
    let mut problems = engine.problems();
    let store = match engine.store_status().await {
        Ok(store) => Some(store),
        Err(failure) => {
            problems.push(failure.operator_text().to_owned());
            None
        }
    };
    let rotations = match engine.rotation_list().await {
        Ok(rotations) => Some(rotations),
        Err(failure) => {
            problems.push(failure.operator_text().to_owned());
            None
        }
    };
    let AuditStats { lines, reserve_left, .. } = engine.stats().audit;
    ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sealed: false,
        audit_lost: false,
        audit_loss: None,
        since: since.rfc3339(),
        opened_by: Some(messages::opening_seal(&started.opened_by)),
        why_sealed: Vec::new(),
        feed_age_seconds: Some(engine.feed_age()),
        audit_lines: Some(lines),
        audit_reserve_bytes: Some(reserve_left),
        denials_waiting: Some(engine.denials_waiting()),
        rotations,
        problems,
        warnings: engine.warnings(),
        store,
    }
}

/// The status of a sealed server.
pub(crate) fn of_sealed(node: &SealedNode) -> ServerStatus {
    ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sealed: true,
        audit_lost: node.why.is_lost_log(),
        audit_loss: node.why.loss().cloned(),
        since: node.since.rfc3339(),
        opened_by: None,
        why_sealed: if node.why.is_lost_log() { Vec::new() } else { node.why.lines() },
        feed_age_seconds: None,
        audit_lines: None,
        audit_reserve_bytes: None,
        denials_waiting: None,
        rotations: None,
        problems: if node.why.is_lost_log() { node.why.lines() } else { Vec::new() },
        warnings: Vec::new(),
        store: None,
    }
}
