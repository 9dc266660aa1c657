//! Prompts on a real terminal: what a person types is the value, and what a person pastes or typed before is not. The
//! server only records what arrives.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]
#![expect(clippy::disallowed_methods, reason = "a command that hangs must fail the test")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

const PEM: &[u8] = b"-----BEGIN PRIVATE KEY-----\nMIIBfake1\nMIIBfake2\n-----END PRIVATE KEY-----\n";
const PROMPT: &str = "(not shown): ";
const DEADLINE: Duration = Duration::from_secs(60);

/// A terminal, and what runs on it.
struct Terminal {
    child: Child,
    /// Where a person types and reads.
    keyboard: File,
    /// The other side, whose modes are checked.
    line: File,
    shown: String,
    _directory: tempfile::TempDir,
    bodies: Receiver<String>,
}

impl Terminal {
    /// Runs a shell script, in which `$PETSEM` is the command. `ahead` is typed before it starts.
    fn run(script: &str, ahead: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cmd/files/example.token"), &token).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (endpoint, bodies) = recorder();

        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let line = File::from(ioctl_tiocgptpeer(&keyboard, flags).unwrap());
        let mut keyboard = File::from(keyboard);
        keyboard.write_all(ahead).unwrap();

        // A session of its own, whose terminal this is. A test that runs in the background inherits ignored signals.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", "env", "--default-signal", "sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PETSEM", env!("CARGO_BIN_EXE_petsem"))
            .env("PETSEM_ENDPOINT", endpoint)
            .env("PETSEM_TOKEN_FILE", &token)
            .env("PETSEM_APP", "shop")
            .current_dir(directory.path())
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line.try_clone().unwrap())
            .spawn()
            .unwrap();
        Self { child, keyboard, line, shown: String::new(), _directory: directory, bodies }
    }

    fn read_some(&mut self, wait: i64) -> bool {
        let pause = Timespec { tv_sec: 0, tv_nsec: wait * 1_000_000 };
        let mut waiting = [PollFd::new(&self.keyboard, PollFlags::IN)];
        if poll(&mut waiting, Some(&pause)).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        let count = self.keyboard.read(&mut buffer).unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        true
    }

    fn wait_for(&mut self, text: &str) -> &mut Self {
        let end = Instant::now() + DEADLINE;
        while !self.shown.contains(text) {
            assert!(Instant::now() < end, "no {text} in: {}", self.shown);
            self.read_some(50);
        }
        self
    }

    fn types(&mut self, keys: &[u8]) -> &mut Self {
        self.keyboard.write_all(keys).unwrap();
        self
    }

    /// How it ended, and what was shown.
    fn ended(mut self) -> Ended {
        let end = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.shown);
            self.read_some(50);
        };
        while self.read_some(0) {}
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        let usual = LocalModes::ISIG | LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
        assert_eq!(modes & usual, usual, "{}", self.shown);
        Ended { status, shown: self.shown, body: self.bodies.try_recv().ok() }
    }
}

struct Ended {
    status: ExitStatus,
    shown: String,
    /// Of the request that was sent.
    body: Option<String>,
}

/// A server that records the first body that it gets, and answers nothing.
fn recorder() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        let mut buffer = [0; 65536];
        loop {
            let text = String::from_utf8_lossy(&received).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
                });
                if body.len() >= length.unwrap_or(0) {
                    sender.send(body.to_owned()).unwrap();
                    return;
                }
            }
            let count = stream.read(&mut buffer).unwrap();
            received.extend_from_slice(&buffer[..count]);
        }
    });
    (endpoint, bodies)
}

/// Sets a value at the prompt, then shows what the shell behind it reads.
const SET: &str =
    r#""$PETSEM" secrets set NAME; echo "status=$?"; IFS= read -r rest; echo "the shell reads <$rest>""#;

fn set(keys: &[u8]) -> Ended {
    let mut terminal = Terminal::run(SET, b"");
    terminal.wait_for(PROMPT).types(keys).wait_for("status=").types(b"next\n");
    terminal.ended()
}

#[test]
fn a_paste_of_several_lines_reaches_neither_the_value_nor_the_shell() {
    let long = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n".repeat(200);
    let pastes: [&[u8]; 6] = [PEM, b"one\ntwo\n", b"one\n\n", b"one\ntwo", b"one\r\ntwo\r\n", &long];
    for paste in pastes {
        let Ended { shown, body, .. } = set(paste);
        assert_eq!(body, None, "{shown}");
        assert!(shown.contains("all of it was discarded, and nothing was changed"), "{shown}");
        assert!(shown.contains("--file FILE"), "{shown}");
        assert!(shown.contains("status=2\r\n"), "{shown}");
        assert!(shown.contains("the shell reads <next>"), "{shown}");
        assert!(!shown.contains("MIIB"), "{shown}");
    }
}

#[test]
fn lines_that_are_no_value_are_refused() {
    let cases: [(&[u8], &str); 5] = [
        (b"-----BEGIN CERTIFICATE-----\n", "only the first line of a key or certificate"),
        (b"\n", "no value was typed; nothing was changed"),
        (b"abc\x15\n", "no value was typed; nothing was changed"),
        (b"ab\x1b[Dc\n", "control characters"),
        (b"abc\x04", "the input ended (Ctrl-D) before Enter"),
    ];
    for (keys, fact) in cases {
        let Ended { shown, body, .. } = set(keys);
        assert_eq!(body, None, "{shown}");
        assert!(shown.contains(fact), "{shown}");
        assert!(shown.contains("status=2\r\n"), "{shown}");
    }
}

#[test]
fn a_line_is_the_value_whatever_was_typed_before_the_prompt() {
    for (ahead, keys, value) in [
        (&b""[..], &b"hunter2\n"[..], "hunter2"),
        (b"ls -l\nrm x\n", b"hunter2\n", "hunter2"),
        (b"half a comm", b"hunter2\r", "hunter2"),
        (PEM, b"a tab\tand blanks \n", "a tab\\tand blanks "),
        (b"", b"wrong\x15x\x7fhunter2\n", "hunter2"),
        // As `script` types when its own input ends.
        (b"", b"hunter2\n\x04", "hunter2"),
    ] {
        let mut terminal = Terminal::run(SET, ahead);
        terminal.wait_for(PROMPT).types(keys).wait_for("status=3").types(b"next\n");
        let Ended { shown, body, .. } = terminal.ended();
        assert_eq!(body, Some(format!(r#"{{"value":"{value}"}}"#)), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("the shell reads <next>"), "{shown}");
    }
}

#[test]
fn a_line_longer_than_a_terminals_own_limit_is_the_whole_value() {
    let value = "0123456789abcdef".repeat(1000);
    let Ended { body, .. } = set(format!("{value}\n").as_bytes());
    assert_eq!(body, Some(format!(r#"{{"value":"{value}"}}"#)));
}

#[test]
fn interrupting_a_prompt_restores_the_terminal_and_ends_the_script() {
    let token = r#""$PETSEM" token inspect -; echo WENT-ON"#;
    let value = r#""$PETSEM" secrets set NAME; echo WENT-ON"#;
    for (script, keys, signal) in
        [(value, &b"abc\x03"[..], 2), (token, b"\x03", 2), (value, b"abc\x1c", 3), (token, b"abc\x03", 2)]
    {
        let mut terminal = Terminal::run(script, b"");
        terminal.wait_for(PROMPT).types(keys);
        let Ended { status, shown, body } = terminal.ended();
        assert_eq!((status.signal(), body), (Some(signal), None), "{shown}");
        assert!(!shown.contains("WENT-ON"), "{shown}");
    }
}

#[test]
fn a_confirmation_is_what_was_typed_after_its_question_and_nothing_more() {
    let script = r#""$PETSEM" app delete shop; echo "status=$?""#;
    for (ahead, keys) in [(&b"shop\n"[..], &b"\n"[..]), (b"", b"shop\nrm x\n"), (b"", b"no\n")] {
        let mut terminal = Terminal::run(script, ahead);
        terminal.wait_for("Type shop to continue: ").types(keys);
        let Ended { shown, body, .. } = terminal.ended();
        assert_eq!(body, None, "{shown}");
        assert!(!shown.contains("status=0"), "{shown}");
    }
}

#[test]
fn a_confirmation_that_was_typed_is_one() {
    for keys in [&b"shop\n"[..], b"shop\n\x04"] {
        let mut terminal = Terminal::run(r#""$PETSEM" app delete shop; echo "status=$?""#, b"");
        terminal.wait_for("continue: ").types(keys);
        let Ended { shown, body, .. } = terminal.ended();
        assert_eq!(body, Some(String::new()), "{shown}");
    }
}

/// Errors of the command's own and of the parser of its arguments.
#[test]
fn only_a_terminal_that_shows_colors_gets_them() {
    for (environment, has_colors) in [
        ("TERM=xterm", true),
        ("TERM=xterm-256color NO_COLOR=", true),
        ("TERM=xterm NO_COLOR=1", false),
        ("TERM=xterm NO_COLOR=0", false),
        ("TERM=dumb", false),
        ("-u TERM", false),
    ] {
        for arguments in ["config check /nowhere/petsem.toml", "nonsense"] {
            let script = format!(r#"env {environment} "$PETSEM" {arguments}; echo "status=$?""#);
            let Ended { shown, .. } = Terminal::run(&script, b"").ended();
            assert_eq!(shown.contains('\x1b'), has_colors, "{environment} {arguments}: {shown}");
            assert!(shown.contains("error") && shown.contains("status="), "{shown}");
        }
    }
}
