//! Calls to third parties: issuers of JWTs and dischargers that petsem's server asks, over HTTPS.
//!
//! Their addresses come from registrations and tickets, so they are treated as a stranger's: https alone, no
//! redirects, names resolved here and every address of them checked before one is connected to, bodies and time
//! bounded. What came is the caller's to judge; nothing of it stands in an error.

mod address;
mod error;
mod exchange;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

pub use error::{OutsideError, OutsideSetupError};
pub use exchange::OutsideAnswer;
pub use url::{OutsideUrl, OutsideUrlError};

use exchange::Wanted;

/// Addresses of one host that are tried.
const MOST_ADDRESSES: usize = 4;

/// How third parties are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideSettings {
    /// A PEM file of the CAs that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Hosts, names or addresses, that may be at private addresses.
    pub private_hosts: Vec<String>,
    /// The longest that one call takes, with all that belongs to it.
    pub within: Duration,
}

/// Calls third parties over HTTPS.
pub struct Outside {
    // The system's CAs are read at the first call: hundreds of files, which most installations never need.
    tls: OnceLock<Arc<ClientConfig>>,
    private_hosts: BTreeSet<String>,
    within: Duration,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside")
            .field("private_hosts", &self.private_hosts)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

impl Outside {
    /// Reads the CA file, if there is one. Nothing is called.
    ///
    /// # Errors
    /// The CA file cannot be read, or holds no certificate.
    pub fn new(settings: &OutsideSettings) -> Result<Self, OutsideSetupError> {
        let tls = OnceLock::new();
        if let Some(path) = &settings.ca_file {
            let fault = |source: rustls::pki_types::pem::Error| OutsideSetupError::CaFile {
                path: path.clone(),
                source,
            };
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).map_err(fault)? {
                let unusable = |source| OutsideSetupError::Certificate { path: path.clone(), source };
                roots.add(certificate.map_err(fault)?).map_err(unusable)?;
            }
            if roots.is_empty() {
                return Err(OutsideSetupError::NoCertificate { path: path.clone() });
            }
            let config = configuration(roots).map_err(OutsideSetupError::Tls)?;
            // It is new, so it is empty.
            drop(tls.set(Arc::new(config)));
        }
        let private_hosts = settings.private_hosts.iter().map(|host| url::canonical_host(host)).collect();
        Ok(Self { tls, private_hosts, within: settings.within })
    }

    /// GET. The answer is of any status but a redirect, its body at most `limit` bytes.
    ///
    /// # Errors
    /// [`OutsideError`]: no answer came that may be looked at.
    pub async fn get(
        &self,
        url: &OutsideUrl,
        authorization: Option<&str>,
        limit: usize,
    ) -> Result<OutsideAnswer, OutsideError> {
        self.call(url, Wanted { authorization, json: None, limit }).await
    }

    /// POST of a JSON body. The answer is of any status but a redirect, its body at most `limit` bytes.
    ///
    /// # Errors
    /// [`OutsideError`]: no answer came that may be looked at. The request may have been carried out for all that.
    pub async fn post(
        &self,
        url: &OutsideUrl,
        authorization: Option<&str>,
        json: Zeroizing<Vec<u8>>,
        limit: usize,
    ) -> Result<OutsideAnswer, OutsideError> {
        self.call(url, Wanted { authorization, json: Some(json), limit }).await
    }

    async fn call(&self, url: &OutsideUrl, wanted: Wanted<'_>) -> Result<OutsideAnswer, OutsideError> {
        let whole = async {
            let stream = self.connect(url).await?;
            exchange::exchange(stream, url, wanted).await
        };
        match tokio::time::timeout(self.within, whole).await {
            Ok(result) => result,
            Err(_) => Err(OutsideError::TimedOut { origin: url.origin(), within: self.within }),
        }
    }

    async fn connect(&self, url: &OutsideUrl) -> Result<TlsStream<TcpStream>, OutsideError> {
        let unreachable = |source| OutsideError::Unreachable { origin: url.origin(), source };
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|_| OutsideError::NoServerName { origin: url.origin() })?;
        let connector = TlsConnector::from(self.tls()?);
        // The addresses that were checked are the ones connected to: no name is resolved a second time.
        let addresses = self.addresses(url).await?;
        let mut last = std::io::Error::other("it has no address");
        for address in addresses.into_iter().take(MOST_ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(unreachable)?;
                    let tls = connector.connect(name, stream).await;
                    return tls.map_err(|source| OutsideError::Tls { origin: url.origin(), source });
                }
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// The addresses of a host. One that is not public refuses them all, unless the host is listed.
    async fn addresses(&self, url: &OutsideUrl) -> Result<Vec<SocketAddr>, OutsideError> {
        let found = tokio::net::lookup_host((url.host(), url.port())).await;
        let found = found.map_err(|source| OutsideError::Unresolved { origin: url.origin(), source })?;
        let addresses: Vec<_> = found.collect();
        if self.private_hosts.contains(url.host()) {
            return Ok(addresses);
        }
        match addresses.iter().find(|address| !address::is_public(address.ip())) {
            Some(address) => {
                Err(OutsideError::PrivateAddress { origin: url.origin(), address: address.ip() })
            }
            None => Ok(addresses),
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, OutsideError> {
        if let Some(ready) = self.tls.get() {
            return Ok(Arc::clone(ready));
        }
        let mut roots = RootCertStore::empty();
        // One that cannot be read is one less; none at all is an error.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(OutsideError::NoSystemCas);
        }
        let made = Arc::new(configuration(roots).map_err(OutsideError::Setup)?);
        Ok(Arc::clone(self.tls.get_or_init(|| made)))
    }
}

fn configuration(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    // Named here: nothing in the process chooses another by a default.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
