//! The attacker: connections that each send some bytes, of a request or of a part of one, and then wait.
//!
//! It has a thread of its own, and never waits for an answer before it opens the next connection: an attacker has as
//! many connections as it wants.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::boots::runtime;
use crate::data::clock;
use crate::failure::Failure;

/// Connections of one kind.
#[derive(Clone)]
pub(super) struct Flood {
    pub(super) name: &'static str,
    pub(super) door: Door,
    /// What they send, in turn.
    pub(super) messages: Arc<Vec<Vec<u8>>>,
    /// How many begin at once, at the start.
    pub(super) first: usize,
    /// How many begin at once after it, and how many in a second on average.
    pub(super) at_once: usize,
    pub(super) per_second: f64,
    /// How long one stays open if petsem does not close it.
    pub(super) holds: Duration,
}

/// The listener that they connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The TCP listener, which names no host.
    Tcp,
    /// The Unix socket of another host.
    OtherHost,
}

/// Where the listeners are.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) tcp: SocketAddr,
    /// Without it, everything goes to the TCP listener.
    pub(super) other_host: Option<PathBuf>,
}

/// How many connections had which end, by the name of their flood.
pub(super) type Seen = BTreeMap<(&'static str, String), u64>;

/// Sends all floods at once for a while, in this thread; connections that are open then are closed.
pub(super) fn send(floods: &[Flood], doors: &Doors, length: Duration) -> Result<Seen, Failure> {
    let end = clock() + length;
    let seen = Arc::new(Mutex::new(Seen::new()));
    let runtime = runtime()?;
    runtime.block_on(async {
        for flood in floods {
            tokio::spawn(flood.clone().run(doors.clone(), end, Arc::clone(&seen)));
        }
        tokio::time::sleep_until(end.into()).await;
    });
    drop(runtime);
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(seen)
}

impl Flood {
    async fn run(self, doors: Doors, end: Instant, seen: Arc<Mutex<Seen>>) {
        let begun = clock();
        let mut count = 0;
        let mut volley = |size: usize| {
            for _ in 0..size {
                let (flood, doors, seen) = (self.clone(), doors.clone(), Arc::clone(&seen));
                let number = count;
                count += 1;
                tokio::spawn(async move {
                    let outcome = flood.one(number, &doors).await;
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    *seen.entry((flood.name, outcome)).or_default() += 1;
                });
            }
        };
        volley(self.first);
        let mut due = begun;
        loop {
            due += Duration::from_secs_f64(self.at_once as f64 / self.per_second);
            if due >= end {
                return;
            }
            tokio::time::sleep_until(due.into()).await;
            volley(self.at_once);
        }
    }

    /// One connection; returns how it ended.
    async fn one(&self, number: usize, doors: &Doors) -> String {
        let message = self.messages.get(number % self.messages.len().max(1)).map_or(&[][..], Vec::as_slice);
        let held = async {
            match (self.door, &doors.other_host) {
                (Door::OtherHost, Some(path)) => match UnixStream::connect(path).await {
                    Ok(stream) => converse(stream, message).await,
                    Err(error) => format!("no connection: {}", error.kind()),
                },
                _ => match TcpStream::connect(doors.tcp).await {
                    Ok(stream) => converse(stream, message).await,
                    Err(error) => format!("no connection: {}", error.kind()),
                },
            }
        };
        let held = tokio::time::timeout(self.holds, held).await;
        held.unwrap_or_else(|_| format!("no answer within {} s", self.holds.as_secs()))
    }
}

/// Sends the message while it reads the answer, which may come before all is sent.
async fn converse(stream: impl AsyncRead + AsyncWrite, message: &[u8]) -> String {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut received = Vec::with_capacity(1024);
    let mut part = [0; 1024];
    let write = async {
        // It fails once petsem has closed the connection, which reading shows too.
        let _sent = to.write_all(message).await;
        std::future::pending::<()>().await;
    };
    let read = async {
        loop {
            match from.read(&mut part).await {
                Ok(0) | Err(_) => break,
                // The first bytes say all; the rest only must not fill the socket.
                Ok(length) if received.len() < 1024 => {
                    received.extend_from_slice(part.get(..length).unwrap_or_default());
                }
                Ok(_) => {}
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    let text = String::from_utf8_lossy(&received);
    let Some(status) = text.split(' ').nth(1).filter(|_| text.starts_with("HTTP/1.1 ")) else {
        return "closed without an answer".to_owned();
    };
    let code = text.split("\"status\":\"").nth(1).and_then(|rest| rest.split('"').next());
    code.map_or_else(|| status.to_owned(), |code| format!("{status} {code}"))
}
