//! Addresses of petsem. Until this build supports TLS, only addresses on this machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hyper::Uri;
use petsem_outbound::OutboundUrl;

use crate::error::{EndpointError, with_credentials};

/// One address of petsem: `http://` to a loopback address, or `unix:/path`. In errors also an outside discharger,
/// which is called over HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Loopback(SocketAddr),
    Unix(PathBuf),
    /// An outside discharger.
    Outside(OutboundUrl),
}

impl Endpoint {
    /// A Unix socket by its absolute path.
    ///
    /// # Errors
    /// [`EndpointError::Malformed`]: the path is relative.
    pub fn unix(path: &Path) -> Result<Self, EndpointError> {
        let text = || format!("unix:{}", path.display());
        if path.is_absolute() {
            Ok(Self(Place::Unix(path.into())))
        } else {
            Err(EndpointError::Malformed(text()))
        }
    }

    /// A loopback TCP address.
    ///
    /// # Errors
    /// [`EndpointError::NotLoopback`]: the address is on a network.
    pub fn loopback(address: SocketAddr) -> Result<Self, EndpointError> {
        if address.ip().is_loopback() {
            Ok(Self(Place::Loopback(address)))
        } else {
            Err(EndpointError::NotLoopback(format!("http://{address}")))
        }
    }

    pub(crate) fn outside(location: OutboundUrl) -> Self {
        Self(Place::Outside(location))
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0
    }

    /// The value of the `Host` header.
    pub(crate) fn authority(&self) -> String {
        match &self.0 {
            Place::Loopback(address) => address.to_string(),
            Place::Unix(_) => "localhost".to_owned(),
            Place::Outside(url) => url.host().to_owned(),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::unix(Path::new(path));
        }
        // An error repeats the text, which must not contain a password.
        if text.contains('@') {
            return Err(EndpointError::Malformed(with_credentials()));
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
            // Never resolved: the name means this machine.
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
            Place::Outside(url) => f.write_str(&url.origin()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_and_unix_sockets_are_endpoints() {
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
    fn an_address_on_a_network_is_refused_without_tls() {
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
    fn a_text_that_is_not_an_address_is_refused() {
        for text in
            ["", "petsem", "unix:relative", "http://127.0.0.1/v1", "ftp://127.0.0.1", "http://127.0.0.1?x"]
        {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::Malformed(text.to_owned())));
        }
        let error = "http://user:canary@127.0.0.1".parse::<Endpoint>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
