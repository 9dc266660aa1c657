//! What the settings of a node say about single third parties: a proxy, a bearer token. Never part of a registration,
//! which could name any file, or send a token anywhere.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hyper::header::HeaderValue;
use zeroize::Zeroizing;

use crate::error::OutboundUrlError;
use crate::url::OutboundUrl;

/// Longest token, in bytes.
const TOKEN_MAXIMUM: u64 = 64 * 1024;

/// How one third party is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginSettings {
    /// The third party: an `https` URL without a path.
    pub url: OutboundUrl,
    /// The proxy that all calls to it go through.
    pub proxy: Option<ProxyAddress>,
    /// The file with the token that GET requests to [`Self::token_paths`] carry. It is read for each call, because such files change.
    pub bearer_token_file: Option<PathBuf>,
    /// The paths, with their queries, that the token is sent to. Not all: a document of another party, such as one of
    /// discovery, can name any of them.
    pub token_paths: Vec<String>,
}

impl OriginSettings {
    /// Where Kubernetes has its discovery document and its keys.
    pub const TOKEN_PATHS: [&str; 2] = ["/.well-known/openid-configuration", "/openid/v1/jwks"];

    /// The file with the token for this path.
    pub(crate) fn token_file(&self, target: &str) -> Option<&PathBuf> {
        self.bearer_token_file.as_ref().filter(|_| self.token_paths.iter().any(|path| path == target))
    }
}

/// The address of an HTTP proxy, `http://HOST:PORT`. Calls go through it in tunnels, so it sees no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "http://[{}]:{}", self.host, self.port),
            false => write!(f, "http://{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for ProxyAddress {
    type Err = OutboundUrlError;

    fn from_str(text: &str) -> Result<Self, OutboundUrlError> {
        let rest = text.strip_prefix("http://").ok_or(OutboundUrlError::Malformed)?;
        let rest = rest.trim_end_matches('/');
        // The same rules for hosts and ports as for third parties; only the default port is another one.
        let url: OutboundUrl = format!("https://{rest}").parse()?;
        if url.target() != "/" {
            return Err(OutboundUrlError::Malformed);
        }
        let has_port = rest.ends_with(&format!(":{}", url.port()));
        Ok(Self { host: url.host().to_owned(), port: if has_port { url.port() } else { 80 } })
    }
}

/// The header with the token of a file.
pub(crate) fn bearer(path: &Path) -> std::io::Result<HeaderValue> {
    // Its final capacity from the start: a growing buffer would leave copies in memory.
    let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
    std::fs::File::open(path)?.take(TOKEN_MAXIMUM).read_to_string(&mut text)?;
    let token = text.trim_start_matches('\u{feff}').trim();
    let header = Zeroizing::new(format!("Bearer {token}"));
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::from_str(&header).ok().filter(|_| is_token);
    let mut header = header.ok_or_else(|| std::io::Error::other("it has no token"))?;
    header.set_sensitive(true);
    Ok(header)
}
