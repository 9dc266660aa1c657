//! Tokens as they are sent: one header value, marked sensitive, wiped, never printed.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hyper::header::HeaderValue;
use petsem_keys::is_open_to_others;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::CredentialsError;

/// Longest header value that is sent, in bytes.
const LONGEST: usize = 64 * 1024;

/// What goes into `Authorization`: one macaroon with its discharges, or one JWT. Prints as `Credentials(..)`.
pub struct Credentials {
    scheme: &'static str,
    /// Without a scheme; macaroons of one header are joined by commas.
    text: Zeroizing<String>,
}

impl Credentials {
    /// Credentials from token text: `fm2_…` (several joined by commas) or a JWT, with or without a preceding
    /// `FlyV1` or `Bearer`. Surrounding white space is ignored, and a byte order mark.
    ///
    /// # Errors
    /// [`CredentialsError`]: the text is not a token.
    pub fn new(text: &str) -> Result<Self, CredentialsError> {
        let mut bare = text.trim_start_matches('\u{feff}').trim();
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

    /// Reads a token file, such as a credential of systemd. A file that is accessible to other users, or that belongs to
    /// one, is refused.
    ///
    /// # Errors
    /// [`CredentialsError`]: the file cannot be read, is accessible to other users, or has no token.
    pub fn read_file(path: &Path) -> Result<Self, CredentialsError> {
        let failed = |source: std::io::Error| CredentialsError::File { path: path.into(), source };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if is_open_to_others(&file, &metadata) {
            let mode = metadata.mode() & 0o7777;
            return Err(CredentialsError::OpenFile { path: path.into(), mode });
        }
        let this_user = rustix::process::geteuid().as_raw();
        if metadata.uid() != this_user && metadata.uid() != 0 {
            return Err(CredentialsError::ForeignOwner { path: path.into(), owner: metadata.uid() });
        }
        let mut text = Zeroizing::new(String::with_capacity(LONGEST + 1));
        let read = Read::by_ref(&mut file).take(LONGEST as u64 + 1).read_to_string(&mut text);
        read.map_err(failed)?;
        Self::new(&text)
    }

    /// These credentials and a discharge (or several, joined by commas).
    ///
    /// # Errors
    /// [`CredentialsError`]: the text is not a token, or both are too long together.
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

    /// The token text without a scheme: to narrow it, find its ticket, or write it to a file of mode 0600.
    pub fn expose_text(&self) -> &str {
        &self.text
    }

    /// The header value, marked sensitive so that no lower layer prints or indexes it.
    pub(crate) fn expose_header(&self) -> Result<HeaderValue, CredentialsError> {
        let mut whole = Zeroizing::new(String::with_capacity(self.scheme.len() + self.text.len()));
        whole.push_str(self.scheme);
        whole.push_str(&self.text);
        let mut value = HeaderValue::from_str(&whole).map_err(|_| CredentialsError::NoToken)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A digest by which equal requests are recognized.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    // A scheme alone, whose space was trimmed, is followed by nothing.
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    (scheme.eq_ignore_ascii_case("FlyV1") || scheme.eq_ignore_ascii_case("Bearer")).then_some(rest)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

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
        assert_eq!(header("\u{feff}fm2_abc\r\n"), "FlyV1 fm2_abc");
    }

    #[test]
    fn a_text_that_is_not_a_token_is_refused_and_not_repeated() {
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
    fn a_token_file_that_is_accessible_to_other_users_is_refused() {
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

    /// As systemd hands a credential over: owner root, and an ACL whose mask the mode shows as rights of the group.
    #[test]
    fn a_token_file_is_judged_by_its_acl_and_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let us = rustix::process::geteuid().as_raw();
        let read_by = |user: u32, group: u16| {
            std::fs::write(&path, "fm2_canary\n").unwrap();
            let entries =
                [(1, 4, u32::MAX), (2, 4, user), (4, group, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
            let mut acl = vec![2, 0, 0, 0];
            for (tag, rights, id) in entries {
                acl.extend([u16::to_le_bytes(tag), u16::to_le_bytes(rights)].concat());
                acl.extend(u32::to_le_bytes(id));
            }
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, "system.posix_acl_access", &acl, flags).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o440);
            let read = Credentials::read_file(&path);
            std::fs::remove_file(&path).unwrap();
            read.map(|token| token.expose_text().to_owned()).map_err(|error| match error {
                CredentialsError::OpenFile { mode, .. } => mode,
                other => panic!("{other}"),
            })
        };
        assert_eq!(read_by(us, 0), Ok("fm2_canary".to_owned()));
        assert_eq!(read_by(us, 4), Err(0o440));
        assert_eq!(read_by(us + 1, 0), Err(0o440));
    }
}
