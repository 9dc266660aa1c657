//! The thread that accepts connections, and answers what the process says about itself.
//!
//! Requests work on the threads of other runtimes, which may all be busy. So connections are accepted here. One whose
//! first bytes ask for health is served here, for that one request; each other one goes to the runtime of its listener
//! with its first byte, and stays there.
//!
//! Strangers who connect by the thousand keep this thread busy. So listeners without a host have one of their own,
//! which the kernel interrupts for a boot.

use std::io;
use std::thread::JoinHandle;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::listener::low_priority::{NICENESS, be_nice, is_mixed, niceness_above};

/// How a request begins that this thread answers.
const HEALTH: [&[u8]; 2] = [b"GET /healthz ", b"GET /readyz "];
/// The longest of them.
const LONGEST: usize = 13;

/// The threads that accept the connections of all listeners.
pub(crate) struct Fronts {
    front: Front,
    /// Of listeners without a host, if others have one.
    of_strangers: Option<Front>,
}

impl Fronts {
    /// Starts them.
    pub(crate) fn start(are_of_hosts: &[bool]) -> io::Result<Self> {
        let of_strangers = is_mixed(are_of_hosts).then(|| Front::start(NICENESS)).transpose()?;
        Ok(Self { front: Front::start(0)?, of_strangers })
    }

    /// The runtime that accepts a listener's connections.
    pub(crate) fn runtime_of(&self, is_of_host: bool) -> &Handle {
        let front = self.of_strangers.as_ref().filter(|_| !is_of_host);
        &front.unwrap_or(&self.front).handle
    }
}

/// The thread, until it is dropped.
struct Front {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Starts the thread, so much nicer than the process.
    fn start(niceness: i32) -> io::Result<Self> {
        let niceness = niceness_above(niceness)?;
        let (end, ended) = oneshot::channel();
        let (started, starts) = std::sync::mpsc::channel();
        // The runtime is the thread's: one that is dropped within another runtime panics.
        let run = move || {
            be_nice(niceness);
            let runtime = Builder::new_current_thread().enable_all().build();
            let handle = runtime.as_ref().map(|runtime| runtime.handle().clone());
            let _waits = started.send(handle.map_err(|error| io::Error::from(error.kind())));
            if let Ok(runtime) = runtime {
                // The sender is dropped.
                let _ended = runtime.block_on(ended);
            }
        };
        let thread = std::thread::Builder::new().name("front".to_owned()).spawn(run)?;
        let handle = starts.recv().map_err(io::Error::other)??;
        Ok(Self { handle, end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing left to do.
            let _ended = thread.join();
        }
    }
}

/// A connection that can go from one runtime to another.
pub(crate) trait Connection:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + Sized + 'static
{
    /// The same without a runtime.
    type Plain: Send + 'static;

    /// Whether its first bytes ask for health. An error if none have arrived.
    fn has_asked_for_health(&self) -> io::Result<bool>;

    /// The same, once some have arrived.
    fn asks_for_health(&self) -> impl Future<Output = io::Result<bool>> + Send;

    /// Takes it from its runtime.
    fn into_plain(self) -> io::Result<Self::Plain>;

    /// Gives it to the current runtime.
    fn of_plain(plain: Self::Plain) -> io::Result<Self>;
}

macro_rules! connection {
    ($stream:ty, $plain:ty) => {
        impl Connection for $stream {
            type Plain = $plain;

            fn has_asked_for_health(&self) -> io::Result<bool> {
                let mut first = [0; LONGEST];
                let (_, length) = recv(self, &mut first, RecvFlags::PEEK)?;
                Ok(first.get(..length).is_some_and(is_for_health))
            }

            async fn asks_for_health(&self) -> io::Result<bool> {
                self.async_io(Interest::READABLE, || self.has_asked_for_health()).await
            }

            fn into_plain(self) -> io::Result<$plain> {
                self.into_std()
            }

            fn of_plain(plain: $plain) -> io::Result<Self> {
                Self::from_std(plain)
            }
        }
    };
}

connection!(TcpStream, std::net::TcpStream);
connection!(UnixStream, std::os::unix::net::UnixStream);

fn is_for_health(first: &[u8]) -> bool {
    HEALTH.iter().any(|request| first.starts_with(request))
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn connections_of_strangers_are_accepted_by_a_thread_that_yields_to_boots() {
        let fronts = Fronts::start(&[true, false]).unwrap();
        let niceness = async |is_of_host: bool| {
            fronts.runtime_of(is_of_host).spawn(async { getpriority_process(None).unwrap() }).await.unwrap()
        };
        let own = getpriority_process(None).unwrap();
        let expected = (own + NICENESS).min(19);
        assert_eq!([niceness(true).await, niceness(false).await], [own, expected]);
    }

    #[tokio::test]
    async fn listeners_of_one_kind_have_one_thread_that_accepts() {
        for is_of_host in [true, false] {
            let fronts = Fronts::start(&[is_of_host; 2]).unwrap();
            assert_eq!(fronts.runtime_of(true).id(), fronts.runtime_of(false).id());
        }
    }

    #[test]
    fn only_whole_request_lines_of_health_are_for_this_thread() {
        for request in ["GET /healthz HTTP/1.1", "GET /readyz HTTP/1.1"] {
            assert!(is_for_health(&request.as_bytes()[..LONGEST]), "{request}");
        }
        for request in
            ["", "GET /healthz", "GET /healthz2 HTTP/1.1", "POST /healthz ", "GET /v1/apps HTTP/1.1"]
        {
            assert!(!is_for_health(&request.as_bytes()[..LONGEST.min(request.len())]), "{request}");
        }
    }
}
