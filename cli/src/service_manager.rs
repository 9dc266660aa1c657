//! Tells systemd that the server listens, as sd_notify(3) has it, so that units with `Type=notify` start in order.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable with the socket's address.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Says that the server listens. It does so sealed, too: people unseal it while it runs.
pub(crate) fn ready() {
    let Some(socket) = std::env::var_os(SOCKET).filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, b"READY=1") {
        // The server serves all the same; systemd ends it if it waits for this.
        tracing::warn!(%error, "systemd was not told that the server is ready");
    }
}

fn send(socket: &OsStr, state: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state, &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(receiver: &UnixDatagram) -> Vec<u8> {
        let mut buffer = [0; 64];
        let length = receiver.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn a_socket_with_a_path_and_one_without_get_the_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), b"READY=1").unwrap();
        assert_eq!(received(&receiver), b"READY=1");

        let name = format!("petsem-test-{}", std::process::id());
        let receiver = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), b"READY=1").unwrap();
        assert_eq!(received(&receiver), b"READY=1");
        assert_eq!(
            send(OsStr::new("/no/such/socket"), b"READY=1").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
