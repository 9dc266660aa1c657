//! Input and output of messages, ciphertexts and signatures: files and pipes, never arguments, and a terminal only for
//! base64.

use std::path::{Path, PathBuf};

use clap::Args;
use data_encoding::BASE64;
use petsem_api::{MAX_KEY_MESSAGE, Value};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::private_file::Reserved;
use crate::{messages, output, value_source};

/// Room for a ciphertext of the longest message, as base64 and with line ends.
const LIMIT: usize = MAX_KEY_MESSAGE * 2;

/// The input of an operation.
#[derive(Args)]
pub(super) struct Input {
    /// The input file, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

impl Input {
    /// Bytes that are secret, unchanged.
    pub(super) fn plaintext(&self) -> Result<Value, Failure> {
        secret(&self.file, false)
    }

    /// Bytes to sign, unchanged.
    pub(super) fn message(&self) -> Result<Value, Failure> {
        public(&self.file, false)
    }

    /// A ciphertext: bytes, or base64.
    pub(super) fn ciphertext(&self, base64: bool) -> Result<Value, Failure> {
        public(&self.file, base64)
    }
}

/// Data that is authenticated with a message.
#[derive(Args)]
pub(super) struct AssociatedData {
    /// Also authenticate the bytes of this file (xaes256gcm)
    #[arg(long, value_name = "FILE")]
    associated_data: Option<PathBuf>,
}

impl AssociatedData {
    pub(super) fn read(&self) -> Result<Value, Failure> {
        self.associated_data.as_deref().map_or(Ok(Value::new(Vec::new())), |path| public(path, false))
    }
}

/// The encoding of ciphertexts and signatures.
#[derive(Args)]
pub(super) struct Encoding {
    /// The ciphertext or signature is base64 text, not bytes
    #[arg(long)]
    pub(super) base64: bool,
}

/// The destination of the result.
#[derive(Args)]
pub(super) struct Output {
    /// Write the result to this new file (mode 0600)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A destination that can be written to; opened before the key is used.
pub(super) enum OpenOutput {
    File(Reserved),
    StandardOutput,
}

impl Output {
    /// Opens the destination. base64 may be printed to a terminal.
    pub(super) fn open(&self, base64: bool) -> Result<OpenOutput, Failure> {
        match &self.out {
            Some(path) => Ok(OpenOutput::File(Reserved::new(path)?)),
            None if output::is_terminal() && !base64 => Err(messages::bytes_to_terminal()),
            None => Ok(OpenOutput::StandardOutput),
        }
    }
}

impl OpenOutput {
    /// Writes the bytes unchanged, or as one line of base64.
    pub(super) fn write(self, bytes: &Value, base64: bool) -> Result<(), Failure> {
        let text = base64.then(|| Zeroizing::new(BASE64.encode(bytes.expose_bytes()) + "\n"));
        let bytes = text.as_ref().map_or(bytes.expose_bytes(), |text| text.as_bytes());
        match self {
            Self::File(file) => Ok(file.fill_exactly(bytes)?),
            Self::StandardOutput => output::write(bytes),
        }
    }
}

/// Bytes of a file or of standard input, decoded if they are base64. Prints a note if other users can read the file.
pub(super) fn secret(path: &Path, base64: bool) -> Result<Value, Failure> {
    decoded(path, value_source::file_or_stdin(path, LIMIT)?, base64)
}

/// As [`secret`], for data that is not secret.
pub(super) fn public(path: &Path, base64: bool) -> Result<Value, Failure> {
    decoded(path, value_source::public_file_or_stdin(path, LIMIT)?, base64)
}

fn decoded(path: &Path, mut bytes: Zeroizing<Vec<u8>>, base64: bool) -> Result<Value, Failure> {
    if !base64 {
        return Ok(Value::new(std::mem::take(&mut *bytes)));
    }
    bytes.retain(|byte| !byte.is_ascii_whitespace());
    BASE64.decode(&bytes).map(Value::new).map_err(|_| messages::not_base64(path))
}
