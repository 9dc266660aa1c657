//! The real `petsem` binary as a child process: started, called, killed.
//!
//! Cargo builds it once for each run of the tests, so that no test uses a stale one. Every wait has a
//! deadline, and all output of a server is kept, for messages of failures and for searches.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::http::{Request, exchange};
use rustix::process::{Pid, Signal, kill_process};

/// The longest start, on a machine that also builds and tests.
const READY: Duration = Duration::from_secs(60);
/// The longest command, on a machine that also builds and tests: deriving a key from a passphrase is slow by
/// design. Design §8 promises ten seconds after SIGTERM.
const ENDED: Duration = Duration::from_secs(120);

/// The arguments of the build: those for the tests of the whole workspace, or for those of `devices`.
#[cfg(not(feature = "device-seals"))]
const BUILT: &[&str] = &["--workspace"];
#[cfg(feature = "device-seals")]
const BUILT: &[&str] = &["-p", "petsem", "-p", "petsem-seals", "-p", "petsem-integration", "--all-features"];

/// A running server, killed on drop.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// The first TCP listener.
    address: SocketAddr,
}

/// A program that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of its standard output and standard error.
    pub printed: String,
}

/// A child whose output is read continuously.
#[derive(Debug)]
struct Process {
    child: Child,
    printed: Arc<Mutex<Vec<u8>>>,
    /// Signals new output; disconnected when both outputs are closed.
    news: Mutex<Receiver<()>>,
}

/// The built binary.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let own = std::env::current_exe().expect("a program has a path");
        let directory = own.parent().expect("a program is in a directory");
        // …/target/debug/deps/it-1234 or …/target/debug/bench → …/target/debug
        let is_test = directory.ends_with("deps");
        let directory = if is_test { directory.parent().expect("it is in target/debug") } else { directory };
        let mut build = Command::new(env!("CARGO"));
        if is_test || cfg!(debug_assertions) {
            // The same build as by ./test, so that cargo finds it up to date.
            build.args(["test", "--quiet", "--no-run", "--test", "transcripts"]).args(BUILT);
        } else {
            // petsem alone, as it is released.
            build.args(["build", "--quiet", "--locked", "-p", "petsem", "--target-dir"]);
            build.arg(directory.parent().expect("it is in target/release"));
        }
        // A build without debug assertions is a benchmark, in the release directory.
        build.args((!cfg!(debug_assertions)).then_some("--release"));
        let built = build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output();
        let built = built.expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        directory.join("petsem")
    })
}

/// `petsem` with these arguments and an empty environment.
pub fn petsem<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be run, or does not end in time.
pub fn run(command: Command) -> Ended {
    Process::start(command).ended()
}

impl Server {
    /// Starts a server and waits until it listens.
    ///
    /// # Errors
    /// [`Ended`], with its output, if it ended instead.
    ///
    /// # Panics
    /// If it does neither in time.
    pub fn start(command: Command) -> Result<Self, Ended> {
        // `petsem dev` prints its greeting after it listens, when the files for other commands exist.
        let greets = command.get_args().next().is_some_and(|first| first == "dev");
        let process = Process::start(command);
        loop {
            if let Some(address) = listening(&process.printed(), greets) {
                return Ok(Self { process, address });
            }
            match process.news(READY) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(process.ended()),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the server is not ready after {READY:?}: {}", process.printed())
                }
            }
        }
    }

    /// The first TCP listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Its output until now.
    pub fn printed(&self) -> String {
        self.process.printed()
    }

    /// The first line of its output with this text. Waits a while, because an answer may arrive before the
    /// output is read here. Empty if there is none.
    pub fn printed_line(&self, text: &str) -> String {
        for _ in 0..100 {
            let printed = self.printed();
            if let Some(line) = printed.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            // Returns early on the next line.
            let _printed_or_waited = self.process.news(Duration::from_millis(50));
        }
        String::new()
    }

    /// Waits until the audit lines of all changes that were answered are in the log: the answer to a change does not
    /// wait for it, because the change's own transaction holds its line. Returns at once if no server answers.
    ///
    /// # Panics
    /// If the log does not take them.
    pub fn wait_for_audit_lines(&self) {
        let page = Request::new("GET", "/metrics").to_bytes();
        for _ in 0..10_000 {
            let Ok(received) = exchange(self.address, &page) else { return };
            let page = String::from_utf8_lossy(&received);
            let pending =
                page.lines().find_map(|line| line.strip_prefix("petsem_audit_pending_lines ")).unwrap_or("0");
            if pending == "0" {
                return;
            }
        }
        panic!("the audit log does not take the lines of changes: {}", self.printed());
    }

    /// Sends SIGTERM; [`Self::ended`] waits for the end.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits for the end.
    pub fn ended(self) -> Ended {
        self.process.ended()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(self) -> Ended {
        self.terminate();
        self.ended()
    }

    /// Sends SIGKILL: the process ends between two instructions.
    pub fn kill(self) -> Ended {
        self.process.signal(Signal::KILL);
        self.ended()
    }
}

/// The address on which a server listens, from the greeting of `petsem dev` or the log line of `petsem
/// server`.
fn listening(printed: &str, greets: bool) -> Option<SocketAddr> {
    let text = if greets {
        printed.split("petsem dev serves http://").nth(1)?
    } else {
        printed.split("\"listener\":\"").find(|rest| rest.starts_with("127.0.0.1:"))?
    };
    let end = text.find(|character: char| !character.is_ascii_digit() && !".:".contains(character))?;
    text.get(..end)?.trim_end_matches('.').parse().ok()
}

impl Process {
    fn start(mut command: Command) -> Self {
        // Its own process group: a signal to the tests does not reach it as well.
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("petsem runs");
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (sender, news) = mpsc::channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|output| Box::new(output) as _),
            child.stderr.take().map(|output| Box::new(output) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let (printed, sender) = (Arc::clone(&printed), sender.clone());
            std::thread::spawn(move || collect(output, &printed, &sender));
        }
        Self { child, printed, news: Mutex::new(news) }
    }

    fn printed(&self) -> String {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&printed).into_owned()
    }

    fn news(&self, deadline: Duration) -> Result<(), RecvTimeoutError> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(deadline)
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has an id");
        kill_process(id, signal).expect("the server runs until it is terminated");
    }

    fn ended(mut self) -> Ended {
        // Both outputs close when the process ends, because it starts no other.
        loop {
            match self.news(ENDED) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the process does not end within {ENDED:?}: {}", self.printed())
                }
            }
        }
        let status = self.child.wait().expect("a child can be waited for");
        Ended { status, printed: self.printed() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already or ends now; an error cannot be reported.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// Line by line: otherwise the two outputs would be mixed within lines.
fn collect(output: Box<dyn Read + Send>, printed: &Mutex<Vec<u8>>, sender: &Sender<()>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        printed.lock().unwrap_or_else(PoisonError::into_inner).append(&mut line);
        // There is no receiver once the server is ready.
        let _ = sender.send(());
    }
}
