//! The URL of a third party, and which hosts may be called without TLS.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

use crate::address::is_public;
use crate::error::OutboundUrlError;

/// Longest URL, in bytes.
const URL_MAXIMUM: usize = 2048;

/// A URL with a host, without credentials and without a fragment. [`FromStr`] accepts only `https://`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OutboundUrl {
    text: String,
    /// `None`: over TLS.
    plain: Option<PlainHttp>,
    /// In lower case: a name, or an address without brackets.
    host: String,
    port: u16,
    /// Path and query.
    target: String,
}

/// The addresses that may be called without TLS: loopback, and the fixed addresses that the caller names, such
/// as those of a cloud's metadata service. A public address is never among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlainHttp {
    addresses: &'static [IpAddr],
}

impl PlainHttp {
    /// Loopback addresses only.
    pub const LOOPBACK: Self = Self { addresses: &[] };

    /// Loopback addresses and these ones.
    #[must_use]
    pub const fn to(addresses: &'static [IpAddr]) -> Self {
        Self { addresses }
    }

    pub(crate) fn allows(self, address: IpAddr) -> bool {
        address.is_loopback() || (self.addresses.contains(&address) && !is_public(address))
    }

    /// Whether an `http://` URL may have this host. The addresses of `localhost` are checked at each call.
    fn allows_host(self, host: &str) -> bool {
        host.parse().map_or(host == "localhost", |address| self.allows(address))
    }
}

impl OutboundUrl {
    /// Parses `https://`, or `http://` with a host that `plain` allows.
    ///
    /// # Errors
    /// [`OutboundUrlError`]: the text is not such a URL.
    pub fn parse_with(text: &str, plain: PlainHttp) -> Result<Self, OutboundUrlError> {
        Self::parse(text, Some(plain))
    }

    /// Another path and query at the same origin.
    ///
    /// # Errors
    /// [`OutboundUrlError`]: the result is not a URL.
    pub fn at(&self, target: &str) -> Result<Self, OutboundUrlError> {
        if target.starts_with('/') {
            Self::parse(&format!("{}{target}", self.origin()), self.plain)
        } else {
            Err(OutboundUrlError::Malformed)
        }
    }

    /// The whole URL, as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host in lower case: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: 443, or 80 without TLS, if the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, at least `/`.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The origin, `SCHEME://HOST[:PORT]` (RFC 6454): equal for all URLs of one third party.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.plain.is_some() { "http" } else { "https" }, self.authority())
    }

    /// The value of the `Host` header.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.plain) { host } else { format!("{host}:{}", self.port) }
    }

    pub(crate) fn plain(&self) -> Option<PlainHttp> {
        self.plain
    }

    fn parse(text: &str, plain: Option<PlainHttp>) -> Result<Self, OutboundUrlError> {
        if text.len() > URL_MAXIMUM {
            return Err(OutboundUrlError::TooLong);
        }
        // `Uri` drops a fragment silently.
        if text.contains('#') {
            return Err(OutboundUrlError::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| OutboundUrlError::Malformed)?;
        let authority = uri.authority().ok_or(OutboundUrlError::Malformed)?;
        let plain = match (uri.scheme_str(), plain) {
            (Some("https"), _) => None,
            (Some("http"), Some(plain)) => Some(plain),
            _ => return Err(OutboundUrlError::NotHttps),
        };
        if authority.as_str().contains('@') {
            return Err(OutboundUrlError::Credentials);
        }
        let host = canonical_host(authority.host());
        let port = match authority.port_u16() {
            Some(0) => return Err(OutboundUrlError::Malformed),
            Some(port) => port,
            // A colon that no number follows is not a port.
            None if authority.as_str().len() != authority.host().len() => {
                return Err(OutboundUrlError::Malformed);
            }
            None => default_port(plain),
        };
        let is_host = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
        if !is_host {
            return Err(OutboundUrlError::Malformed);
        }
        if plain.is_some_and(|plain| !plain.allows_host(&host)) {
            return Err(OutboundUrlError::PlainHost);
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        Ok(Self { text: text.to_owned(), plain, host, port, target })
    }
}

fn default_port(plain: Option<PlainHttp>) -> u16 {
    if plain.is_some() { 80 } else { 443 }
}

/// A host in the form used for comparisons: lower case, no brackets, no dot at the end.
pub(crate) fn canonical_host(text: &str) -> String {
    text.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

impl FromStr for OutboundUrl {
    type Err = OutboundUrlError;

    fn from_str(text: &str) -> Result<Self, OutboundUrlError> {
        Self::parse(text, None)
    }
}

impl fmt::Display for OutboundUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Only the origin: path and query may be a secret between the caller and the third party.
impl fmt::Debug for OutboundUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundUrl({}/..)", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const METADATA: PlainHttp = PlainHttp::to(&[
        IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    ]);

    fn origin(text: &str) -> Result<String, OutboundUrlError> {
        text.parse::<OutboundUrl>().map(|url| url.origin())
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
        assert_eq!("https://a.example/b?c=d".parse::<OutboundUrl>().unwrap().target(), "/b?c=d");
        let url: OutboundUrl = "https://a.example?c=d".parse().unwrap();
        assert_eq!(url.target(), "/?c=d");
        let other = url.at("/b?e=f").unwrap();
        assert_eq!((other.origin(), other.target()), (url.origin(), "/b?e=f"));
        assert_eq!(url.at(".evil.example/"), Err(OutboundUrlError::Malformed));
    }

    #[test]
    fn from_str_takes_only_https_without_credentials() {
        let long = format!("https://a.example/{}", "a".repeat(URL_MAXIMUM));
        for (text, expected) in [
            ("http://issuer.example/", OutboundUrlError::NotHttps),
            ("http://127.0.0.1/", OutboundUrlError::NotHttps),
            ("ftp://issuer.example/", OutboundUrlError::NotHttps),
            ("https://user:secret@issuer.example/", OutboundUrlError::Credentials),
            ("https://issuer.example/#a", OutboundUrlError::Malformed),
            ("https://issuer.example:/", OutboundUrlError::Malformed),
            ("https://issuer.example:0/", OutboundUrlError::Malformed),
            ("https://issuer.example:99999/", OutboundUrlError::Malformed),
            ("https:///keys", OutboundUrlError::Malformed),
            ("https://./keys", OutboundUrlError::Malformed),
            ("issuer.example", OutboundUrlError::NotHttps),
            ("/keys", OutboundUrlError::Malformed),
            ("", OutboundUrlError::Malformed),
            (long.as_str(), OutboundUrlError::TooLong),
        ] {
            assert_eq!((text, origin(text)), (text, Err(expected)));
        }
    }

    #[test]
    fn plain_http_goes_to_loopback_and_the_named_addresses_alone() {
        use OutboundUrlError::{Credentials, Malformed, NotHttps, PlainHost};
        let loopback = PlainHttp::LOOPBACK;
        for (text, plain, expected) in [
            ("https://kms.example", loopback, Ok(("https://kms.example", "/"))),
            ("https://KMS.example:443/", loopback, Ok(("https://kms.example", "/"))),
            ("https://[fd00::1]:8443/a?b=c", loopback, Ok(("https://[fd00::1]:8443", "/a?b=c"))),
            ("http://127.0.0.1:5000", loopback, Ok(("http://127.0.0.1:5000", "/"))),
            ("http://localhost:5000/", loopback, Ok(("http://localhost:5000", "/"))),
            ("http://localhost:80/", loopback, Ok(("http://localhost", "/"))),
            ("http://[::1]/", loopback, Ok(("http://[::1]", "/"))),
            ("http://kms.example/", loopback, Err(PlainHost)),
            ("http://169.254.169.254/", loopback, Err(PlainHost)),
            ("http://10.0.0.1/", loopback, Err(PlainHost)),
            ("http://169.254.169.254/x", METADATA, Ok(("http://169.254.169.254", "/x"))),
            ("http://[fd00:ec2::254]/", METADATA, Ok(("http://[fd00:ec2::254]", "/"))),
            ("http://127.0.0.1:1/", METADATA, Ok(("http://127.0.0.1:1", "/"))),
            ("http://169.254.170.2/", METADATA, Err(PlainHost)),
            // Named, and yet public: never in the clear.
            ("http://1.1.1.1/", METADATA, Err(PlainHost)),
            ("https://user:secret@kms.example/", loopback, Err(Credentials)),
            ("http://user:secret@127.0.0.1/", loopback, Err(Credentials)),
            ("https://kms.example/#a", loopback, Err(Malformed)),
            ("https://kms.example:/", loopback, Err(Malformed)),
            ("https://kms.example:0/", loopback, Err(Malformed)),
            ("ftp://kms.example/", loopback, Err(NotHttps)),
            ("kms.example", loopback, Err(NotHttps)),
            ("", loopback, Err(Malformed)),
        ] {
            let parsed = OutboundUrl::parse_with(text, plain);
            let parsed = parsed.as_ref().map(|url| (url.origin(), url.target())).map_err(|error| *error);
            let expected = expected.map(|(origin, target)| (origin.to_owned(), target));
            assert_eq!((text, parsed), (text, expected));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn the_origin_of_any_url_parses_to_the_same_origin_host_and_port(text in "\\PC{0,60}") {
            for text in [text.clone(), format!("https://{text}"), format!("http://{text}")] {
                let Ok(url) = OutboundUrl::parse_with(&text, METADATA) else { continue };
                let again = OutboundUrl::parse_with(&url.origin(), METADATA).unwrap();
                prop_assert_eq!(again.origin(), url.origin());
                prop_assert_eq!((again.host(), again.port()), (url.host(), url.port()));
                prop_assert_eq!((again.plain(), again.target()), (url.plain(), "/"));
            }
        }

        #[test]
        fn host_port_and_target_of_a_url_are_those_it_was_made_of(
            host in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]{2,5})?",
            port in 1_u16..,
            target in "/[a-z0-9/._~-]{0,20}(\\?[a-z0-9=&]{0,10})?",
        ) {
            let url: OutboundUrl = format!("https://{host}:{port}{target}").parse().unwrap();
            prop_assert_eq!((url.host(), url.port(), url.target()), (host.as_str(), port, target.as_str()));
        }
    }
}
