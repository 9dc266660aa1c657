//! Clients that send a byte of a request now and then: they hold connections, and must cost the others little.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use petsem_integration::pause;

use crate::failure::Failure;

/// How often each of them sends a byte.
const PAUSE: Duration = Duration::from_secs(1);
const HEAD: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: petsem\r\nx-slow: ";

/// Slow clients of one server, until they are dropped.
pub(crate) struct SlowClients {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlowClients {
    /// Opens so many connections.
    pub(crate) fn of(address: SocketAddr, count: u32) -> Result<Self, Failure> {
        let begin = || open(address).map_err(|error| Failure::system("a slow client", &error));
        let mut clients = (0..count).map(|_| begin()).collect::<Result<Vec<_>, _>>()?;
        let ended = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::clone(&ended);
        let send = move || {
            while !has_ended.load(Ordering::Relaxed) {
                for client in &mut clients {
                    // The server closes the connections of such clients; it gets new ones.
                    if client.write_all(b"x").is_err()
                        && let Ok(again) = open(address)
                    {
                        *client = again;
                    }
                }
                pause(PAUSE);
            }
        };
        Ok(Self { ended, thread: Some(std::thread::spawn(send)) })
    }
}

impl Drop for SlowClients {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked, or it has nothing to return.
            let _ = thread.join();
        }
    }
}

fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(HEAD)?;
    Ok(stream)
}
