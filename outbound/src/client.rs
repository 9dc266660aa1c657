//! The client: it resolves a host, checks its addresses, connects to one of them and starts TLS.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connect::{connect_to_one, in_turns, tunnel};
use crate::error::{OutboundError, OutboundSetupError};
use crate::exchange::{OutboundAnswer, OutboundRequest, exchange};
use crate::origin::{OriginSettings, ProxyAddress, bearer};
use crate::url::{OutboundUrl, canonical_host};

/// Key sets have a media type of their own (RFC 7517 §8.5.1), and some servers have no other. What the answer is called
/// does not matter.
const ACCEPTED: &str = "application/jwk-set+json, application/json, */*;q=0.1";

/// How third parties are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundSettings {
    /// A PEM file of the CAs that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Hosts, names or addresses, that may have private addresses.
    pub private_hosts: Vec<String>,
    /// Third parties that need a proxy or a token.
    pub origins: Vec<OriginSettings>,
    /// The time limit of one call, from the lookup of the host to the last byte of the answer.
    pub within: Duration,
}

/// Calls third parties over HTTPS, within the limits that the crate's page lists.
pub struct OutboundClient {
    // The system's CAs are read at the first call: hundreds of files, which most installations never need.
    tls: OnceLock<Arc<ClientConfig>>,
    private_hosts: BTreeSet<String>,
    origins: Vec<OriginSettings>,
    within: Duration,
}

impl fmt::Debug for OutboundClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundClient")
            .field("private_hosts", &self.private_hosts)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

impl OutboundClient {
    /// Reads the CA file, if the settings name one. Connects to nothing.
    ///
    /// # Errors
    /// The CA file cannot be read or has no usable certificate.
    pub fn new(settings: &OutboundSettings) -> Result<Self, OutboundSetupError> {
        let private_hosts = settings.private_hosts.iter().map(String::as_str);
        let client = Self::with_system_cas(private_hosts, settings.within);
        let client = Self { origins: settings.origins.clone(), ..client };
        let Some(path) = &settings.ca_file else { return Ok(client) };
        Ok(Self { tls: OnceLock::from(Arc::new(trusting_file(path)?)), ..client })
    }

    /// A client that trusts the system's CAs; they are read at the first call over TLS.
    #[must_use]
    pub fn with_system_cas<'a>(private_hosts: impl IntoIterator<Item = &'a str>, within: Duration) -> Self {
        let private_hosts = private_hosts.into_iter().map(canonical_host).collect();
        Self { tls: OnceLock::new(), private_hosts, origins: Vec::new(), within }
    }

    /// GET of a JSON document, with the token that the settings have for its origin. The answer has any status except a
    /// redirect, and a body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`OutboundError`]: no usable answer.
    pub async fn get(&self, url: &OutboundUrl, limit: usize) -> Result<OutboundAnswer, OutboundError> {
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(ACCEPTED))]);
        if let Some(path) = self.settings_of(url).and_then(|settings| settings.token_file(url.target())) {
            let unreadable =
                |source| OutboundError::TokenFile { origin: url.origin(), path: path.clone(), source };
            headers.insert(AUTHORIZATION, bearer(path).map_err(unreadable)?);
        }
        self.send(OutboundRequest { method: Method::GET, url, headers, body: Bytes::new(), limit }).await
    }

    /// Sends a request once. The answer has any status except a redirect.
    ///
    /// # Errors
    /// [`OutboundError`]: no usable answer. [`OutboundError::was_sent`] tells whether the third party may have
    /// carried out the request.
    pub async fn send(&self, request: OutboundRequest<'_>) -> Result<OutboundAnswer, OutboundError> {
        let url = request.url;
        match tokio::time::timeout(self.within, self.call(request)).await {
            Ok(result) => result,
            Err(_) => Err(OutboundError::TimedOut { origin: url.origin(), within: self.within }),
        }
    }

    async fn call(&self, request: OutboundRequest<'_>) -> Result<OutboundAnswer, OutboundError> {
        let url = request.url;
        if url.plain().is_some() {
            let stream = self.connect(url).await?;
            return exchange(stream, request).await;
        }
        let origin = || url.origin();
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|_| OutboundError::NoServerName { origin: origin() })?;
        let connector = TlsConnector::from(self.tls()?);
        let stream = self.connect(url).await?;
        let stream = connector.connect(name, stream).await;
        exchange(stream.map_err(|source| OutboundError::Tls { origin: origin(), source })?, request).await
    }

    /// Only the addresses that were checked are connected to: the name is not resolved a second time, also not by a proxy.
    async fn connect(&self, url: &OutboundUrl) -> Result<TcpStream, OutboundError> {
        let addresses = self.addresses(url).await?;
        let unreachable = |source| OutboundError::Unreachable { origin: url.origin(), source };
        match self.settings_of(url).and_then(|settings| settings.proxy.as_ref()) {
            None => connect_to_one(addresses).await.map_err(unreachable),
            Some(proxy) => self.connect_through(proxy, url, addresses).await,
        }
    }

    /// A proxy tries one address at a time, so each gets its share of the time.
    async fn connect_through(
        &self,
        proxy: &ProxyAddress,
        url: &OutboundUrl,
        addresses: Vec<SocketAddr>,
    ) -> Result<TcpStream, OutboundError> {
        let failed = |source| OutboundError::Proxy { origin: url.origin(), proxy: proxy.to_string(), source };
        let addresses = in_turns(addresses);
        let share = self.within / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut last = io::Error::other("the host has no address");
        for address in addresses {
            let attempt = async {
                let found = tokio::net::lookup_host((proxy.host.as_str(), proxy.port)).await?;
                tunnel(connect_to_one(found.collect()).await?, address).await
            };
            match tokio::time::timeout(share, attempt).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed(last))
    }

    /// What the settings say about the third party of a URL. Nothing without TLS.
    fn settings_of(&self, url: &OutboundUrl) -> Option<&OriginSettings> {
        let is_meant = |settings: &&OriginSettings| settings.url.origin() == url.origin();
        self.origins.iter().find(is_meant).filter(|_| url.plain().is_none())
    }

    /// The addresses of a host. One address that may not be called refuses the host.
    async fn addresses(&self, url: &OutboundUrl) -> Result<Vec<SocketAddr>, OutboundError> {
        let found = tokio::net::lookup_host((url.host(), url.port())).await;
        let found = found.map_err(|source| OutboundError::Unresolved { origin: url.origin(), source })?;
        let addresses: Vec<_> = found.collect();
        let (origin, listed) = (|| url.origin(), self.private_hosts.contains(url.host()));
        for address in addresses.iter().map(SocketAddr::ip) {
            match url.plain() {
                Some(plain) if !plain.allows(address) => {
                    return Err(OutboundError::PlainAddress { origin: origin(), address });
                }
                None if !listed && !crate::address::is_public(address) => {
                    return Err(OutboundError::PrivateAddress { origin: origin(), address });
                }
                Some(_) | None => {}
            }
        }
        Ok(addresses)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, OutboundError> {
        if let Some(ready) = self.tls.get() {
            return Ok(Arc::clone(ready));
        }
        let mut roots = RootCertStore::empty();
        // A file that cannot be read is skipped; no CA at all is an error.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(OutboundError::NoSystemCas);
        }
        let made = Arc::new(configuration(roots).map_err(OutboundError::Setup)?);
        Ok(Arc::clone(self.tls.get_or_init(|| made)))
    }
}

fn trusting_file(path: &Path) -> Result<ClientConfig, OutboundSetupError> {
    let unreadable = |source| OutboundSetupError::CaFile { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    let text = std::fs::read(path).map_err(|source| unreadable(pem::Error::Io(source)))?;
    // With a byte order mark in front of it, the first certificate would be skipped.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    for certificate in CertificateDer::pem_slice_iter(text) {
        let unusable = |source| OutboundSetupError::Certificate { path: path.to_owned(), source };
        roots.add(certificate.map_err(unreadable)?).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(OutboundSetupError::NoCertificate { path: path.to_owned() });
    }
    configuration(roots).map_err(OutboundSetupError::Tls)
}

fn configuration(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    // Named here, so that no process-wide default chooses another one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
