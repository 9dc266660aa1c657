//! Tokens as they travel: one header value, marked sensitive, wiped, never printed.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Longest header value that is sent, in bytes.
const LONGEST: usize = 64 * 1024;

/// What goes into `Authorization`: one macaroon with its discharges, or one JWT. Prints as `Credentials(..)`.
pub struct Credentials {
    scheme: &'static str,
    /// Without a scheme; macaroons of one header are joined by commas.
    text: Zeroizing<String>,
}

impl Credentials {
    /// Credentials out of token text: `fm2_…` (several joined by commas) or a JWT, with or without `FlyV1`
    /// or `Bearer` before it. White space around is dropped.
    pub fn new(text: &str) -> Result<Self, CredentialsError> {
        let mut bare = text.trim();
        while let Some(rest) = without_scheme(bare) {
            bare = rest.trim_start();
        }
        if bare.is_empty() {
            return Err(CredentialsError::Empty);
        }
        if bare.len() > LONGEST {
            return Err(CredentialsError::TooLong);
        }
        if !bare.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialsError::NoToken);
        }
        let macaroon = ["fm2_", "fm1r_", "fm1a_"].iter().any(|label| bare.starts_with(label));
        let scheme = if macaroon { "FlyV1 " } else { "Bearer " };
        Ok(Self { scheme, text: Zeroizing::new(bare.to_owned()) })
    }

    /// Reads a token file. A file that group or others may read is refused: the token in it is no secret.
    pub fn read_file(path: &Path) -> Result<Self, CredentialsError> {
        let failed = |source: std::io::Error| CredentialsError::File { path: path.into(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(CredentialsError::OpenFile { path: path.into(), mode });
        }
        let mut text = Zeroizing::new(String::with_capacity(LONGEST + 1));
        let read = Read::by_ref(&mut file).take(LONGEST as u64 + 1).read_to_string(&mut text);
        read.map_err(failed)?;
        Self::new(&text)
    }

    /// These with a discharge (or several, joined by commas) beside them.
    pub fn with_discharge(&self, discharge: &str) -> Result<Self, CredentialsError> {
        let discharge = Self::new(discharge)?;
        let mut text = Zeroizing::new(String::with_capacity(self.text.len() + discharge.text.len() + 1));
        text.push_str(&self.text);
        text.push(',');
        text.push_str(&discharge.text);
        if text.len() > LONGEST {
            return Err(CredentialsError::TooLong);
        }
        Ok(Self { scheme: self.scheme, text })
    }

    /// The token text without a scheme: to narrow it, to find its ticket, to write it to a 0600 file.
    pub fn expose_text(&self) -> &str {
        &self.text
    }

    /// The header value, marked sensitive so that no layer below prints or indexes it.
    pub(crate) fn expose_header(&self) -> Result<HeaderValue, CredentialsError> {
        let mut whole = Zeroizing::new(String::with_capacity(self.scheme.len() + self.text.len()));
        whole.push_str(self.scheme);
        whole.push_str(&self.text);
        let mut value = HeaderValue::from_str(&whole).map_err(|_| CredentialsError::NoToken)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// What stands for them where equal requests are recognised.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    // A scheme with nothing behind it, whose space was trimmed away, leaves nothing.
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    (scheme.eq_ignore_ascii_case("FlyV1") || scheme.eq_ignore_ascii_case("Bearer")).then_some(rest)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Why there are no credentials. Never holds the text.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialsError {
    /// Nothing but white space.
    Empty,
    /// Over 64 KiB.
    TooLong,
    /// Characters that no token has.
    NoToken,
    /// The token file cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than its owner may read the token file.
    OpenFile {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the token is empty: give the text that starts with fm2_, or a JWT"),
            Self::TooLong => {
                f.write_str("the token is longer than 64 KiB: give one token and its discharges")
            }
            Self::NoToken => f.write_str(
                "the token holds characters that no token has: give the text that starts with fm2_, or a JWT",
            ),
            Self::File { path, source } => {
                write!(f, "the token file {} cannot be read: {source}; check the path", path.display())
            }
            Self::OpenFile { path, mode } => write!(
                f,
                "others may read the token file {path} (mode {mode:04o}): run chmod 600 {path}, and replace the \
                 token if others use this machine",
                path = path.display()
            ),
        }
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn header(text: &str) -> String {
        String::from_utf8(Credentials::new(text).unwrap().expose_header().unwrap().as_bytes().to_vec())
            .unwrap()
    }

    #[test]
    fn the_scheme_follows_from_the_text() {
        assert_eq!(header("fm2_abc\n"), "FlyV1 fm2_abc");
        assert_eq!(header("Bearer FlyV1  fm2_abc,fm2_def"), "FlyV1 fm2_abc,fm2_def");
        assert_eq!(header("eyJ.a.b"), "Bearer eyJ.a.b");
        assert_eq!(header("bearer eyJ.a.b"), "Bearer eyJ.a.b");
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        for text in ["", " \n", "FlyV1 ", "can ary", "canary\nX: y", "canaryé"] {
            let error = Credentials::new(text).map(|_| ()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{text:?}");
        }
        assert!(matches!(Credentials::new(&"x".repeat(LONGEST + 1)), Err(CredentialsError::TooLong)));
    }

    #[test]
    fn a_header_is_sensitive_and_debug_shows_nothing() {
        let credentials =
            Credentials::new("fm2_canary").unwrap().with_discharge("FlyV1 fm2_canary2").unwrap();
        assert_eq!(credentials.expose_text(), "fm2_canary,fm2_canary2");
        assert!(credentials.expose_header().unwrap().is_sensitive());
        assert_eq!(format!("{credentials:?}"), "Credentials(..)");
        assert_eq!(format!("{:?}", credentials.expose_header().unwrap()), "Sensitive");
    }

    #[test]
    fn a_token_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let mut options = std::fs::OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap()
            .write_all(b"fm2_canary\n")
            .unwrap();
        assert_eq!(Credentials::read_file(&path).unwrap().expose_text(), "fm2_canary");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Credentials::read_file(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("chmod 600"));
        assert!(!error.contains("canary"));
    }
}
