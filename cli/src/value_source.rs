//! Reads values and tokens from a file, standard input, or a prompt without echo. Never from argv, which every
//! user of the machine can read.
//!
//! `-` is standard input for each of them.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use petsem_api::{MAX_VALUE, Value};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::private_file::{self, Exposure, PrivateFileError, STDIN};
use crate::prompt::read_hidden;
use crate::{messages, output};

/// A value from a file, or from standard input if the path is `-`: its bytes, unchanged.
pub(crate) fn value_from_file(path: &Path) -> Result<Value, Failure> {
    let mut bytes = file_or_stdin(path, MAX_VALUE)?;
    Ok(Value::new(std::mem::take(&mut *bytes)))
}

/// A value from standard input: its bytes, unchanged.
pub(crate) fn value_from_stdin() -> Result<Value, Failure> {
    let mut bytes = stdin(MAX_VALUE)?;
    Ok(Value::new(std::mem::take(&mut *bytes)))
}

/// A value that a person types or pastes: one line, which is not empty.
pub(crate) fn value_from_prompt(prompt: &str) -> Result<Value, Failure> {
    let mut text = prompt_secret(prompt)?;
    if text.is_empty() {
        return Err(messages::empty_value());
    }
    // Moved, not copied: its new owner wipes the buffer.
    Ok(Value::new(std::mem::take(&mut *text).into_bytes()))
}

/// A file, or standard input if the path is `-`. Prints a note if other users can read the file.
pub(crate) fn file_or_stdin(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path == Path::new(STDIN) { stdin(limit) } else { file(path, limit) }
}

/// As [`file_or_stdin`], for data that is not secret.
pub(crate) fn public_file_or_stdin(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path == Path::new(STDIN) { stdin(limit) } else { Ok(private_file::read_bytes(path, limit)?.0) }
}

/// As [`public_file_or_stdin`], for text, such as JSON. A byte order mark at its beginning is dropped.
pub(crate) fn public_text_or_stdin(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = public_file_or_stdin(path, limit)?;
    if private_file::is_utf16(&bytes) {
        return Err(PrivateFileError::Utf16 { path: path.into() }.into());
    }
    if bytes.starts_with(private_file::BYTE_ORDER_MARK) {
        bytes.drain(..private_file::BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// A token from a private file or, if the path is `-`, from standard input or a prompt on a terminal.
pub(crate) fn token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if path != Path::new(STDIN) {
        return Ok(private_file::read_token(path)?);
    }
    if std::io::stdin().is_terminal() {
        let text = prompt_secret(messages::TOKEN_PROMPT)?;
        return if text.trim().is_empty() { Err(messages::empty_token()) } else { Ok(text) };
    }
    let bytes = stdin(private_file::MAX_TOKEN_FILE)?;
    Ok(private_file::trimmed_text(Path::new(messages::STDIN_NAME), &bytes)?)
}

/// A token that was copied from a header, without its scheme.
pub(crate) fn without_scheme(text: &str) -> &str {
    text.strip_prefix("FlyV1 ").or_else(|| text.strip_prefix("Bearer ")).unwrap_or(text).trim()
}

/// A line that a person types, without echo.
pub(crate) fn prompt_secret(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    Ok(read_hidden(prompt)?)
}

fn file(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let (bytes, exposure) = private_file::read_bytes(path, limit)?;
    if let Exposure::Others(mode) = exposure {
        output::notice(&messages::values_readable_by_others(path, mode));
    }
    Ok(bytes)
}

/// All of standard input, once: a second reader would find nothing, and take that for an empty value.
pub(crate) fn stdin(limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(messages::stdin_taken());
    }
    Ok(private_file::read_stream(Path::new(messages::STDIN_NAME), std::io::stdin().lock(), limit)?)
}
