//! The life of a server between start and stop: open, sealed, and the transitions between the two.
//!
//! One loop owns the keys. To seal, it replaces the router, waits until no request holds the engine, and drops the
//! engine; keys wipe themselves on drop. If the engine cannot be dropped, the process ends instead of reporting that
//! it is sealed.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use petsem_engine::{
    Engine, KeyMemory, Timestamp, drop_ended_entries, follow_rotations, scrubbed, scrubbed_deep, unlock,
};
use petsem_store::Store;
use rustix::process::{Resource, getrlimit};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::router;
use crate::error::{ServeError, StartError};
use crate::http::state::ServerState;
use crate::listener::router_switch::RouterSwitch;
use crate::messages;
use crate::node::sealed::{self, SealedNode, Unsealing, Why};
use crate::node::signals::Signals;
use crate::node::start::{Started, close_audit, open_installed, start_opened};
use crate::operator::socket::{Answer, PendingCommand, SecretInput, SocketCommand};
use crate::operator::status;
use crate::operator::unseal_input::UnsealInput;
use crate::settings::Settings;

/// How often the control feed is read.
const FEED_EVERY: Duration = Duration::from_millis(500);
/// How often the keys of issuers are checked for age.
const KEYS_EVERY: Duration = Duration::from_millis(500);
/// How often the free space of the disks is read.
const DISKS_EVERY: Duration = Duration::from_secs(5);
/// How long requests may take to finish after an operator seals the server.
const SEALING: Duration = Duration::from_secs(8);
/// How long the remaining requests may take to end once they are cut off.
const CUT_OFF: Duration = Duration::from_secs(2);
/// How often a sealed server tries the configured seals again.
const RETRY: Duration = Duration::from_secs(30);

/// The state of a server.
pub(crate) enum NodeState {
    /// It has the keys.
    Open(Box<Started>),
    /// It has no key.
    Sealed(Box<SealedNode>),
}

impl NodeState {
    pub(crate) fn settings(&self) -> &Settings {
        match self {
            Self::Open(started) => &started.settings,
            Self::Sealed(node) => &node.settings,
        }
    }

    pub(crate) fn router(&self) -> Router {
        match self {
            Self::Open(started) => router(Arc::clone(&started.state)),
            Self::Sealed(node) => sealed::router(&node.why),
        }
    }
}

/// Starts: open if a seal opens the store, otherwise sealed.
pub(crate) async fn begin(settings: Settings) -> Result<NodeState, StartError> {
    let store = open_installed(&settings).await?;
    match unlock(&settings.seal_sources(), &*store).await {
        Ok(unlocked) => match start_opened(settings.clone(), Arc::clone(&store), unlocked).await {
            Ok(started) => Ok(NodeState::Open(Box::new(started))),
            Err(StartError::Audit(lost)) if lost.is_loss() => {
                let settings = settings.opened_by(UnsealInput::default());
                Ok(NodeState::Sealed(Box::new(SealedNode::without_lines(settings, store, &lost))))
            }
            Err(error) => Err(error),
        },
        Err(error) => match settings.unlock_failed(error) {
            StartError::Sealed { tried, people } => {
                let node = SealedNode::begin(settings, store, Why::NoSeal { tried, people }).await?;
                Ok(NodeState::Sealed(Box::new(node)))
            }
            error => Err(error),
        },
    }
}

/// Whether all requests ended within this time. If so, no new one begins.
pub(crate) async fn requests_ended(state: &ServerState, within: Duration) -> bool {
    tokio::time::timeout(within, state.permits.close()).await.is_ok()
}

/// The loop, with its inputs.
pub(crate) struct Lifecycle {
    pub(crate) signals: Signals,
    pub(crate) requests: mpsc::Receiver<PendingCommand>,
    pub(crate) router: RouterSwitch,
}

/// How a state ended.
enum End {
    /// A signal stops the server. `None` if it arrived while a seal was tried: then nothing is open.
    Stop(Option<NodeState>),
    /// Another state begins.
    Next(NodeState),
}

impl Lifecycle {
    /// Runs from state to state until a signal; returns the last one.
    pub(crate) async fn run(mut self, mut state: NodeState) -> Result<Option<NodeState>, ServeError> {
        loop {
            let end = match state {
                NodeState::Open(started) => self.open(started).await?,
                NodeState::Sealed(node) => self.sealed(*node).await?,
            };
            state = match end {
                End::Stop(last) => return Ok(last),
                End::Next(next) => next,
            };
            self.router.replace(state.router());
        }
    }

    async fn open(&mut self, mut started: Box<Started>) -> Result<End, ServeError> {
        let since = Timestamp::now();
        let state = Arc::clone(&started.state);
        let background = tokio::spawn(scrubbed_deep(background(Arc::clone(&state))));
        let is_sealing = loop {
            tokio::select! {
                () = self.signals.stop() => break false,
                () = state.seal_requested.notified() => break true,
                Some(checkpoint) = started.checkpoints.recv() => {
                    scrubbed(state.engine.record_checkpoint(&checkpoint)).await;
                },
                Some(request) = self.requests.recv() => scrubbed(answer_open(&started, since, request)).await,
            }
        };
        drop(state);
        if !is_sealing {
            end(background).await;
            return Ok(End::Stop(Some(NodeState::Open(started))));
        }
        self.seal(started, background).await.map(End::Next)
    }

    /// Drops every key.
    async fn seal(&self, started: Box<Started>, background: JoinHandle<()>) -> Result<NodeState, ServeError> {
        tracing::warn!("an operator seals the server");
        // Not `sealed` yet: that state means that no key is in memory.
        self.router.replace(sealed::sealing_router());
        let settings = started.settings.clone().opened_by(UnsealInput::default());
        let store: Arc<dyn Store> = Arc::clone(started.state.engine.store());
        let state = &started.state;
        if !requests_ended(state, SEALING).await {
            // A slow client must not keep the keys in memory.
            tracing::warn!("some requests did not end in time and are cut off");
            state.cut_off.send_replace(true);
            if !requests_ended(state, CUT_OFF).await {
                return Err(messages::requests_not_ended());
            }
        }
        end(background).await;
        started.state.engine.flush_pending_audit();
        let closed = close_audit(*started).await;
        let state = closed.map_err(|error| messages::audit_log_not_closed(&error))?;
        let Some(engine) = only_holder(state).await else {
            return Err(messages::keys_still_held());
        };
        drop(engine);
        tracing::warn!("sealed: no key is in memory");
        let node = match SealedNode::begin(settings.clone(), Arc::clone(&store), Why::Operator).await {
            Ok(node) => node,
            Err(error) => {
                // The server is sealed all the same; only the process log records this error.
                tracing::error!(%error, "the audit log cannot be opened, so the sealed server writes no audit lines");
                SealedNode::without_log(settings, store, Why::Operator)
            }
        };
        Ok(NodeState::Sealed(Box::new(node)))
    }

    async fn sealed(&mut self, mut node: SealedNode) -> Result<End, ServeError> {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + RETRY, RETRY);
        loop {
            let request = tokio::select! {
                () = self.signals.stop() => return Ok(End::Stop(Some(NodeState::Sealed(Box::new(node))))),
                _ = ticks.tick(), if node.retries() => None,
                Some(request) = self.requests.recv() => Some(request),
            };
            let accepts_loss = request
                .as_ref()
                .is_some_and(|request| matches!(request.command, SocketCommand::AcceptLoss { .. }));
            let (input, source, answer) = match request {
                None => (UnsealInput::default(), "node".to_owned(), None),
                Some(PendingCommand { command, source, answer }) => match command {
                    SocketCommand::Status {} => {
                        let status = Box::new(status::of_sealed(&node));
                        reply(answer, Answer::Status { status });
                        continue;
                    }
                    SocketCommand::CarryOut { .. } => {
                        let refused = match node.why.loss() {
                            Some(loss) => messages::log_lost_for_command(loss),
                            None => messages::sealed(),
                        };
                        reply(answer, Answer::refused(&refused));
                        continue;
                    }
                    SocketCommand::AcceptLoss { .. } if !node.why.is_lost_log() => {
                        reply(answer, Answer::refused(&messages::sealed()));
                        continue;
                    }
                    SocketCommand::Unseal { passphrase, shares }
                    | SocketCommand::AcceptLoss { passphrase, shares } => {
                        match unseal_input(passphrase, shares) {
                            Ok(input) => (input, source, Some(answer)),
                            Err(error) => {
                                reply(answer, error);
                                continue;
                            }
                        }
                    }
                },
            };
            let is_requested = answer.is_some();
            let unsealing = tokio::select! {
                // The future is dropped, and with it the locks of the store and the audit log.
                () = self.signals.stop() => return Ok(End::Stop(None)),
                unsealing = scrubbed_deep(node.unseal(input, &source, is_requested, accepts_loss)) => unsealing,
            };
            node = match unsealing {
                Unsealing::Open(started, accepted) => {
                    // The routes must work before the operator is told that the server is open.
                    self.router.replace(router(Arc::clone(&started.state)));
                    tracing::warn!(seal = started.opened_by.description, "unsealed");
                    let by = messages::opening_seal(&started.opened_by);
                    if let Some(answer) = answer {
                        reply(
                            answer,
                            match accepts_loss {
                                true => Answer::LossAccepted { detail: accepted },
                                false => Answer::Unsealed { by },
                            },
                        );
                    }
                    return Ok(End::Next(NodeState::Open(started)));
                }
                Unsealing::Still(node, error) => {
                    tracing::warn!(reason = error.to_string(), "not unsealed");
                    if let Some(answer) = answer {
                        reply(answer, Answer::refused(&messages::not_unsealed(&error)));
                    }
                    *node
                }
                Unsealing::Ended(error) => {
                    if let Some(answer) = answer {
                        reply(answer, Answer::refused(&messages::not_served(&error)));
                    }
                    return Err(ServeError::Start(error));
                }
            };
        }
    }
}

/// Answers a command while the server is open.
async fn answer_open(started: &Started, since: Timestamp, request: PendingCommand) {
    let PendingCommand { command, source, answer } = request;
    let response = match command {
        SocketCommand::Status {} => {
            Answer::Status { status: Box::new(status::of_open(started, since).await) }
        }
        SocketCommand::Unseal { .. } => Answer::NotSealed { by: messages::opening_seal(&started.opened_by) },
        SocketCommand::AcceptLoss { .. } => Answer::LossAccepted { detail: None },
        SocketCommand::CarryOut { id, note } => {
            match started.state.engine.carry_out_note(&source, id, &note).await {
                Ok(result) => Answer::CarriedOut { result },
                Err(failure) => {
                    tracing::warn!(reason = failure.operator_text(), "a command on this node was refused");
                    Answer::refused(&failure)
                }
            }
        }
    };
    reply(answer, response);
}

fn unseal_input(passphrase: Option<SecretInput>, shares: Vec<SecretInput>) -> Result<UnsealInput, Answer> {
    let passphrase = match passphrase.map(|typed| petsem_seals::Passphrase::new(typed.0)).transpose() {
        Ok(passphrase) => passphrase,
        Err(error) => return Err(Answer::refused(&messages::invalid_passphrase(&error))),
    };
    Ok(UnsealInput::new(passphrase, shares.into_iter().map(|typed| typed.0).collect()))
}

fn reply(answer: tokio::sync::oneshot::Sender<Answer>, response: Answer) {
    // The command may have ended.
    let _unheard = answer.send(response);
}

/// Ends a task and drops what it holds.
async fn end(task: JoinHandle<()>) {
    task.abort();
    let _cancelled = task.await;
}

/// The engine, once nothing else holds it: the task of a request releases it shortly after the response.
async fn only_holder(state: Arc<ServerState>) -> Option<Engine> {
    let state = once_unshared(state).await?;
    once_unshared(state.engine).await
}

async fn once_unshared<T>(mut shared: Arc<T>) -> Option<T> {
    for _ in 0..200 {
        shared = match Arc::try_unwrap(shared) {
            Ok(value) => return Some(value),
            Err(shared) => shared,
        };
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

/// The background tasks of an open server. Aborting this future ends them.
async fn background(state: Arc<ServerState>) {
    let engine = Arc::clone(&state.engine);
    tokio::join!(
        watch_disks(state),
        follow_feed(Arc::clone(&engine)),
        renew_keys(Arc::clone(&engine)),
        drop_ended_entries(Arc::clone(&engine)),
        follow_rotations(engine)
    );
}

/// Looks at the free space of the disks.
async fn watch_disks(state: Arc<ServerState>) {
    let mut ticks = tokio::time::interval(DISKS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        state.disks.look();
    }
}

/// Keeps the keys that issuers publish up to date. `/readyz` and the metrics show failures.
async fn renew_keys(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(KEYS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        engine.renew_keys();
    }
}

/// Logs a warning each time that more memory for keys could not be locked.
fn warn_of_unlocked_keys(reported: &mut usize) {
    let memory = KeyMemory::of_this_process();
    if let Some(refusal) = memory.refusal
        && memory.unlocked > *reported
    {
        *reported = memory.unlocked;
        tracing::warn!(
            unlocked_bytes = memory.unlocked,
            locked_bytes = memory.locked,
            limit_bytes = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX),
            "{refusal}; keys work, but the system may swap them to disk. Raise the limit of locked memory \
             (LimitMEMLOCK= of the systemd unit, or ulimit -l) to 8 MiB and restart, or disable swap"
        );
    }
}

/// Reads the control feed twice a second. `/readyz` and the metrics show failures.
async fn follow_feed(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(FEED_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unlocked = 0;
    loop {
        ticks.tick().await;
        warn_of_unlocked_keys(&mut unlocked);
        engine.flush_pending_audit();
        engine.take_denials().await;
        if let Err(failure) = engine.refresh().await {
            tracing::error!(
                status = failure.code().as_str(),
                reason = failure.operator_text(),
                "the control feed cannot be followed"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is still held is not dropped, so [`Lifecycle::seal`] ends the process instead of saying that it is sealed.
    #[tokio::test]
    async fn what_something_still_holds_is_not_taken_apart() {
        let engine = Arc::new("keys");
        let request = Arc::clone(&engine);
        assert_eq!(once_unshared(engine).await, None);
        assert_eq!(once_unshared(request).await, Some("keys"));
        // A request that ends in the meantime releases it.
        let engine = Arc::new("keys");
        let request = Arc::clone(&engine);
        tokio::spawn(async move { drop(request) });
        assert_eq!(once_unshared(engine).await, Some("keys"));
    }
}
