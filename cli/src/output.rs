//! Standard output: JSON if asked for, else aligned tables on a terminal and tabs elsewhere; and standard error.

use std::io::{self, IsTerminal, Write};

use petsem_api::{escaped, is_unprintable};
use serde::Serialize;

use crate::failure::Failure;
use crate::{hints, messages};

/// Rows under headings.
pub(crate) struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &'static [&'static str]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| escaped(&cell, &[])).collect());
    }
}

/// Prints an answer: as JSON, or as a table.
pub(crate) fn answer<T: Serialize>(
    json: bool,
    data: &T,
    to_table: impl FnOnce(&T) -> Table,
) -> Result<(), Failure> {
    if json { json_line(data) } else { table(&to_table(data)) }
}

/// Prints an answer: as JSON, or as one line of text.
pub(crate) fn confirm<T: Serialize>(json: bool, data: &T, text: &str) -> Result<(), Failure> {
    if json { json_line(data) } else { line(text) }
}

/// One line of text.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    write(format!("{}\n", shown(text)).as_bytes())
}

/// A line of JSON as it is stored: unchanged for programs, and the same value for a terminal.
pub(crate) fn stored_json(text: &str) -> Result<(), Failure> {
    if is_terminal() {
        write(format!("{}\n", json_escaped(text)).as_bytes())
    } else {
        write(format!("{text}\n").as_bytes())
    }
}

/// Bytes, unchanged.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    finish(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// A note for people, on standard error so that it never mixes with data.
pub(crate) fn notice(text: &str) {
    let _ = writeln!(io::stderr(), "note: {}", shown(text));
}

/// A question on standard error; the answer is typed after it.
pub(crate) fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(shown(text).as_bytes()).and_then(|()| stderr.flush());
}

/// The failure that ends the command.
pub(crate) fn failure(failure: &Failure) {
    let color = io::stderr().is_terminal() && has_colors();
    let (red, dim, plain) = if color { ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let mut text = format!("{red}error:{plain} {}\n", shown(&failure.fact));
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("{dim}hint:{plain} {}\n", shown(hint)));
    }
    // In one write: other processes may write to the same terminal or log.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// A line on a terminal's standard error that is overwritten as work proceeds.
pub(crate) struct ProgressBar {
    visible: bool,
    written: bool,
}

impl ProgressBar {
    /// A bar; invisible if standard error is not a terminal that can overwrite a line, or the output is JSON.
    pub(crate) fn new(json: bool) -> Self {
        Self { visible: !json && io::stderr().is_terminal() && !is_dumb(), written: false }
    }

    /// Replaces the line.
    pub(crate) fn show(&mut self, text: &str) {
        if self.visible {
            self.written = true;
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if self.written {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Whether a terminal may get colors: <https://no-color.org>, and not a terminal that shows escapes as text.
fn has_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb()
}

/// Whether the terminal shows escapes as text. One without a name may do so, too.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|value| value.is_empty() || value == "dumb")
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

fn json_line<T: Serialize>(data: &T) -> Result<(), Failure> {
    let mut text = json_escaped(&serde_json::to_string_pretty(data).map_err(messages::output_failed)?);
    text.push('\n');
    write(text.as_bytes())
}

/// Texts name what others wrote: it must not move the cursor, or reorder what a person reads before an approval.
fn shown(text: &str) -> String {
    escaped(&hints::completed(text), &['\n', '\t'])
}

/// The same value as JSON without characters that a terminal does not show.
fn json_escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unprintable(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(character);
        }
    }
    text
}

/// A table: aligned on a terminal, tabs between cells otherwise.
pub(crate) fn table(table: &Table) -> Result<(), Failure> {
    let text = match is_terminal() {
        true => aligned(table, has_colors(), terminal_width()),
        false => tabbed(table),
    };
    write(text.as_bytes())
}

fn tabbed(table: &Table) -> String {
    table.rows.iter().map(|row| row.join("\t") + "\n").collect()
}

/// The width of the terminal at standard output, if it has one.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Narrowest last column that text is wrapped in; a narrower one goes below its row.
const NARROWEST: usize = 30;
/// Blanks before text that is below its row.
const BELOW: usize = 4;

/// The last column has the longest texts: they are wrapped between words, in their column if that is wide enough, else
/// below their row.
fn aligned(table: &Table, color: bool, terminal: Option<usize>) -> String {
    let width_of = |column: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(table.headings.get(column).map(|heading| heading.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.headings.len()).map(width_of).collect();
    let padded = |cells: &mut dyn Iterator<Item = &str>| {
        let line: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line.join("  ").trim_end().to_owned()
    };
    let (bold, plain) = if color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut text = format!("{bold}{}{plain}\n", padded(&mut table.headings.iter().copied()));
    let last = table.headings.len().saturating_sub(1);
    let before: usize = widths.iter().take(last).map(|width| width + 2).sum();
    let fits = |row: &[String], terminal: usize| {
        row.get(last).is_none_or(|cell| before + cell.chars().count() <= terminal)
    };
    for row in &table.rows {
        match terminal {
            Some(terminal) if !fits(row, terminal) => {
                let (indent, joined) =
                    if terminal >= before + NARROWEST { (before, true) } else { (BELOW, false) };
                let lines =
                    wrapped(row.get(last).map_or("", String::as_str), terminal.saturating_sub(indent));
                let mut lines = lines.iter().map(String::as_str);
                let first = if joined { lines.next() } else { None };
                text.push_str(&padded(&mut row.iter().take(last).map(String::as_str).chain(first)));
                text.push('\n');
                lines.for_each(|line| text.push_str(&format!("{:indent$}{line}\n", "")));
            }
            _ => {
                text.push_str(&padded(&mut row.iter().map(String::as_str)));
                text.push('\n');
            }
        }
    }
    text
}

/// Lines of at most this width, cut between words. A longer word has a line of its own, uncut: it may be an id.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A closed pipe (`petsem … | head`) ends the command quietly; any other error is a failure.
fn finish(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(messages::output_failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_rows() -> Table {
        let mut table = Table::new(&["NAME", "VERSION"]);
        table.row(["A".to_owned(), "12".to_owned()]);
        table.row(["LONG\x1b[31m\tNAME".to_owned(), "3".to_owned()]);
        table
    }

    #[test]
    fn a_terminal_gets_headings_and_columns() {
        assert_eq!(
            aligned(&two_rows(), false, Some(40)),
            "NAME                     VERSION\nA                        12\nLONG\\u{1b}[31m\\u{9}NAME  3\n"
        );
    }

    #[test]
    fn a_long_last_column_is_wrapped_between_words_and_its_ids_stay_whole() {
        let mut table = Table::new(&["ID", "STATE", "CAVEATS"]);
        let caveats = "only apps: 0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00; only actions: list, write";
        table.row(["a".repeat(12), "valid".to_owned(), caveats.to_owned()]);
        table.row(["b".to_owned(), "valid".to_owned(), "none".to_owned()]);
        let in_column = "\
ID            STATE  CAVEATS
aaaaaaaaaaaa  valid  only apps:
                     0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00; only
                     actions: list, write
b             valid  none
";
        assert_eq!(aligned(&table, false, Some(65)), in_column);
        let below = "\
ID            STATE  CAVEATS
aaaaaaaaaaaa  valid
    only apps:
    0199a0c2-7b1e-7c3a-9d2f-5b6c7d8e9f00; only
    actions: list, write
b             valid  none
";
        assert_eq!(aligned(&table, false, Some(48)), below);
        assert_eq!(aligned(&table, false, None).lines().nth(1).unwrap().len(), 21 + caveats.len());
    }

    #[test]
    fn programs_get_tabs_and_no_control_characters() {
        assert_eq!(tabbed(&two_rows()), "A\t12\nLONG\\u{1b}[31m\\u{9}NAME\t3\n");
    }

    #[test]
    fn json_has_the_same_value_without_characters_that_a_terminal_obeys() {
        let foreign = "a\u{9b}\u{7f}\u{202e}\u{e0041}\n\u{1b}é";
        let json = json_escaped(&serde_json::to_string_pretty(&[foreign]).unwrap());
        assert_eq!(json, "[\n  \"a\\u009b\\u007f\\u202e\\udb40\\udc41\\n\\u001bé\"\n]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [foreign]);
        assert_eq!(shown("two\nlines\tand \u{202e}more"), "two\nlines\tand \\u{202e}more");
    }
}
