//! swtpm, started and stopped by the tests.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::tpm2::Tpm2Device;

/// swtpm ends with the standard input, so that it goes with this process however that ends.
const SERVE: &str = r#"swtpm "$@" & read -r _; kill $!; wait $!"#;

/// A software TPM with a state of its own.
pub(super) struct Swtpm {
    process: Option<(Child, ChildStdin)>,
    pub(super) port: u16,
    state: TempDir,
}

impl Swtpm {
    pub(super) fn start() -> Self {
        Self::start_with("not-need-init,startup-clear")
    }

    /// As a machine whose firmware did not start its TPM.
    pub(super) fn start_without_startup() -> Self {
        Self::start_with("not-need-init")
    }

    fn start_with(flags: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            let (port, free) = two_ports();
            drop(free);
            if let Some(process) = serve(port, state.path(), flags) {
                return Self { process: Some(process), port, state };
            }
        }
        panic!("swtpm did not start at any of twenty ports; `apt-get install swtpm`, or run ./test");
    }

    pub(super) fn device(&self) -> Tpm2Device {
        Tpm2Device::Swtpm { port: self.port }
    }

    pub(super) fn stop(&mut self) {
        if let Some((mut process, stdin)) = self.process.take() {
            drop(stdin);
            process.wait().unwrap();
        }
    }

    /// As after a restart of the machine.
    pub(super) fn start_again(&mut self) {
        self.stop();
        let process = serve(self.port, self.state.path(), "not-need-init,startup-clear");
        self.process = Some(process.expect("its port was taken by another"));
    }

    /// Runs one of tpm2-tools.
    pub(super) fn tool(&self, tool: &str, arguments: &[&str]) {
        let output = Command::new(tool)
            .args(arguments)
            .env("TPM2TOOLS_TCTI", format!("swtpm:host=127.0.0.1,port={}", self.port))
            .current_dir(self.state.path())
            .output()
            .unwrap_or_else(|error| panic!("{tool}: {error}; `apt-get install tpm2-tools`, or run ./test"));
        assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(port: u16, state: &Path, flags: &str) -> Option<(Child, ChildStdin)> {
    let socket = |port| format!("type=tcp,port={port},bindaddr=127.0.0.1");
    let mut process = Command::new("sh")
        .args(["-c", SERVE, "sh", "socket", "--tpm2", "--flags", flags])
        .args(["--server", &socket(port), "--ctrl", &socket(port + 1)])
        .args(["--tpmstate", &format!("dir={}", state.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = process.stdin.take().unwrap();
    // A connection to the control port takes nobody's place: swtpm accepts the next when it ends.
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port + 1)).is_ok() {
            return Some((process, stdin));
        }
        pause();
    }
    drop(stdin);
    let _ = process.wait();
    None
}

/// Two ports in a row: libtss2 takes the second for granted.
fn two_ports() -> (u16, [TcpListener; 2]) {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if let Some(next) = port.checked_add(1)
            && let Ok(second) = TcpListener::bind(("127.0.0.1", next))
        {
            return (port, [first, second]);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a process of others is waited for")]
fn pause() {
    thread::sleep(Duration::from_millis(50));
}

/// Somebody on the bus between petsem and the chip, who hears everything.
pub(super) struct Bus {
    pub(super) port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Bus {
    pub(super) fn to(chip: &Swtpm) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (port, listeners) = two_ports();
        for (listener, target) in listeners.into_iter().zip([chip.port, chip.port + 1]) {
            let heard = Arc::clone(&heard);
            thread::spawn(move || {
                for incoming in listener.incoming() {
                    let incoming = incoming.unwrap();
                    let outgoing = TcpStream::connect(("127.0.0.1", target)).unwrap();
                    let (back, forth) = (outgoing.try_clone().unwrap(), incoming.try_clone().unwrap());
                    let heard_back = Arc::clone(&heard);
                    thread::spawn(move || pass_on(back, forth, &heard_back));
                    pass_on(incoming, outgoing, &heard);
                }
            });
        }
        Self { port, heard }
    }

    pub(super) fn device(&self) -> Tpm2Device {
        Tpm2Device::Swtpm { port: self.port }
    }

    pub(super) fn heard(&self, part: &[u8]) -> bool {
        self.heard.lock().unwrap().windows(part.len()).any(|window| window == part)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<u8>>) {
    let mut part = [0; 4096];
    while let Ok(read) = from.read(&mut part) {
        heard.lock().unwrap().extend_from_slice(&part[..read]);
        if read == 0 || to.write_all(&part[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
