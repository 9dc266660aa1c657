//! The life of a server between its start and its end: open, sealed, and the ways from one to the other.
//!
//! One loop owns the keys. To seal is to let go of the router, to wait until no request holds the engine, and to drop
//! it: keys wipe themselves. A engine that will not go ends the process rather than let it say that it is sealed.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use petsem_api::ErrorCode;
use petsem_engine::{Engine, KeyMemory, Timestamp, follow_rotations, scrubbed, scrubbed_deep, unlock};
use petsem_store::Store;
use rustix::process::{Resource, getrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::api::router;
use crate::http::state::ServerState;
use crate::listener::router_switch::RouterSwitch;
use crate::listener::serve_error::ServeError;
use crate::node::sealed::{self, SealedNode, Unsealing, Why};
use crate::node::start::{Started, close_audit, open_installed, start_unlocked};
use crate::node::start_error::StartError;
use crate::operator::socket::{Answer, Ask, Asked, SecretInput};
use crate::operator::status;
use crate::operator::unseal_input::UnsealInput;
use crate::settings::Settings;

/// How often the control feed is read.
const FEED_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked whether keys of issuers get old.
const KEYS_EVERY: Duration = Duration::from_millis(500);
/// How long requests may go on after the server was told to seal itself.
const SEALING: Duration = Duration::from_secs(8);
/// How long those that did not end by then may take to let go.
const CUT_OFF: Duration = Duration::from_secs(2);
/// How often a sealed server looks whether its own seals are back.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// What a server is now.
pub(crate) enum NodeState {
    /// It has the keys.
    Open(Box<Started>),
    /// It has none.
    Sealed(Box<SealedNode>),
}

impl NodeState {
    pub(crate) fn settings(&self) -> &Settings {
        match self {
            Self::Open(started) => &started.settings,
            Self::Sealed(node) => node.settings(),
        }
    }

    pub(crate) fn router(&self) -> Router {
        match self {
            Self::Open(started) => router(Arc::clone(&started.state)),
            Self::Sealed(_) => sealed::router(),
        }
    }
}

/// Starts: open if a seal opens, sealed if none does.
pub(crate) async fn begin(settings: Settings) -> Result<NodeState, StartError> {
    let store = open_installed(&settings).await?;
    match unlock(&settings.seal_sources(), &*store).await {
        Ok(unlocked) => {
            let started = start_unlocked(settings, store, unlocked).await?;
            started.state.engine.note_opened(&started.opened_by).await;
            Ok(NodeState::Open(Box::new(started)))
        }
        Err(error) => match settings.unlock_failed(error) {
            StartError::Sealed { tried, people } => {
                let node = SealedNode::begin(settings, store, Why::NoSeal { tried, people }).await?;
                Ok(NodeState::Sealed(Box::new(node)))
            }
            error => Err(error),
        },
    }
}

/// Whether all requests have ended within this time; no new one begins then.
pub(crate) async fn requests_ended(state: &ServerState, within: Duration) -> bool {
    let all = u32::try_from(state.limits.requests).unwrap_or(u32::MAX);
    match tokio::time::timeout(within, state.request_permits.acquire_many(all)).await {
        Ok(Ok(places)) => {
            places.forget();
            true
        }
        _ => false,
    }
}

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The loop, and what it hears.
pub(crate) struct Lifecycle {
    pub(crate) signals: Signals,
    pub(crate) asked: mpsc::Receiver<Asked>,
    pub(crate) front: RouterSwitch,
}

/// How a phase ended.
enum End {
    /// The server is told to end; none while a seal was being tried, when nothing is open.
    Stop(Option<NodeState>),
    /// Another phase begins.
    Next(NodeState),
}

impl Lifecycle {
    /// Goes from phase to phase until a signal; answers the last one.
    pub(crate) async fn run(mut self, mut phase: NodeState) -> Result<Option<NodeState>, ServeError> {
        loop {
            let end = match phase {
                NodeState::Open(started) => self.open(started).await?,
                NodeState::Sealed(node) => self.sealed(*node).await?,
            };
            phase = match end {
                End::Stop(last) => return Ok(last),
                End::Next(next) => next,
            };
            self.front.show(phase.router());
        }
    }

    async fn open(&mut self, mut started: Box<Started>) -> Result<End, ServeError> {
        let since = Timestamp::now();
        let state = Arc::clone(&started.state);
        let background = tokio::spawn(scrubbed_deep(background(Arc::clone(&state.engine))));
        let is_sealing = loop {
            tokio::select! {
                () = self.signals.stop() => break false,
                () = state.seal_requested.notified() => break true,
                Some(checkpoint) = started.checkpoints.recv() => {
                    scrubbed(state.engine.record_checkpoint(&checkpoint)).await;
                },
                Some(asked) = self.asked.recv() => scrubbed(answer_open(&started, since, asked)).await,
            }
        };
        drop(state);
        if !is_sealing {
            end(background).await;
            return Ok(End::Stop(Some(NodeState::Open(started))));
        }
        self.seal(started, background).await.map(End::Next)
    }

    /// Forgets every key.
    async fn seal(&self, started: Box<Started>, background: JoinHandle<()>) -> Result<NodeState, ServeError> {
        tracing::warn!("an operator seals the server");
        // Not `sealed` yet: that word says that the keys are gone.
        self.front.show(sealed::sealing_router());
        let settings = started.settings.clone().opened_by(UnsealInput::default());
        let store: Arc<dyn Store> = Arc::clone(started.state.engine.store());
        let state = &started.state;
        if !requests_ended(state, SEALING).await {
            // Nobody keeps the keys in memory by being slow.
            tracing::warn!("some requests did not end in time and are cut off");
            state.cut_off.send_replace(true);
            if !requests_ended(state, CUT_OFF).await {
                return Err(not_forgotten("requests are still under way"));
            }
        }
        end(background).await;
        started.state.engine.flush_pending_audit().await;
        let closed = close_audit(*started).await;
        let state =
            closed.map_err(|error| not_forgotten(&format!("the audit log was not closed: {error}")))?;
        let Some(engine) = only_holder(state).await else {
            return Err(not_forgotten("something still holds the keys"));
        };
        drop(engine);
        tracing::warn!("sealed: no key is in memory");
        let node = match SealedNode::begin(settings.clone(), Arc::clone(&store), Why::Operator).await {
            Ok(node) => node,
            Err(error) => {
                // Sealed is sealed: what cannot be written is said in the log of the process.
                tracing::error!(%error, "the audit log does not go on while the server is sealed");
                SealedNode::without_log(settings, store, Why::Operator)
            }
        };
        Ok(NodeState::Sealed(Box::new(node)))
    }

    async fn sealed(&mut self, mut node: SealedNode) -> Result<End, ServeError> {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + TRY_AGAIN, TRY_AGAIN);
        loop {
            let asked = tokio::select! {
                () = self.signals.stop() => return Ok(End::Stop(Some(NodeState::Sealed(Box::new(node))))),
                _ = ticks.tick(), if node.tries_again() => None,
                Some(asked) = self.asked.recv() => Some(asked),
            };
            let (given, source, answer) = match asked {
                None => (UnsealInput::default(), "node".to_owned(), None),
                Some(Asked { ask, source, answer }) => match ask {
                    Ask::Status {} => {
                        let status = Box::new(status::of_sealed(&node));
                        reply(answer, Answer::Status { status });
                        continue;
                    }
                    Ask::ChangeSeals { .. } => {
                        reply(answer, is_sealed());
                        continue;
                    }
                    Ask::Unseal { passphrase, shares } => match given_of(passphrase, shares) {
                        Ok(given) => (given, source, Some(answer)),
                        Err(error) => {
                            reply(answer, error);
                            continue;
                        }
                    },
                },
            };
            let is_asked = answer.is_some();
            let unsealing = tokio::select! {
                // What it had is dropped with it: the store's lock, and the log's.
                () = self.signals.stop() => return Ok(End::Stop(None)),
                unsealing = scrubbed_deep(node.unseal(given, &source, is_asked)) => unsealing,
            };
            node = match unsealing {
                Unsealing::Open(started) => {
                    // First the routes, then the word that they are there.
                    self.front.show(router(Arc::clone(&started.state)));
                    tracing::warn!(seal = started.opened_by.description, "unsealed");
                    let by = format!("{} ({})", started.opened_by.description, started.opened_by.kind);
                    if let Some(answer) = answer {
                        reply(answer, Answer::Unsealed { by });
                    }
                    return Ok(End::Next(NodeState::Open(started)));
                }
                Unsealing::Still(node, error) => {
                    let text = error.to_string();
                    tracing::warn!(reason = text, "not unsealed");
                    let refused = Answer::Refused { code: ErrorCode::Sealed, error: text };
                    if let Some(answer) = answer {
                        reply(answer, refused);
                    }
                    *node
                }
                Unsealing::Ended(error) => {
                    let refused = Answer::Refused { code: ErrorCode::Integrity, error: error.to_string() };
                    if let Some(answer) = answer {
                        reply(answer, refused);
                    }
                    return Err(ServeError::Start(error));
                }
            };
        }
    }
}

/// Answers a command while the server is open.
async fn answer_open(started: &Started, since: Timestamp, asked: Asked) {
    let Asked { ask, source, answer } = asked;
    let said = match ask {
        Ask::Status {} => Answer::Status { status: Box::new(status::of_open(started, since).await) },
        Ask::Unseal { .. } => Answer::Refused {
            code: ErrorCode::Conflict,
            error: format!(
                "the server is not sealed: {} opened it; nothing is left to do",
                started.opened_by.description
            ),
        },
        Ask::ChangeSeals { id, note } => {
            match started.state.engine.change_seals_by_note(&source, id, &note).await {
                Ok(()) => Answer::Changed {},
                Err(failure) => {
                    tracing::warn!(
                        reason = failure.internal_text().unwrap_or(failure.external()),
                        "the list of seals was not changed"
                    );
                    Answer::refused(&failure)
                }
            }
        }
    };
    reply(answer, said);
}

fn given_of(passphrase: Option<SecretInput>, shares: Vec<SecretInput>) -> Result<UnsealInput, Answer> {
    let passphrase = match passphrase.map(|typed| petsem_seals::Passphrase::new(typed.0)).transpose() {
        Ok(passphrase) => passphrase,
        Err(error) => {
            return Err(Answer::Refused { code: ErrorCode::BadRequest, error: error.to_string() });
        }
    };
    Ok(UnsealInput::new(passphrase, shares.into_iter().map(|typed| typed.0).collect()))
}

fn is_sealed() -> Answer {
    Answer::Refused {
        code: ErrorCode::Sealed,
        error: "the server is sealed; open it first with `petsem operator unseal`".to_owned(),
    }
}

fn reply(answer: tokio::sync::oneshot::Sender<Answer>, said: Answer) {
    // Whoever asked may have gone.
    let _unheard = answer.send(said);
}

/// Ends a task, and what it holds with it.
async fn end(task: JoinHandle<()>) {
    task.abort();
    let _cancelled = task.await;
}

/// The engine, once nothing else holds it: the tasks of ended requests release it a moment after their responses.
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

fn not_forgotten(why: &str) -> ServeError {
    ServeError::Stop(format!(
        "it was told to seal itself, and {why}: it ends, so that no key stays in memory"
    ))
}

/// What goes on beside the requests.
async fn background(engine: Arc<Engine>) {
    // It ends when it is aborted; nobody tells it.
    let (_alive, ended) = watch::channel(false);
    tokio::join!(
        follow_feed(Arc::clone(&engine)),
        renew_keys(Arc::clone(&engine)),
        follow_rotations(engine, ended)
    );
}

/// Keeps the keys that issuers publish new. What goes wrong shows in `/readyz` and the metrics.
async fn renew_keys(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(KEYS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        engine.renew_keys();
    }
}

/// Says it once for each time that the system refuses to lock more memory for keys.
fn warn_of_unlocked_keys(told: &mut usize) {
    let memory = KeyMemory::of_this_process();
    if let Some(refusal) = memory.refusal
        && memory.unlocked > *told
    {
        *told = memory.unlocked;
        tracing::warn!(
            unlocked_bytes = memory.unlocked,
            locked_bytes = memory.locked,
            limit_bytes = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX),
            "{refusal}; keys work, but the system may swap them to disk. Raise the limit of locked memory \
             (LimitMEMLOCK= of the systemd unit, or ulimit -l) to 8 MiB and restart, or use no swap"
        );
    }
}

/// Reads the control feed twice a second. What goes wrong shows in `/readyz` and the metrics.
async fn follow_feed(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(FEED_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unlocked = 0;
    loop {
        ticks.tick().await;
        warn_of_unlocked_keys(&mut unlocked);
        engine.flush_pending_audit().await;
        engine.take_denials().await;
        if let Err(failure) = engine.refresh().await {
            tracing::error!(
                status = failure.code().as_str(),
                reason = failure.internal_text().unwrap_or(failure.external()),
                "the control feed cannot be followed"
            );
        }
    }
}
