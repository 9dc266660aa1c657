//! Listeners, connections, and the end of both.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use petsem_engine::{scrubbed, scrubbed_deep};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::listener::router_switch::RouterSwitch;
use crate::listener::serve_error::ServeError;
use crate::node::lifecycle::{Lifecycle, NodeState, Signals, begin, requests_ended};
use crate::node::start::stop;
use crate::operator::socket::OperatorSocket;
use crate::settings::{ListenAddress, Listener, Settings};
use petsem_engine::Peer;

/// Connections that the kernel keeps until they are accepted: a thousand Machines may boot at once.
const BACKLOG: i32 = 4096;
/// How long requests may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(8);
/// Requests of operators on the node that wait for the one that is worked on.
const ASKED: usize = 8;
/// Bytes of a request's head.
const HEAD: usize = 128 * 1024;

/// What a server listens on, once it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The listeners in the order of the configuration, with the ports that they got.
    pub listeners: Vec<String>,
}

/// Serves an installation until SIGTERM or SIGINT; sealed, until somebody unseals it, where no seal opens.
///
/// # Errors
/// [`ServeError`]; nothing was served then, except for `Stop`.
pub async fn serve(settings: Settings, on_ready: impl FnOnce(&Bound)) -> Result<(), ServeError> {
    let listeners = settings.listeners.clone();
    // The ports first: a second server on them must not touch the store.
    let bound = listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    match scrubbed_deep(begin(settings)).await {
        Ok(phase) => serve_on(phase, bound, on_ready).await,
        Err(error) => {
            bound.iter().for_each(BoundListener::remove_socket);
            Err(ServeError::Start(error))
        }
    }
}

/// Serves what is open, or says that it is sealed.
pub(crate) async fn serve_on(
    phase: NodeState,
    bound: Vec<BoundListener>,
    on_ready: impl FnOnce(&Bound),
) -> Result<(), ServeError> {
    // Before anybody can know that it runs: a signal must never meet the default, which cuts everything off.
    let signals = Signals::new().map_err(|error| ServeError::Stop(error.to_string()))?;
    let settings = phase.settings().clone();
    let (ending, ended) = watch::channel(false);
    let graceful = Arc::new(GracefulShutdown::new());
    let connections = Arc::new(Semaphore::new(settings.limits.connections));
    let front = RouterSwitch::new(phase.router());
    let names = Bound { listeners: bound.iter().map(BoundListener::name).collect() };
    let (asking, asked) = mpsc::channel(ASKED);
    let socket = OperatorSocket::bind(&settings.data_directory).map_err(|source| {
        bound.iter().for_each(BoundListener::remove_socket);
        ServeError::Listen { address: "operator.sock in the data directory".to_owned(), source }
    })?;
    let mut accepting = tokio::task::JoinSet::new();
    accepting.spawn(socket.run(asking, ended.clone()));
    for listener in bound {
        let acceptor = Acceptor {
            front: front.clone(),
            graceful: Arc::clone(&graceful),
            connections: Arc::clone(&connections),
            header_timeout: Duration::from_secs(settings.limits.seconds),
            ended: ended.clone(),
        };
        accepting.spawn(acceptor.run(listener));
    }
    for name in &names.listeners {
        tracing::info!(listener = name, "listening");
    }
    on_ready(&names);
    let last = Lifecycle { signals, asked, front }.run(phase).await;
    tracing::info!("stopping: no new requests; finishing those under way");
    ending.send_replace(true);
    while accepting.join_next().await.is_some() {}
    if let Ok(graceful) = Arc::try_unwrap(graceful).map_err(|_| ())
        && tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err()
    {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
    let stopped = match last? {
        Some(NodeState::Open(started)) => {
            // What a principal left behind when he hung up is finished too.
            if !requests_ended(&started.state, Duration::from_secs(1)).await {
                tracing::warn!("some requests were still under way and were cut off");
            }
            started.state.engine.flush_pending_audit().await;
            stop(*started).await
        }
        Some(NodeState::Sealed(node)) => node.stop().await,
        None => Ok(()),
    };
    tracing::info!("stopped");
    stopped.map_err(ServeError::Stop)
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
    front: RouterSwitch,
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
                Ok((Stream::Tcp(stream, address), source)) => {
                    let peer = Peer { source, address: Some(address), host: host.clone() };
                    self.serve(stream, peer, place);
                }
                Ok((Stream::Unix(stream), source)) => {
                    self.serve(stream, Peer { source, address: None, host: host.clone() }, place);
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
        let front = self.front.clone();
        let mut io = TimeoutStream::new(io);
        // Whoever does not read his answers does not keep a connection for ever.
        io.set_write_timeout(Some(self.header_timeout));
        let io = TokioIo::new(Box::pin(io));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            front.now().oneshot(request.map(Body::new))
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
    Tcp(tokio::net::TcpStream, IpAddr),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &BoundListener) -> std::io::Result<(Stream, String)> {
    match listener {
        BoundListener::Tcp { listener, .. } => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A listener on [::] has IPv4 peers in IPv6 clothes; networks are written without.
            let address = peer.ip().to_canonical();
            Ok((Stream::Tcp(stream, address), address.to_string()))
        }
        BoundListener::Unix { listener, settings } => {
            let (stream, _) = listener.accept().await?;
            let user = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
            Ok((Stream::Unix(stream), format!("{} uid {user}", settings.address)))
        }
    }
}
