//! Reads values and tokens from a file, standard input, or a prompt without echo. Never from argv, which every
//! user of the machine can read.

use std::io::IsTerminal;
use std::path::Path;

use petsem_api::{MAX_VALUE, Value};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::private_file::{self, Exposure, STDIN};
use crate::{messages, output};

/// A value from a file: its bytes, unchanged.
pub(crate) fn value_from_file(path: &Path) -> Result<Value, Failure> {
    let mut bytes = file(path, MAX_VALUE)?;
    Ok(Value::new(std::mem::take(&mut *bytes)))
}

/// A value from standard input: its bytes, unchanged.
pub(crate) fn value_from_stdin() -> Result<Value, Failure> {
    let mut bytes = stdin(MAX_VALUE)?;
    Ok(Value::new(std::mem::take(&mut *bytes)))
}

/// A value that a person types or pastes: one line.
pub(crate) fn value_from_prompt(prompt: &str) -> Result<Value, Failure> {
    Ok(Value::new(prompt_secret(prompt)?.as_bytes().to_vec()))
}

/// A file, or standard input if the path is `-`. Prints a note if other users can read the file.
pub(crate) fn file_or_stdin(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path == Path::new(STDIN) { stdin(limit) } else { file(path, limit) }
}

/// As [`file_or_stdin`], for data that is not secret.
pub(crate) fn public_file_or_stdin(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path == Path::new(STDIN) { stdin(limit) } else { Ok(private_file::read_bytes(path, limit)?.0) }
}

/// A token from a private file or, if the path is `-`, from standard input or a prompt on a terminal.
pub(crate) fn token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if path != Path::new(STDIN) {
        return Ok(private_file::read_token(path)?);
    }
    if std::io::stdin().is_terminal() {
        return prompt_secret(messages::TOKEN_PROMPT);
    }
    let bytes = stdin(private_file::MAX_TOKEN_FILE)?;
    private_file::trimmed_text(&bytes).ok_or_else(messages::token_not_text)
}

/// Whether a person confirms by typing `expected`. Without a terminal there is no prompt, and the answer is yes.
pub(crate) fn confirmed_by_typing(expected: &str, prompt: fn(&str) -> String) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    output::prompt(&prompt(expected));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(messages::prompt_failed)?;
    Ok(line.trim() == expected)
}

/// A line that a person types, without echo.
pub(crate) fn prompt_secret(prompt: &str) -> Result<Zeroizing<String>, Failure> {
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
