//! A proxy that carries a Machine channel and flips one bit of the bundle.
//!
//! A test that cannot fail proves nothing; with this control the proof must not match.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;

/// The longest frame that it carries, in bytes.
const LONGEST_FRAME: u32 = 2 * 1024 * 1024;

/// One connection from a VM to a channel, with a flipped bit towards the VM.
#[derive(Debug)]
pub struct FlippingProxy(JoinHandle<io::Result<()>>);

impl FlippingProxy {
    /// Listens at `path` for the VM and connects it to `channel`. It flips the last bit of the host's first
    /// frame: in a bundle this is a bit of the last value.
    pub fn start(path: &Path, channel: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let channel = channel.to_owned();
        Ok(Self(std::thread::spawn(move || {
            let (machine, _) = listener.accept()?;
            carry(machine, UnixStream::connect(channel)?)
        })))
    }

    /// Waits for the end of the connection.
    pub fn join(self) -> io::Result<()> {
        self.0.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    }
}

fn carry(mut machine: UnixStream, mut host: UnixStream) -> io::Result<()> {
    let (mut from_machine, mut to_host) = (machine.try_clone()?, host.try_clone()?);
    let upward = std::thread::spawn(move || io::copy(&mut from_machine, &mut to_host));
    let mut length = [0; 4];
    host.read_exact(&mut length)?;
    let mut frame = Vec::new();
    Read::by_ref(&mut host)
        .take(u32::from_be_bytes(length).min(LONGEST_FRAME).into())
        .read_to_end(&mut frame)?;
    if let Some(last) = frame.last_mut() {
        *last ^= 1;
    }
    machine.write_all(&length)?;
    machine.write_all(&frame)?;
    io::copy(&mut host, &mut machine)?;
    machine.shutdown(Shutdown::Both)?;
    // The Machine may have closed first; either way this direction has ended.
    let _ = upward.join();
    Ok(())
}
