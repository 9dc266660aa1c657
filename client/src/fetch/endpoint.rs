//! Where petsem is reached. Until this build speaks TLS, only places that no network lies before.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hyper::Uri;

/// One address of petsem: `http://` to a loopback address, or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Loopback(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    /// A Unix socket by its absolute path.
    pub fn unix(path: &Path) -> Result<Self, EndpointError> {
        let text = || format!("unix:{}", path.display());
        if path.is_absolute() {
            Ok(Self(Place::Unix(path.into())))
        } else {
            Err(EndpointError::Malformed(text()))
        }
    }

    /// A TCP address, which must be a loopback one.
    pub fn loopback(address: SocketAddr) -> Result<Self, EndpointError> {
        if address.ip().is_loopback() {
            Ok(Self(Place::Loopback(address)))
        } else {
            Err(EndpointError::NotLoopback(format!("http://{address}")))
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0
    }

    /// What stands in the `Host` header.
    pub(crate) fn authority(&self) -> String {
        match &self.0 {
            Place::Loopback(address) => address.to_string(),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::unix(Path::new(path));
        }
        // What is repeated in an error must hold no password.
        if text.contains('@') {
            return Err(EndpointError::Malformed("(an address with credentials in it)".to_owned()));
        }
        let malformed = || EndpointError::Malformed(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(EndpointError::Tls(text.to_owned())),
            _ => return Err(malformed()),
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(malformed());
        }
        let host = uri.host().ok_or_else(malformed)?;
        let address = match host {
            // Not asked of any resolver: the name means this machine and nothing else.
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse()
                .map_err(|_| EndpointError::NotLoopback(text.to_owned()))?,
        };
        if !address.is_loopback() {
            return Err(EndpointError::NotLoopback(text.to_owned()));
        }
        Self::loopback(SocketAddr::new(address, uri.port_u16().unwrap_or(80)))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Loopback(address) => write!(f, "http://{address}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no endpoint. Each holds the text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// Neither `http://HOST:PORT` nor `unix:/PATH`.
    Malformed(String),
    /// `https://`, which this build does not speak.
    Tls(String),
    /// Plain HTTP to a place beyond this machine.
    NotLoopback(String),
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => {
                write!(f, "{text} is no endpoint: give http://127.0.0.1:PORT or unix:/absolute/path")
            }
            Self::Tls(text) => write!(
                f,
                "{text} cannot be called, TLS is not implemented: TLS comes with a later release; until then \
                 give http://127.0.0.1:PORT or unix:/absolute/path"
            ),
            Self::NotLoopback(text) => write!(
                f,
                "{text} would carry secrets over a network in the clear: without TLS only loopback addresses \
                 and Unix sockets are called; give http://127.0.0.1:PORT or unix:/absolute/path"
            ),
        }
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_unix_are_endpoints() {
        for (text, shown) in [
            ("http://127.0.0.1:7700", "http://127.0.0.1:7700"),
            ("http://127.9.9.9:1/", "http://127.9.9.9:1"),
            ("http://localhost:7700", "http://127.0.0.1:7700"),
            ("http://[::1]:7700", "http://[::1]:7700"),
            ("unix:/run/petsem.sock", "unix:/run/petsem.sock"),
        ] {
            assert_eq!(text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn nothing_is_called_in_the_clear_beyond_this_machine() {
        for text in ["http://10.0.0.1:80", "http://petsem.internal", "http://0.0.0.0:1", "http://[fdaa::3]:1"]
        {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::NotLoopback(text.to_owned())));
        }
        let tls = "https://petsem.example".parse::<Endpoint>().unwrap_err();
        assert!(
            tls.to_string().starts_with("https://petsem.example cannot be called, TLS is not implemented")
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "petsem", "unix:relative", "http://127.0.0.1/v1", "ftp://127.0.0.1", "http://127.0.0.1?x"]
        {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::Malformed(text.to_owned())));
        }
        let error = "http://user:canary@127.0.0.1".parse::<Endpoint>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
