//! `operator.sock`: what unseals a server is not sent elsewhere, comes from no other user, and is tried once at a time.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use petsem_integration::dev::audit_log;
use petsem_integration::seals::{assert_open, configuration, operator, refused};

use super::seals::{BY_SHARES, by_passphrase, by_shares, passphrase_turn};

#[test]
fn of_several_right_attempts_at_once_one_unseals() {
    let _turn = passphrase_turn();
    let (installation, passphrase) = by_passphrase();
    let server = installation.start().unwrap();
    let attempt = || operator(&installation, &["unseal"], &[("--passphrase-file", &passphrase)]).printed;
    let said: Vec<String> = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..3).map(|_| scope.spawn(attempt)).collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect()
    });
    let count = |text: &str| said.iter().filter(|said| said.contains(text)).count();
    assert_eq!((count("unsealed by passphrase"), count("is already unsealed")), (1, 2), "{said:?}");
    assert_open(&installation, &server);
    let log = audit_log(&installation.path("data/audit"));
    assert_eq!(log.matches("\"action\":\"operator.unseal\"").count(), 1, "{log}");
}

#[test]
fn a_process_on_the_servers_port_gets_no_share() {
    let (installation, shares) = by_shares();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    port.set_nonblocking(true).unwrap();
    let address = port.local_addr().unwrap().to_string();
    installation.configure(&configuration(BY_SHARES).replace("127.0.0.1:0", &address));
    let files = [("--share-file", shares[0].as_path()), ("--share-file", shares[1].as_path())];
    refused(&operator(&installation, &["unseal"], &files), &["no server runs on this node"]);
    let connected = port.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(connected, Err(ErrorKind::WouldBlock), "nothing was sent");
    // Control: a command that uses the port connects to it.
    let client = std::net::TcpStream::connect(&address).unwrap();
    assert_eq!(port.accept().unwrap().1, client.local_addr().unwrap());
}

/// A user of no one.
const STRANGER: u32 = 12_345;

/// A program as [`STRANGER`]; needs root.
fn as_stranger(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &STRANGER.to_string(), "--clear-groups"]).arg(program);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// Connects to the socket, and prints what comes back.
const CLIENT: &str = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print('connected')
try:
    s.sendall(b'{\"ask\":\"status\"}')
    s.shutdown(socket.SHUT_WR)
    print(s.makefile().read())
except OSError:
    print('no answer')";
/// Listens in the place of the server, and prints what is sent to it.
const IMPOSTOR: &str = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print('listening', flush=True)
c, _ = s.accept()
print('got', len(c.makefile().read()), flush=True)";

/// Needs root: it runs programs of another user. The directories are opened to it, so that only the checks of the two
/// ends are left.
#[test]
fn neither_end_of_the_operators_socket_talks_to_another_user() {
    let (installation, shares) = by_shares();
    let socket = installation.path("data/operator.sock");
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let server = installation.start().unwrap();
    mode(installation.directory.path(), 0o755);
    mode(&installation.path("data"), 0o755);
    mode(&socket, 0o666);
    let client = |mut command: Command| {
        let output = command.args(["-c", CLIENT]).arg(&socket).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // Control: root gets the status.
    let own = client(Command::new("python3"));
    assert!(own.contains("\"answer\":\"status\""), "{own}");
    let strangers = client(as_stranger(Path::new("python3")));
    // The server may have closed the connection before the request was written.
    assert!(["connected\n\n", "connected\nno answer\n"].contains(&strangers.as_str()), "{strangers}");
    let line = server.printed_line("a connection of another user to the operator's socket was refused");
    assert!(line.contains(&STRANGER.to_string()), "{}", server.printed());
    server.stop();

    mode(&installation.path("data"), 0o777);
    let mut impostor = as_stranger(Path::new("python3"));
    impostor.args(["-c", IMPOSTOR]).arg(&socket).stdout(Stdio::piped());
    let mut impostor = impostor.spawn().unwrap();
    let mut said = BufReader::new(impostor.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "listening");
    let files = [("--share-file", shares[0].as_path()), ("--share-file", shares[1].as_path())];
    refused(&operator(&installation, &["unseal"], &files), &[&STRANGER.to_string()]);
    assert_eq!(said.next().unwrap().unwrap(), "got 0");
    assert!(impostor.wait().unwrap().success());
}
