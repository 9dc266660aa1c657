//! The address of a third party.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// Longest URL, in bytes.
const LONGEST: usize = 2048;

/// An `https://` URL with a host, without credentials and without a fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OutsideUrl {
    text: String,
    host: String,
    port: u16,
    // Path and query.
    target: String,
}

impl OutsideUrl {
    /// The whole URL, as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host in lower case: a name or an address, this one without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 where none stands.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The origin, `https://HOST` or `https://HOST:PORT` (RFC 6454): equal for URLs of one third party.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{}", self.authority())
    }

    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }
}

/// A host as it is compared: lower case, no brackets, no dot at the end.
pub(crate) fn canonical_host(text: &str) -> String {
    text.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

impl FromStr for OutsideUrl {
    type Err = OutsideUrlError;

    fn from_str(text: &str) -> Result<Self, OutsideUrlError> {
        if text.len() > LONGEST {
            return Err(OutsideUrlError::TooLong);
        }
        // `Uri` drops a fragment silently.
        if text.contains('#') {
            return Err(OutsideUrlError::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| OutsideUrlError::Malformed)?;
        let authority = uri.authority().ok_or(OutsideUrlError::Malformed)?;
        if uri.scheme_str() != Some("https") {
            return Err(OutsideUrlError::NotHttps);
        }
        if authority.as_str().contains('@') {
            return Err(OutsideUrlError::Credentials);
        }
        let host = canonical_host(authority.host());
        // A colon without a number behind it is not a port.
        let port = match authority.port_u16() {
            Some(0) => return Err(OutsideUrlError::Malformed),
            Some(port) => port,
            None if authority.as_str().len() != authority.host().len() => {
                return Err(OutsideUrlError::Malformed);
            }
            None => 443,
        };
        let host_fits = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
        if !host_fits {
            return Err(OutsideUrlError::Malformed);
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        Ok(Self { text: text.to_owned(), host, port, target })
    }
}

impl fmt::Display for OutsideUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The origin alone: path and query may hold what only the third party shall know.
impl fmt::Debug for OutsideUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsideUrl({}/..)", self.origin())
    }
}

/// Why a text is no URL of a third party. It is not repeated: credentials may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutsideUrlError {
    /// Over 2048 bytes.
    TooLong,
    /// No URL with a host, or one with a fragment.
    Malformed,
    /// Not `https://`.
    NotHttps,
    /// A user or a password stands before the host.
    Credentials,
}

impl fmt::Display for OutsideUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the URL is over 2048 bytes; give a shorter one",
            Self::Malformed => "the URL is not understood; give https://HOST[:PORT]/PATH, without a fragment",
            Self::NotHttps => "the URL is not https; third parties are called over TLS alone",
            Self::Credentials => "a user or password stands in the URL; leave it out",
        })
    }
}

impl std::error::Error for OutsideUrlError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> Result<String, OutsideUrlError> {
        text.parse::<OutsideUrl>().map(|url| url.origin())
    }

    #[test]
    fn an_origin_is_host_and_port() {
        for (text, expected) in [
            ("https://issuer.example", "https://issuer.example"),
            ("https://Issuer.Example.:443/a?b=c", "https://issuer.example"),
            ("https://issuer.example:8443/", "https://issuer.example:8443"),
            ("https://[2606:4700::1111]/keys", "https://[2606:4700::1111]"),
            ("https://1.1.1.1:1/", "https://1.1.1.1:1"),
        ] {
            assert_eq!(origin(text), Ok(expected.to_owned()));
        }
        assert_eq!("https://a.example/b?c=d".parse::<OutsideUrl>().unwrap().target(), "/b?c=d");
        assert_eq!("https://a.example?c=d".parse::<OutsideUrl>().unwrap().target(), "/?c=d");
    }

    #[test]
    fn only_https_without_credentials_is_called() {
        let long = format!("https://a.example/{}", "a".repeat(LONGEST));
        for (text, expected) in [
            ("http://issuer.example/", OutsideUrlError::NotHttps),
            ("ftp://issuer.example/", OutsideUrlError::NotHttps),
            ("https://user:secret@issuer.example/", OutsideUrlError::Credentials),
            ("https://issuer.example/#a", OutsideUrlError::Malformed),
            ("https://issuer.example:/", OutsideUrlError::Malformed),
            ("https://issuer.example:0/", OutsideUrlError::Malformed),
            ("https://issuer.example:99999/", OutsideUrlError::Malformed),
            ("https:///keys", OutsideUrlError::Malformed),
            ("https://./keys", OutsideUrlError::Malformed),
            ("issuer.example", OutsideUrlError::NotHttps),
            ("/keys", OutsideUrlError::Malformed),
            ("", OutsideUrlError::Malformed),
            (long.as_str(), OutsideUrlError::TooLong),
        ] {
            assert_eq!((text, origin(text)), (text, Err(expected)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_text_is_a_url_or_an_error(text in "\\PC{0,60}") {
            for text in [text.clone(), format!("https://{text}")] {
                if let Ok(url) = text.parse::<OutsideUrl>() {
                    prop_assert_eq!(origin(&url.origin()), Ok(url.origin()));
                }
            }
        }
    }
}
