//! Where values and tokens come from: a file, standard input, or a prompt that does not echo. Never argv,
//! which every user of the machine can read.

use std::io::IsTerminal;
use std::path::Path;

use petsem_api::{MAX_VALUE, Value};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::private_file::{self, Exposure};
use crate::{messages, output};

/// Stands for standard input where a file is expected.
pub(crate) const STDIN: &str = "-";

/// A value from a file: its bytes as they are.
pub(crate) fn value_from_file(path: &Path) -> Result<Value, Failure> {
    let mut bytes = file(path, MAX_VALUE)?;
    Ok(Value::new(std::mem::take(&mut *bytes)))
}

/// A value from standard input: its bytes as they are.
pub(crate) fn value_from_stdin() -> Result<Value, Failure> {
    let mut bytes = stdin(MAX_VALUE)?;
    Ok(Value::new(std::mem::take(&mut *bytes)))
}

/// A value that a person types or pastes: one line.
pub(crate) fn value_from_prompt(prompt: &str) -> Result<Value, Failure> {
    Ok(Value::new(typed(prompt)?.as_bytes().to_vec()))
}

/// A file, or standard input where the path is `-`. Says so when others may read the file.
pub(crate) fn file_or_stdin(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path == Path::new(STDIN) { stdin(limit) } else { file(path, limit) }
}

/// As [`file_or_stdin`], for what is no secret.
pub(crate) fn public_file_or_stdin(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path == Path::new(STDIN) { stdin(limit) } else { Ok(private_file::read_bytes(path, limit)?.0) }
}

/// A token out of a private file, or standard input where the path is `-`, or a prompt on a terminal.
pub(crate) fn token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if path != Path::new(STDIN) {
        return Ok(private_file::read_token(path)?);
    }
    if std::io::stdin().is_terminal() {
        return typed(messages::TOKEN_PROMPT);
    }
    let bytes = stdin(private_file::MAX_TOKEN_FILE)?;
    private_file::trimmed_text(&bytes).ok_or_else(messages::token_not_text)
}

/// Whether a person types `wanted` once more. Where there is no terminal nobody is asked, and it counts as typed.
pub(crate) fn typed_again(wanted: &str, prompt: fn(&str) -> String) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    output::prompt(&prompt(wanted));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(messages::prompt_failed)?;
    Ok(line.trim() == wanted)
}

/// A line that a person types, and that is not shown.
pub(crate) fn typed(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(messages::no_prompt());
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(messages::prompt_failed)
}

fn file(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let (bytes, exposure) = private_file::read_bytes(path, limit)?;
    if let Exposure::Others(mode) = exposure {
        output::notice(&messages::values_readable_by_others(path, mode));
    }
    Ok(bytes)
}

fn stdin(limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    Ok(private_file::read_stream(Path::new(messages::STDIN_NAME), std::io::stdin().lock(), limit)?)
}
