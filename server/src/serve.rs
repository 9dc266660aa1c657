//! Listeners, connections, and the end of both.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use petsem_keys::KeyMemory;
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::core::Core;
use crate::request::Peer;
use crate::routes::router;
use crate::settings::{ListenAddress, Listener, Settings};
use crate::stack::{scrubbed, scrubbed_start};
use crate::start::{StartError, Started, record_checkpoint, start, stop};

/// Connections that the kernel keeps until they are accepted: a thousand Machines may boot at once.
const BACKLOG: i32 = 4096;
/// How often the control feed is read.
const FEED_EVERY: Duration = Duration::from_millis(500);
/// How long requests may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(8);
/// Bytes of a request's head.
const HEAD: usize = 128 * 1024;

/// Why a server ended, or did not begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// It did not start.
    Start(StartError),
    /// A listener cannot be opened.
    Listen {
        /// Which one, as configured.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// What was written is safe, but closing it did not end cleanly.
    Stop(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(source) => source.fmt(f),
            Self::Listen { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: something listens there already\nstop it, or choose another \
                 listener.address in the configuration (`petsem dev`: --listen)"
            ),
            Self::Listen { address, source } => {
                write!(
                    f,
                    "cannot listen on {address}: {source}\ncorrect listener.address in the configuration"
                )
            }
            Self::Stop(text) => write!(f, "the server stopped, but not cleanly: {text}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(source) => source.source(),
            Self::Listen { source, .. } => Some(source),
            Self::Stop(_) => None,
        }
    }
}

/// What a server listens on, once it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The listeners in the order of the configuration, with the ports that they got.
    pub listeners: Vec<String>,
}

/// Serves an installation until SIGTERM or SIGINT.
///
/// # Errors
/// [`ServeError`]; nothing was served then, except for `Stop`.
pub async fn serve(settings: Settings, on_ready: impl FnOnce(&Bound)) -> Result<(), ServeError> {
    let listeners = settings.listeners.clone();
    // The ports first: a second server on them must not touch the store.
    let bound = listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    match scrubbed_start(start(settings)).await {
        Ok(started) => serve_on(started, bound, on_ready).await,
        Err(error) => {
            bound.iter().for_each(BoundListener::remove_socket);
            Err(ServeError::Start(error))
        }
    }
}

pub(crate) async fn serve_on(
    started: Started,
    bound: Vec<BoundListener>,
    on_ready: impl FnOnce(&Bound),
) -> Result<(), ServeError> {
    let Started { core, mut checkpoints } = started;
    // Before anybody can know that it runs: a signal must never meet the default, which cuts everything off.
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| ServeError::Stop(error.to_string()))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| ServeError::Stop(error.to_string()))?;
    let router = router(Arc::clone(&core));
    let (ending, ended) = watch::channel(false);
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(core.settings.limits.connections));
    let names = Bound { listeners: bound.iter().map(BoundListener::name).collect() };
    let mut accepting = tokio::task::JoinSet::new();
    let watcher = Arc::new(graceful);
    for listener in bound {
        let acceptor = Acceptor {
            router: router.clone(),
            graceful: Arc::clone(&watcher),
            connections: Arc::clone(&connections),
            header_timeout: Duration::from_secs(core.settings.limits.seconds),
            ended: ended.clone(),
        };
        accepting.spawn(acceptor.run(listener));
    }
    for name in &names.listeners {
        tracing::info!(listener = name, "listening");
    }
    on_ready(&names);
    let feed = tokio::spawn(scrubbed(follow_feed(Arc::clone(&core), ended.clone())));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Some(checkpoint) = checkpoints.recv() => scrubbed(record_checkpoint(&core, &checkpoint)).await,
        }
    }
    tracing::info!("stopping: no new requests; finishing those under way");
    ending.send_replace(true);
    while accepting.join_next().await.is_some() {}
    if let Ok(graceful) = Arc::try_unwrap(watcher).map_err(|_| ())
        && tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err()
    {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
    feed.abort();
    // What a caller left behind when he hung up is finished too.
    let all = u32::try_from(core.settings.limits.requests).unwrap_or(u32::MAX);
    if tokio::time::timeout(Duration::from_secs(1), core.room.acquire_many(all)).await.is_err() {
        tracing::warn!("some requests were still under way and were cut off");
    }
    core.pay_owed().await;
    let stopped = stop(Started { core, checkpoints }).await.map_err(ServeError::Stop);
    tracing::info!("stopped");
    stopped
}

/// Reads the control feed twice a second. What goes wrong shows in `/readyz` and the metrics.
async fn follow_feed(core: Arc<Core>, mut ended: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(FEED_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unlocked = 0;
    loop {
        tokio::select! {
            _ = ended.changed() => return,
            _ = ticks.tick() => {}
        }
        warn_of_unlocked_keys(&mut unlocked);
        core.pay_owed().await;
        core.take_denials().await;
        if let Err(failure) = core.refresh().await {
            tracing::error!(
                status = failure.code().as_str(),
                reason = failure.internal_text().unwrap_or(failure.external()),
                "the control feed cannot be followed"
            );
        }
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

pub(crate) enum BoundListener {
    Tcp { listener: TcpListener, address: SocketAddr, settings: Listener },
    Unix { listener: UnixListener, settings: Listener },
}

impl BoundListener {
    fn name(&self) -> String {
        match self {
            Self::Tcp { address, .. } => address.to_string(),
            Self::Unix { settings, .. } => settings.address.to_string(),
        }
    }

    /// Takes a Unix socket's file away: nobody listens there any more.
    fn remove_socket(&self) {
        if let Self::Unix { settings: Listener { address: ListenAddress::Unix(path), .. }, .. } = self
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, "the socket's file was not removed");
        }
    }

    fn settings(&self) -> &Listener {
        match self {
            Self::Tcp { settings, .. } | Self::Unix { settings, .. } => settings,
        }
    }
}

/// Opens a listener. A Unix socket that nobody listens on any more is replaced.
pub(crate) fn bind(settings: &Listener) -> Result<BoundListener, ServeError> {
    let failed = |source| ServeError::Listen { address: settings.address.to_string(), source };
    match &settings.address {
        ListenAddress::Tcp(address) => bind_tcp(*address, settings).map_err(failed),
        ListenAddress::Unix(path) => bind_unix(path, settings).map_err(failed),
    }
}

fn bind_tcp(address: SocketAddr, settings: &Listener) -> std::io::Result<BoundListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok(BoundListener::Tcp { listener, address, settings: settings.clone() })
}

fn bind_unix(path: &Path, settings: &Listener) -> std::io::Result<BoundListener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        // Only a socket that nobody listens on any more is replaced.
        if !found.file_type().is_socket() || std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(std::io::ErrorKind::AddrInUse.into());
        }
    }
    // Made beside it and renamed: there is no moment at which another start could take the path away.
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(&beside)?)?;
    // Nobody can connect before listen(): the mode is right by then.
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    std::fs::rename(&beside, path)?;
    socket.set_nonblocking(true)?;
    Ok(BoundListener::Unix { listener: UnixListener::from_std(socket.into())?, settings: settings.clone() })
}

struct Acceptor {
    router: Router,
    graceful: Arc<GracefulShutdown>,
    connections: Arc<Semaphore>,
    header_timeout: Duration,
    ended: watch::Receiver<bool>,
}

impl Acceptor {
    async fn run(mut self, listener: BoundListener) {
        let host = listener.settings().host.clone();
        loop {
            let place = tokio::select! {
                _ = self.ended.changed() => break,
                place = Arc::clone(&self.connections).acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                _ = self.ended.changed() => break,
                accepted = accept(&listener) => accepted,
            };
            match accepted {
                Ok((Stream::Tcp(stream), source)) => {
                    self.serve(stream, Peer { source, host: host.clone() }, place);
                }
                Ok((Stream::Unix(stream), source)) => {
                    self.serve(stream, Peer { source, host: host.clone() }, place);
                }
                Err(error) => {
                    // Out of descriptors, or the peer was gone already: neither ends the listener.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        listener.remove_socket();
    }

    fn serve<S>(&self, io: S, peer: Peer, place: tokio::sync::OwnedSemaphorePermit)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
    {
        let router = self.router.clone();
        let mut io = TimeoutStream::new(io);
        // Whoever does not read his answers does not keep a connection for ever.
        io.set_write_timeout(Some(self.header_timeout));
        let io = TokioIo::new(Box::pin(io));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(HEAD)
            .serve_connection(io, service);
        let connection = self.graceful.watch(connection);
        tokio::spawn(scrubbed(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        }));
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &BoundListener) -> std::io::Result<(Stream, String)> {
    match listener {
        BoundListener::Tcp { listener, .. } => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Stream::Tcp(stream), peer.ip().to_string()))
        }
        BoundListener::Unix { listener, settings } => {
            let (stream, _) = listener.accept().await?;
            let user = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
            Ok((Stream::Unix(stream), format!("{} uid {user}", settings.address)))
        }
    }
}
