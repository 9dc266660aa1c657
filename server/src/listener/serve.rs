//! Listeners, connections, and how both end.
//!
//! The accept loop is ours and not `axum::serve`, which has no limits: it accepts every connection, and waits forever
//! for a request's head and for a client that does not read. Here each listener has a pool of connections, the head has
//! limits of time and size, and each write has one of time. Threads of their own accept (`front`).

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use petsem_engine::{Peer, scrubbed, scrubbed_deep};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::error::ServeError;
use crate::listener::front::{Connection, Fronts};
use crate::listener::low_priority::LowPriority;
use crate::listener::pool::{BusyBody, Counted, LARGE_HEADS, Place, Pool, raise_file_limit};
use crate::listener::router_switch::RouterSwitch;
use crate::messages;
use crate::node::lifecycle::{Lifecycle, NodeState, begin, requests_ended};
use crate::node::signals::{Signals, ignore_habitual};
use crate::node::start::stop;
use crate::operator::socket::OperatorSocket;
use crate::settings::{ListenAddress, Listener, Settings};

/// Connections that the kernel queues until they are accepted: a thousand Machines may boot at once.
const BACKLOG: i32 = 4096;
/// How long requests may take to finish after SIGTERM.
const DRAIN: Duration = Duration::from_secs(8);
/// Commands of operators that wait while another is handled.
const PENDING_COMMANDS: usize = 8;
/// Most bytes of a request's head.
const HEAD: usize = 128 * 1024;

/// The addresses that a server listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The listeners in the order of the configuration, with the ports in use.
    pub listeners: Vec<String>,
}

/// Serves an installation until SIGTERM, SIGINT or SIGQUIT. If no seal opens the store, the server is sealed until an
/// operator unseals it.
///
/// # Errors
/// [`ServeError`]; except for `Stop`, nothing was served.
pub async fn serve(settings: Settings, on_ready: impl FnOnce(&Bound)) -> Result<(), ServeError> {
    // Before the first seal is tried: a signal that scripts send by habit must not interrupt it.
    ignore_habitual().map_err(|error| ServeError::Stop(error.to_string()))?;
    let listeners = settings.listeners.clone();
    raise_file_limit(settings.limits.connections)?;
    // The ports come first: a second server on the same ports must not touch the store.
    let bound = listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    match scrubbed_deep(begin(settings)).await {
        Ok(state) => serve_on(state, bound, on_ready).await,
        Err(error) => {
            bound.iter().for_each(BoundListener::remove_socket);
            Err(ServeError::Start(error))
        }
    }
}

/// Serves a node in this state on these listeners.
pub(crate) async fn serve_on(
    state: NodeState,
    bound: Vec<BoundListener>,
    on_ready: impl FnOnce(&Bound),
) -> Result<(), ServeError> {
    // Before `on_ready`: the default action of a signal would kill the process without closing anything.
    let signals =
        Signals::new(state.settings().development).map_err(|error| ServeError::Stop(error.to_string()))?;
    let settings = state.settings().clone();
    let (ending, ended) = watch::channel(false);
    let graceful = Arc::new(GracefulShutdown::new());
    // Each listener has its share: no client of one can take the places of another.
    let count = bound.len().max(1);
    let share = (settings.limits.connections / count).max(1);
    let router = RouterSwitch::new(state.router());
    let names = Bound { listeners: bound.iter().map(BoundListener::name).collect() };
    let (commands, requests) = mpsc::channel(PENDING_COMMANDS);
    let socket = OperatorSocket::bind(&settings.data_directory).map_err(|source| {
        bound.iter().for_each(BoundListener::remove_socket);
        ServeError::Listen { address: messages::OPERATOR_SOCKET.to_owned(), source }
    })?;
    let (fronts, low_priority) = threads(&bound).map_err(|source| {
        bound.iter().for_each(BoundListener::remove_socket);
        ServeError::Threads(source)
    })?;
    let mut accepting = tokio::task::JoinSet::new();
    accepting.spawn(socket.run(commands, ended.clone()));
    for listener in bound {
        let is_of_host = listener.is_of_host();
        let front = fronts.runtime_of(is_of_host);
        let open = {
            let _entered = front.enter();
            listener.open().map_err(|source| ServeError::Listen { address: listener.name(), source })?
        };
        let acceptor = Acceptor {
            router: router.clone(),
            graceful: Arc::clone(&graceful),
            pool: Pool::new(share, LARGE_HEADS / count),
            header_timeout: Duration::from_secs(settings.limits.seconds),
            ended: ended.clone(),
            runtime: low_priority.runtime_of(is_of_host),
        };
        accepting.spawn_on(acceptor.run(open, listener), front);
    }
    for name in &names.listeners {
        tracing::info!(listener = name, "listening");
    }
    on_ready(&names);
    let last = Lifecycle { signals, requests, router }.run(state).await;
    tracing::info!("stopping: no new requests; finishing those in progress");
    ending.send_replace(true);
    while accepting.join_next().await.is_some() {}
    if let Ok(graceful) = Arc::try_unwrap(graceful).map_err(|_| ())
        && tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err()
    {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
    drop(fronts);
    let stopped = match last? {
        Some(NodeState::Open(started)) => {
            // Requests whose client disconnected are finished too.
            if !requests_ended(&started.state, Duration::from_secs(1)).await {
                tracing::warn!("some requests were still in progress and were cut off");
            }
            started.state.engine.flush_pending_audit();
            stop(*started).await
        }
        Some(NodeState::Sealed(node)) => node.stop().await,
        None => Ok(()),
    };
    tracing::info!("stopped");
    stopped.map_err(ServeError::Stop)
}

/// The threads that accept connections, and those of connections that are no host's.
fn threads(bound: &[BoundListener]) -> std::io::Result<(Fronts, LowPriority)> {
    let are_of_hosts: Vec<_> = bound.iter().map(BoundListener::is_of_host).collect();
    Ok((Fronts::start(&are_of_hosts)?, LowPriority::start(&are_of_hosts)?))
}

pub(crate) enum BoundListener {
    Tcp { listener: std::net::TcpListener, address: SocketAddr, settings: Listener },
    Unix { listener: std::os::unix::net::UnixListener, settings: Listener },
}

impl BoundListener {
    fn name(&self) -> String {
        match self {
            Self::Tcp { address, .. } => address.to_string(),
            Self::Unix { settings, .. } => settings.address.to_string(),
        }
    }

    /// Removes the file of a Unix socket.
    fn remove_socket(&self) {
        if let Self::Unix { settings: Listener { address: ListenAddress::Unix(path), .. }, .. } = self
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, "the socket's file was not removed");
        }
    }

    /// The listener, on the current runtime.
    fn open(&self) -> std::io::Result<Open> {
        match self {
            Self::Tcp { listener, .. } => TcpListener::from_std(listener.try_clone()?).map(Open::Tcp),
            Self::Unix { listener, .. } => UnixListener::from_std(listener.try_clone()?).map(Open::Unix),
        }
    }

    fn is_of_host(&self) -> bool {
        self.settings().host.is_some()
    }

    fn settings(&self) -> &Listener {
        match self {
            Self::Tcp { settings, .. } | Self::Unix { settings, .. } => settings,
        }
    }
}

/// Opens a listener. A stale Unix socket is replaced.
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
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok(BoundListener::Tcp { listener, address, settings: settings.clone() })
}

fn bind_unix(path: &Path, settings: &Listener) -> std::io::Result<BoundListener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        // Only a socket without a listener is replaced.
        if !found.file_type().is_socket() || std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(std::io::ErrorKind::AddrInUse.into());
        }
    }
    // Bound under a temporary name and renamed, so that a concurrent start cannot take the path.
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(&temporary)?)?;
    // No client can connect before listen(), and the mode is set before it.
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    std::fs::rename(&temporary, path)?;
    socket.set_nonblocking(true)?;
    Ok(BoundListener::Unix { listener: socket.into(), settings: settings.clone() })
}

/// A listener on the runtime of the front.
enum Open {
    Tcp(TcpListener),
    Unix(UnixListener),
}

struct Acceptor {
    router: RouterSwitch,
    graceful: Arc<GracefulShutdown>,
    pool: Arc<Pool>,
    header_timeout: Duration,
    ended: watch::Receiver<bool>,
    /// The runtime that serves its connections.
    runtime: Handle,
}

/// A connection that was accepted.
struct Accepted {
    router: RouterSwitch,
    watcher: Watcher,
    place: Arc<Place>,
    peer: Peer,
    header_timeout: Duration,
}

impl Acceptor {
    /// Accepts connections on the runtime of the front.
    async fn run(mut self, open: Open, listener: BoundListener) {
        loop {
            let accepted = tokio::select! {
                _ = self.ended.changed() => break,
                accepted = accept(&open, listener.settings()) => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // No descriptor is free, or the peer has already disconnected: neither ends the listener.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            // Only now, so that no connection is closed unless another needs its place.
            let place = tokio::select! {
                _ = self.ended.changed() => break,
                place = self.pool.place() => place,
            };
            let Some(place) = place else { break };
            let accepted = Accepted {
                router: self.router.clone(),
                watcher: self.graceful.watcher(),
                place,
                peer,
                header_timeout: self.header_timeout,
            };
            let (ended, runtime) = (self.ended.clone(), self.runtime.clone());
            match stream {
                Stream::Tcp(stream) => tokio::spawn(accepted.dispatch(stream, ended, runtime)),
                Stream::Unix(stream) => tokio::spawn(accepted.dispatch(stream, ended, runtime)),
            };
        }
        listener.remove_socket();
    }
}

impl Accepted {
    /// Waits for the first bytes, and serves the connection where they say.
    async fn dispatch<S: Connection>(self, stream: S, mut ended: watch::Receiver<bool>, runtime: Handle) {
        let is_for_health = tokio::select! {
            first = tokio::time::timeout(self.header_timeout, stream.asks_for_health()) => first,
            () = self.place.closed() => return,
            // A request that has arrived by now is still served.
            _ = ended.changed() => Ok(stream.has_asked_for_health()),
        };
        match is_for_health {
            Ok(Ok(true)) => scrubbed(self.serve(stream, false)).await,
            Ok(Ok(false)) => {
                let Ok(plain) = stream.into_plain() else { return };
                runtime.spawn(scrubbed(async move {
                    match S::of_plain(plain) {
                        Ok(stream) => {
                            // Until this runtime knows, too, that bytes have arrived.
                            let _known = stream.asks_for_health().await;
                            self.serve(stream, true).await;
                        }
                        Err(error) => tracing::warn!(%error, "a connection was not served"),
                    }
                }));
            }
            // It broke, or sent nothing in time.
            Ok(Err(_)) | Err(_) => {}
        }
    }

    async fn serve<S: Connection>(self, stream: S, keep_alive: bool) {
        let Self { router, watcher, place, peer, header_timeout } = self;
        let peer = Arc::new(peer);
        let mut io = TimeoutStream::new(Counted { stream, place: Arc::clone(&place) });
        // A client that does not read its responses must not keep a connection forever.
        io.set_write_timeout(Some(header_timeout));
        let io = TokioIo::new(Box::pin(io));
        let requests = Arc::clone(&place);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&peer));
            let begun = requests.begin();
            let router = router.current();
            async move {
                let Some(busy) = begun else { return Err(GaveWay) };
                let Ok(response) = router.oneshot(request.map(Body::new)).await;
                Ok(response.map(|body| BusyBody { body, _busy: busy }))
            }
        });
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(HEAD)
            .keep_alive(keep_alive)
            // A request that has arrived is carried out, even if its client has gone.
            .half_close(true)
            .serve_connection(io, service);
        // It reads what has arrived before a stop of the server can end it: a connection that has read nothing ends at
        // once.
        if (&mut connection).now_or_never().is_some() {
            return;
        }
        tokio::select! {
            ended = watcher.watch(connection) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            () = place.closed() => {}
        }
    }
}

/// A request arrived while its connection was closed for another one. It was not handled.
#[derive(Debug, thiserror::Error)]
#[error("the connection gave way to another")]
struct GaveWay;

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(open: &Open, settings: &Listener) -> std::io::Result<(Stream, Peer)> {
    let host = settings.host.clone();
    match open {
        Open::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A listener on [::] sees IPv4 peers as IPv4-mapped addresses; policies name IPv4 networks.
            let address = peer.ip().to_canonical();
            Ok((Stream::Tcp(stream), Peer { source: address.to_string(), address: Some(address), host }))
        }
        Open::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let user = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
            let source = format!("{} uid {user}", settings.address);
            Ok((Stream::Unix(stream), Peer { source, address: None, host }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::sync::mpsc::channel;

    use super::*;

    /// Sends a request and reads the answer.
    fn ask(address: &str, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        // Without an answer, the test fails instead of waiting for ever.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // In one write: what asks for health must arrive at once.
        let request = format!("GET {path} HTTP/1.1\r\nhost: petsem\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A listener on this runtime, its address, and what ends it.
    fn listen(front: &Handle, runtime: Handle) -> (String, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let settings = Listener { address: ListenAddress::Tcp(([127, 0, 0, 1], 0).into()), host: None };
        let bound = bind(&settings).unwrap();
        let address = bound.name();
        let (end, ended) = watch::channel(false);
        let acceptor = Acceptor {
            router: RouterSwitch::new(crate::node::sealed::router(&crate::node::sealed::Why::Operator)),
            graceful: Arc::default(),
            pool: Pool::new(8, LARGE_HEADS),
            header_timeout: Duration::from_secs(600),
            ended,
            runtime,
        };
        let _entered = front.enter();
        (address, end, front.spawn(acceptor.run(bound.open().unwrap(), bound)))
    }

    /// Keeps all threads of a runtime busy until what it returns is dropped.
    fn busy(runtime: &Handle) -> Vec<std::sync::mpsc::Sender<()>> {
        let occupy = |_| {
            let (busy, is_busy) = channel();
            let (free, is_free) = channel::<()>();
            runtime.spawn(async move {
                busy.send(()).unwrap();
                let _freed = is_free.recv();
            });
            is_busy.recv().unwrap();
            free
        };
        (0..runtime.metrics().num_workers()).map(occupy).collect()
    }

    fn one_thread() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn health_answers_while_every_thread_of_the_main_runtime_is_busy() {
        let main = one_thread();
        let fronts = Fronts::start(&[false]).unwrap();
        let (address, end, accepting) = listen(fronts.runtime_of(false), main.handle().clone());
        let free = busy(main.handle());
        assert!(ask(&address, "/healthz").starts_with("HTTP/1.1 200 OK"));
        assert!(ask(&address, "/readyz").contains("\"status\":\"sealed\""));
        drop(free);
        // Any other request is one for the main runtime.
        assert!(ask(&address, "/metrics").contains("petsem_sealed 1"));
        assert!(ask(&address, "/v1/apps").contains("\"status\":\"sealed\""));
        end.send_replace(true);
        main.block_on(accepting).unwrap();
    }

    #[test]
    fn a_host_is_answered_while_every_thread_of_other_listeners_is_busy() {
        let main = one_thread();
        let _entered = main.enter();
        let low_priority = LowPriority::start(&[true, false]).unwrap();
        let fronts = Fronts::start(&[true, false]).unwrap();
        let [(of_host, end, accepting), (other, end_other, accepting_other)] = [true, false]
            .map(|is_of_host| listen(fronts.runtime_of(is_of_host), low_priority.runtime_of(is_of_host)));
        let free = busy(&low_priority.runtime_of(false));
        assert!(ask(&of_host, "/v1/apps").contains("\"status\":\"sealed\""));
        drop(free);
        let kept = busy(main.handle());
        assert!(ask(&other, "/v1/apps").contains("\"status\":\"sealed\""));
        drop(kept);
        end.send_replace(true);
        end_other.send_replace(true);
        main.block_on(accepting).unwrap();
        main.block_on(accepting_other).unwrap();
    }
}
