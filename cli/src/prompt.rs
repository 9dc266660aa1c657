//! A line from a person at the terminal, without echo.
//!
//! Our own on purpose. A person pastes: what follows the first line of a paste must reach neither a value nor the shell
//! behind this command, and neither must what was typed before the prompt. The terminal is in raw mode while a person
//! types, because in its usual mode it cuts lines at 4095 bytes without a word. In raw mode it sends no signals either,
//! so this module restores it and then signals the whole foreground job, as the terminal would have.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};
use zeroize::{Zeroize, Zeroizing};

/// Why there is no line. [`crate::messages`] has its text.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum PromptError {
    /// Standard input is not a terminal.
    NoTerminal,
    Terminal(io::Error),
    /// Ctrl-D.
    Ended,
    /// Ctrl-C, in a job that ignores it.
    Interrupted,
    /// More input waited behind the line: it was a paste. All of it was discarded.
    SeveralLines,
    /// The first line of a PEM, which has more lines.
    FirstLineOfPem,
    ControlCharacter,
    NotText,
    TooLong,
}

/// Longest line: that of a value.
const MAX_LINE: usize = petsem_api::MAX_VALUE;

/// Input that arrives within this time of the input before it was not typed, but pasted.
const PASTE: i64 = 100;
/// The same for a PEM, whose end is known to be missing.
const PEM: i64 = 1000;
/// A terminal whose input never stops is given up after as many bytes.
const LONGEST_PASTE: usize = 16 << 20;

/// A line without its end, which may be empty.
///
/// # Errors
/// [`PromptError`]; whatever was typed or pasted is then discarded.
pub(crate) fn read_hidden(prompt: &str) -> Result<Zeroizing<String>, PromptError> {
    if !io::stdin().is_terminal() {
        return Err(PromptError::NoTerminal);
    }
    let terminal = terminal().map_err(PromptError::Terminal)?;
    let raw = Raw::enter(&terminal).map_err(PromptError::Terminal)?;
    discard(&terminal, 0, PASTE);
    let show = |text: &str| (&terminal).write_all(text.as_bytes()).map_err(PromptError::Terminal);
    show(prompt)?;
    let mut line = Line::new(raw.codes());
    loop {
        let mut byte = [0];
        match rustix::io::read(&terminal, &mut byte) {
            Ok(0) => return Err(PromptError::Ended),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(PromptError::Terminal(error.into())),
        }
        let key = line.press(byte[0]);
        byte.zeroize();
        match key {
            Key::Text => {}
            Key::Enter => break,
            Key::End => {
                discard(&terminal, PASTE, PASTE);
                show("\n")?;
                return Err(PromptError::Ended);
            }
            Key::Signal(signal) => {
                discard(&terminal, 0, PASTE);
                show("\n")?;
                raw.leave();
                // Ends or stops this process, too, unless the job ignores it.
                let _ = kill_current_process_group(signal);
                if signal != Signal::TSTP {
                    return Err(PromptError::Interrupted);
                }
                raw.resume().map_err(PromptError::Terminal)?;
                line = Line::new(raw.codes());
                show(prompt)?;
            }
        }
    }
    show("\n")?;
    let is_pem = line.begins_pem();
    let patience = if is_pem { PEM } else { PASTE };
    let is_paste = discard(&terminal, patience, patience);
    drop(raw);
    match () {
        () if is_pem => Err(PromptError::FirstLineOfPem),
        () if is_paste => Err(PromptError::SeveralLines),
        () => line.finish(),
    }
}

/// A visible line from standard input, which is a terminal. `None` if more input waited behind it.
///
/// # Errors
/// The terminal cannot be read.
pub(crate) fn read_visible(show_prompt: impl FnOnce()) -> io::Result<Option<String>> {
    let stdin = io::stdin();
    discard(&stdin, 0, PASTE);
    show_prompt();
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    Ok((!discard(&stdin, PASTE, PASTE)).then_some(line))
}

/// The controlling terminal; without one, standard input.
fn terminal() -> io::Result<File> {
    match OpenOptions::new().read(true).write(true).open("/dev/tty") {
        Ok(terminal) => Ok(terminal),
        Err(_) => Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
    }
}

/// Discards what waits within `first` milliseconds, and then all that follows without a pause of `next`. Whether there
/// was anything but the key that ends the input: `script` sends that when its own input ends.
fn discard(terminal: impl AsFd, first: i64, next: i64) -> bool {
    let end = tcgetattr(&terminal).map_or(0, |modes| modes.special_codes[SpecialCodeIndex::VEOF]);
    let mut found = false;
    let mut pause = first;
    let mut left = LONGEST_PASTE;
    while left > 0 {
        let timeout = Timespec { tv_sec: pause / 1000, tv_nsec: pause.rem_euclid(1000) * 1_000_000 };
        let mut waiting = [PollFd::new(&terminal, PollFlags::IN)];
        if poll(&mut waiting, Some(&timeout)) == Err(Errno::INTR) {
            continue;
        }
        if waiting.iter().all(|one| one.revents() != PollFlags::IN) {
            break;
        }
        let mut buffer = Zeroizing::new([0; 4096]);
        let count = rustix::io::read(&terminal, &mut buffer[..]).unwrap_or(0);
        found |= buffer.iter().take(count).any(|byte| *byte != end);
        left = left.saturating_sub(count.max(1));
        pause = next;
    }
    // In the usual mode a line without its end waits, too, and cannot be read.
    let _ = tcflush(&terminal, QueueSelector::IFlush);
    found
}

/// A terminal in raw mode. It gets its modes back on drop.
struct Raw<'a> {
    terminal: &'a File,
    before: Termios,
    modes: Termios,
}

impl<'a> Raw<'a> {
    fn enter(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ECHO
            | LocalModes::ECHONL
            | LocalModes::ICANON
            | LocalModes::ISIG
            | LocalModes::IEXTEN;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let raw = Self { terminal, before, modes };
        raw.resume()?;
        Ok(raw)
    }

    fn resume(&self) -> io::Result<()> {
        // Not `Flush`: what was typed ahead may go on, and is then discarded up to its end.
        Ok(tcsetattr(self.terminal, OptionalActions::Now, &self.modes)?)
    }

    fn leave(&self) {
        // A terminal that is gone has no modes.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }

    fn codes(&self) -> Codes {
        let code = |index| Some(self.before.special_codes[index]).filter(|code| *code != 0);
        let has_signals = self.before.local_modes.contains(LocalModes::ISIG);
        let signal = |index| code(index).filter(|_| has_signals);
        Codes {
            interrupt: signal(SpecialCodeIndex::VINTR),
            quit: signal(SpecialCodeIndex::VQUIT),
            suspend: signal(SpecialCodeIndex::VSUSP),
            erase: code(SpecialCodeIndex::VERASE),
            kill: code(SpecialCodeIndex::VKILL),
            end: code(SpecialCodeIndex::VEOF),
        }
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What this terminal's keys send.
#[derive(Clone, Copy, Debug)]
struct Codes {
    interrupt: Option<u8>,
    quit: Option<u8>,
    suspend: Option<u8>,
    erase: Option<u8>,
    kill: Option<u8>,
    end: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Text,
    Enter,
    End,
    Signal(Signal),
}

/// What has been typed. Its buffer never grows, because growing would leave copies.
struct Line {
    codes: Codes,
    bytes: Zeroizing<Vec<u8>>,
    has_control: bool,
    is_too_long: bool,
}

impl Line {
    fn new(codes: Codes) -> Self {
        let bytes = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        Self { codes, bytes, has_control: false, is_too_long: false }
    }

    fn press(&mut self, byte: u8) -> Key {
        let is = |code: Option<u8>| code == Some(byte);
        match byte {
            b'\n' | b'\r' => return Key::Enter,
            _ if is(self.codes.interrupt) => return Key::Signal(Signal::INT),
            _ if is(self.codes.quit) => return Key::Signal(Signal::QUIT),
            _ if is(self.codes.suspend) => return Key::Signal(Signal::TSTP),
            _ if is(self.codes.end) => return Key::End,
            0x08 | 0x7f => self.erase(),
            _ if is(self.codes.erase) => self.erase(),
            _ if is(self.codes.kill) => self.bytes.clear(),
            _ if byte < b' ' && byte != b'\t' => self.has_control = true,
            _ if self.bytes.len() == MAX_LINE => self.is_too_long = true,
            _ => self.bytes.push(byte),
        }
        Key::Text
    }

    /// The last character, whose first byte is no continuation.
    fn erase(&mut self) {
        while let Some(0x80..=0xbf) = self.bytes.pop() {}
    }

    fn begins_pem(&self) -> bool {
        let ends = self.bytes.windows(PEM_END.len()).any(|part| part == PEM_END);
        self.bytes.starts_with(PEM_BEGIN) && !ends
    }

    fn finish(mut self) -> Result<Zeroizing<String>, PromptError> {
        if self.is_too_long {
            return Err(PromptError::TooLong);
        }
        if self.has_control {
            return Err(PromptError::ControlCharacter);
        }
        match String::from_utf8(std::mem::take(&mut *self.bytes)) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(PromptError::NotText)
            }
        }
    }
}

const PEM_BEGIN: &[u8] = b"-----BEGIN ";
const PEM_END: &[u8] = b"-----END ";

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: Codes = Codes {
        interrupt: Some(3),
        quit: Some(0x1c),
        suspend: Some(0x1a),
        erase: Some(0x7f),
        kill: Some(0x15),
        end: Some(4),
    };

    fn typed(keys: &[u8]) -> Line {
        let mut line = Line::new(CODES);
        for byte in keys {
            assert_eq!(line.press(*byte), Key::Text, "{byte}");
        }
        line
    }

    fn text(keys: &[u8]) -> String {
        typed(keys).finish().unwrap().to_string()
    }

    #[test]
    fn keys_erase_characters_and_the_line() {
        assert_eq!(text("a\tbé€\x7f\x7f\x08c".as_bytes()), "a\tc");
        assert_eq!(text(b"\x7fabc\x15xy"), "xy");
    }

    #[test]
    fn keys_end_the_line_and_send_signals() {
        let mut line = Line::new(CODES);
        let keys = [b'\n', b'\r', 3, 0x1c, 0x1a, 4].map(|byte| line.press(byte));
        let signals = [Signal::INT, Signal::QUIT, Signal::TSTP].map(Key::Signal);
        assert_eq!(keys, [Key::Enter, Key::Enter, signals[0], signals[1], signals[2], Key::End]);
    }

    #[test]
    fn a_line_that_no_person_typed_is_refused() {
        let fault = |keys: &[u8]| format!("{:?}", typed(keys).finish().unwrap_err());
        assert_eq!(fault(b"a\x1b[200~b"), "ControlCharacter");
        assert_eq!(fault(b"\0"), "ControlCharacter");
        assert_eq!(fault(b"\xff"), "NotText");
        assert_eq!(fault(&[b'x'; MAX_LINE + 1]), "TooLong");
        assert_eq!(text(&[b'x'; MAX_LINE]).len(), MAX_LINE);
    }

    #[test]
    fn the_first_line_of_a_pem_is_known() {
        assert!(typed(b"-----BEGIN PRIVATE KEY-----").begins_pem());
        assert!(!typed(b"-----BEGIN K-----\\nx\\n-----END K-----").begins_pem());
        assert!(!typed(b"BEGIN").begins_pem());
    }
}
