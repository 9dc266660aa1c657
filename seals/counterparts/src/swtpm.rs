//! swtpm: a TPM as a process.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::ports::two_ports;

/// swtpm ends when standard input closes, and so with this process in any case.
const SERVE: &str = r#"swtpm "$@" & read -r _; kill $!; wait $!"#;

/// A software TPM with its own state.
#[derive(Debug)]
pub struct Swtpm {
    process: Option<(Child, ChildStdin)>,
    port: u16,
    state: TempDir,
}

impl Swtpm {
    /// Starts it like a machine whose firmware starts the TPM.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        Self::start_with("not-need-init,startup-clear")
    }

    /// Starts it like a machine whose firmware does not start the TPM.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_without_startup() -> Self {
        Self::start_with("not-need-init")
    }

    fn start_with(flags: &str) -> Self {
        let state = tempfile::tempdir().expect("there is room for a directory");
        for _ in 0..20 {
            let (port, free) = two_ports();
            drop(free);
            if let Some(process) = serve(port, state.path(), flags) {
                return Self { process: Some(process), port, state };
            }
        }
        panic!("swtpm did not start at any of twenty ports; `apt-get install swtpm`, or run ./test");
    }

    /// Its port; its control port is the next one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it; its state is kept.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn stop(&mut self) {
        if let Some((mut process, stdin)) = self.process.take() {
            drop(stdin);
            process.wait().expect("a child can be waited for");
        }
    }

    /// Starts it again, like a restart of the machine.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.stop();
        let process = serve(self.port, self.state.path(), "not-need-init,startup-clear");
        self.process = Some(process.expect("its port is still free"));
    }

    /// Runs one of tpm2-tools.
    ///
    /// # Panics
    /// If it fails.
    pub fn tool(&self, tool: &str, arguments: &[&str]) {
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
        .expect("there is a shell");
    let stdin = process.stdin.take().expect("its standard input is piped");
    // swtpm accepts a connection to the control port only after the previous one ended.
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

#[expect(clippy::disallowed_methods, reason = "a process of others is waited for")]
fn pause() {
    thread::sleep(Duration::from_millis(50));
}
