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
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{OutboundError, OutboundSetupError};
use crate::exchange::{OutboundAnswer, OutboundRequest, exchange};
use crate::url::{OutboundUrl, canonical_host};

/// Addresses of one host that are tried.
const ADDRESSES_MAXIMUM: usize = 4;

/// How third parties are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundSettings {
    /// A PEM file of the CAs that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Hosts, names or addresses, that may have private addresses.
    pub private_hosts: Vec<String>,
    /// The time limit of one call, from the lookup of the host to the last byte of the answer.
    pub within: Duration,
}

/// Calls third parties over HTTPS, within the limits that the crate's page lists.
pub struct OutboundClient {
    // The system's CAs are read at the first call: hundreds of files, which most installations never need.
    tls: OnceLock<Arc<ClientConfig>>,
    private_hosts: BTreeSet<String>,
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
        let Some(path) = &settings.ca_file else { return Ok(client) };
        Ok(Self { tls: OnceLock::from(Arc::new(trusting_file(path)?)), ..client })
    }

    /// A client that trusts the system's CAs; they are read at the first call over TLS.
    #[must_use]
    pub fn with_system_cas<'a>(private_hosts: impl IntoIterator<Item = &'a str>, within: Duration) -> Self {
        let private_hosts = private_hosts.into_iter().map(canonical_host).collect();
        Self { tls: OnceLock::new(), private_hosts, within }
    }

    /// GET of a JSON document. The answer has any status except a redirect, and a body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`OutboundError`]: no usable answer.
    pub async fn get(&self, url: &OutboundUrl, limit: usize) -> Result<OutboundAnswer, OutboundError> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
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

    async fn connect(&self, url: &OutboundUrl) -> Result<TcpStream, OutboundError> {
        let unreachable = |source| OutboundError::Unreachable { origin: url.origin(), source };
        let mut last = io::Error::other("the host has no address");
        // Only the addresses that were checked are connected to: the name is not resolved a second time.
        for address in self.addresses(url).await?.into_iter().take(ADDRESSES_MAXIMUM) {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(unreachable)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
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
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
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
