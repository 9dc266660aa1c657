//! The configuration file: every key with its default, in one place.
//!
//! Unknown keys are errors. A test reads the reference file and compares it with the defaults, so the two cannot
//! differ. The errors of this module occur at start only; requests never return them.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use petsem_api::HostId;
use petsem_engine::{EngineSettings, SealSources, UnlockError};
use petsem_outbound::{OriginSettings, OutboundSettings, OutboundUrl};
use petsem_seals::{SealEntry, SealSettings, SealSource};
use serde::Deserialize;

use crate::error::{SettingsError, StartError};
use crate::messages;
use crate::operator::unseal_input::UnsealInput;

/// The settings of `petsem server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This installation's own name: the `aud` that JWTs must carry.
    pub name: String,
    /// The location that this installation's tokens carry.
    pub location: String,
    /// The location of this installation's own discharger.
    pub discharger_location: String,
    /// The store's directory.
    pub data_directory: PathBuf,
    /// The listeners.
    pub listeners: Vec<Listener>,
    /// The seals that open the store, tried in this order.
    pub seals: Vec<SealSettings>,
    /// The name of this node, for people: in the store's row of the node.
    pub node_name: String,
    /// The audit log.
    pub audit: AuditSettings,
    /// Free space of a disk below which the operator is warned, in bytes.
    pub disk_warning_bytes: u64,
    /// Limits.
    pub limits: Limits,
    /// The most keys that a rotation re-wraps in one second.
    pub rewraps_per_second: u32,
    /// The page where a person approves requests to the discharger; `{id}` is replaced by the request's id.
    pub approval_page: Option<String>,
    /// Calls to third parties.
    pub outgoing: OutboundSettings,
    /// The shortest time between two fetches of an issuer's keys that JWTs cause, and the pause after a failed fetch.
    pub refetch_interval: Duration,
    /// Whether a development issuer is accepted. Only `petsem dev` sets it; it has no key in the file.
    pub(crate) development: bool,
    /// Input from people that opens the store. It has no key in the file.
    pub(crate) input: UnsealInput,
}

/// One listener. Without TLS, which petsem does not have yet, only loopback addresses and Unix sockets are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: ListenAddress,
    /// The host whose boots arrive here; without it, this listener accepts no boots.
    pub host: Option<HostId>,
}

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A loopback address and port; port 0 is any free port.
    Tcp(SocketAddr),
    /// A Unix socket, created with mode 0600.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The path of a Unix socket.
    pub fn socket(&self) -> Option<&PathBuf> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp(_) => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The audit log's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Its directory; preferably on another disk than the store.
    pub directory: PathBuf,
    /// Size of one log file, in bytes.
    pub segment_bytes: u64,
    /// Bytes that are preallocated, to be used when the disk is full.
    pub reserve_bytes: u64,
}

/// Limits on the server's work for its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests handled at once; further ones get 503 `busy`.
    pub requests: usize,
    /// Open connections, in equal shares for the listeners.
    pub connections: usize,
    /// Seconds for a request's header, for its body, and for an idle connection.
    pub seconds: u64,
}

impl Settings {
    /// Reads and checks a configuration file. Relative paths are taken from the file's directory.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
        let base = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::from_toml(&text, base)
    }

    /// Reads and checks a configuration text. Relative paths are taken from `base`.
    pub fn from_toml(text: &str, base: &Path) -> Result<Self, SettingsError> {
        let file: File = toml::from_str(text).map_err(|error| SettingsError::Syntax(error.to_string()))?;
        file.check(base)
    }

    /// The same settings with this input from people: if it is not empty, it is tried instead of the configured seals.
    #[must_use]
    pub fn opened_by(self, input: UnsealInput) -> Self {
        Self { input, ..self }
    }

    /// The seals to open the store with.
    pub(crate) fn seal_sources(&self) -> SealSources {
        let configured = self.seals.iter().map(|seal| Arc::new(seal.clone()) as Arc<dyn SealSource>);
        SealSources { configured: configured.collect(), given: self.input.sources() }
    }

    /// The seals of a new installation: a passphrase without a file is the one of the input.
    pub(crate) fn sources_to_create(&self) -> Vec<Arc<dyn SealSource>> {
        let source = |seal: &SealSettings| match (seal, self.input.passphrase()) {
            (SealSettings::Passphrase { file: None }, Some(passphrase)) => passphrase,
            (seal, _) => Arc::new(seal.clone()),
        };
        self.seals.iter().map(source).collect()
    }

    /// Why this store was not unlocked.
    pub(crate) fn unlock_failed(&self, error: UnlockError) -> StartError {
        StartError::of_unlock(error, &self.data_directory)
    }

    /// The part of the settings that the engine needs.
    pub(crate) fn for_engine(&self) -> EngineSettings {
        EngineSettings {
            name: self.name.clone(),
            location: self.location.clone(),
            discharger_location: self.discharger_location.clone(),
            node_name: self.node_name.clone(),
            data_directory: self.data_directory.clone(),
            rewraps_per_second: self.rewraps_per_second,
            approval_page: self.approval_page.clone(),
            refetch_interval: self.refetch_interval,
        }
    }

    /// The location of an installation's own discharger if none is configured.
    pub(crate) fn default_discharger_location(tokens: &str) -> String {
        format!("{tokens}/discharger")
    }

    /// Whether the input has a passphrase.
    pub fn has_passphrase(&self) -> bool {
        self.input.passphrase().is_some()
    }

    /// The reference configuration: every key, its default, and what it is for.
    pub fn reference() -> &'static str {
        REFERENCE
    }
}

/// Kept as text because people read it; a test parses it and compares it with the defaults.
const REFERENCE: &str = include_str!("settings/reference.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    location: String,
    data_directory: PathBuf,
    listener: Vec<ListenerFile>,
    seal: Vec<SealEntry>,
    #[serde(default)]
    node: NodeFile,
    #[serde(default)]
    audit: AuditFile,
    #[serde(default)]
    disk: DiskFile,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    rotation: RotationFile,
    #[serde(default)]
    discharger: DischargerFile,
    #[serde(default)]
    outgoing: OutgoingFile,
    #[serde(default)]
    issuers: IssuersFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerFile {
    address: String,
    host: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NodeFile {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuditFile {
    directory: Option<PathBuf>,
    segment_mib: u64,
    reserve_mib: u64,
}

impl Default for AuditFile {
    fn default() -> Self {
        Self { directory: None, segment_mib: 64, reserve_mib: 256 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DiskFile {
    warn_below_mib: u64,
}

impl Default for DiskFile {
    fn default() -> Self {
        Self { warn_below_mib: DISK_WARNING / MIB }
    }
}

/// The default of `disk.warn_below_mib`, in bytes: a hundred of the largest changes (a bundle and its values, once in the
/// write-ahead log and once in the database), or four files of the audit log.
pub(crate) const DISK_WARNING: u64 = 256 * MIB;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DischargerFile {
    location: String,
    approval_page: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OutgoingFile {
    ca_file: PathBuf,
    private_hosts: Vec<String>,
    seconds: u64,
    origin: Vec<OriginFile>,
}

impl Default for OutgoingFile {
    fn default() -> Self {
        Self { ca_file: PathBuf::new(), private_hosts: Vec::new(), seconds: 5, origin: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginFile {
    url: String,
    proxy: Option<String>,
    bearer_token_file: Option<PathBuf>,
    token_paths: Option<Vec<String>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: 1024, connections: 8192, seconds: 10 }
    }
}

/// The most that a small machine can re-wrap without slowing down its boots.
pub(crate) const REWRAPS_PER_SECOND: u32 = 2000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RotationFile {
    rewraps_per_second: u32,
}

impl Default for RotationFile {
    fn default() -> Self {
        Self { rewraps_per_second: REWRAPS_PER_SECOND }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IssuersFile {
    refetch_seconds: u64,
}

impl Default for IssuersFile {
    fn default() -> Self {
        Self { refetch_seconds: REFETCH_INTERVAL.as_secs() }
    }
}

/// The default of `issuers.refetch_seconds`.
pub(crate) const REFETCH_INTERVAL: Duration = Duration::from_secs(5);

const MIB: u64 = 1024 * 1024;

impl File {
    fn check(self, base: &Path) -> Result<Settings, SettingsError> {
        let name_fits =
            (1..=200).contains(&self.name.len()) && self.name.bytes().all(|byte| byte.is_ascii_graphic());
        if !name_fits {
            return Err(messages::invalid_name(&self.name));
        }
        if !is_location(&self.location) {
            return Err(messages::invalid_location(&self.location));
        }
        let location = self.location.trim_end_matches('/').to_owned();
        if self.listener.is_empty() {
            return Err(messages::no_listener());
        }
        if self.seal.is_empty() {
            return Err(messages::no_seal());
        }
        let data_directory = base.join(&self.data_directory);
        let node_name = self.node.check()?;
        let audit = self.audit.check(base, &data_directory)?;
        let disk_warning_bytes = self.disk.check()?;
        let limits = self.limits.checked()?;
        let rewraps_per_second = self.rotation.check()?;
        let (discharger_location, approval_page) = self.discharger.check(&location)?;
        let outgoing = self.outgoing.check(base)?;
        let refetch_interval = self.issuers.check()?;
        let listeners =
            self.listener.into_iter().map(|listener| listener.check(base)).collect::<Result<Vec<_>, _>>()?;
        let seals = self.seal.into_iter().map(|seal| seal.check(base)).collect::<Result<Vec<_>, _>>()?;
        check_distinct(&listeners)?;
        check_home("data_directory", [&data_directory])?;
        check_home("audit.directory", [&audit.directory])?;
        check_home("listener.address", listeners.iter().filter_map(|listener| listener.address.socket()))?;
        check_home("seal", seals.iter().filter_map(SealSettings::file))?;
        Ok(Settings {
            name: self.name,
            location,
            discharger_location,
            data_directory,
            listeners,
            seals,
            node_name,
            audit,
            disk_warning_bytes,
            limits,
            rewraps_per_second,
            approval_page,
            outgoing,
            refetch_interval,
            development: false,
            input: UnsealInput::default(),
        })
    }
}

/// Two listeners on one address: the second could never be opened. Port 0 is another one each time.
fn check_distinct(listeners: &[Listener]) -> Result<(), SettingsError> {
    let mut seen = Vec::new();
    for Listener { address, .. } in listeners {
        let is_any_port = matches!(address, ListenAddress::Tcp(address) if address.port() == 0);
        if !is_any_port && seen.contains(&address) {
            return Err(messages::listener_twice(&address.to_string()));
        }
        seen.push(address);
    }
    Ok(())
}

/// A shell replaces `~`, and a file's reader does not: it would be a directory of that name.
fn check_home<'p>(
    key: &'static str,
    paths: impl IntoIterator<Item = &'p PathBuf>,
) -> Result<(), SettingsError> {
    match paths.into_iter().find(|path| path.iter().any(|part| part == "~")) {
        Some(path) => Err(messages::path_of_shell(key, path)),
        None => Ok(()),
    }
}

impl ListenerFile {
    fn check(self, base: &Path) -> Result<Listener, SettingsError> {
        let host = match self.host {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| messages::invalid_listener_host(&text))?),
        };
        let address = if let Some(path) = self.address.strip_prefix("unix:") {
            ListenAddress::Unix(base.join(path))
        } else {
            let address: SocketAddr =
                self.address.parse().map_err(|_| messages::invalid_listener_address(&self.address))?;
            if !address.ip().is_loopback() {
                return Err(messages::listener_needs_tls(&self.address));
            }
            ListenAddress::Tcp(address)
        };
        Ok(Listener { address, host })
    }
}

impl NodeFile {
    fn check(self) -> Result<String, SettingsError> {
        if self.name.is_empty() {
            return Ok(Settings::default_node_name());
        }
        if is_node_name(&self.name) { Ok(self.name) } else { Err(messages::invalid_node_name(&self.name)) }
    }
}

fn is_node_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl AuditFile {
    fn check(self, base: &Path, data: &Path) -> Result<AuditSettings, SettingsError> {
        if !(1..=4096).contains(&self.segment_mib) {
            return Err(messages::invalid_segment_size(self.segment_mib));
        }
        if self.reserve_mib > 65_536 {
            return Err(messages::invalid_reserve_size(self.reserve_mib));
        }
        Ok(AuditSettings {
            directory: self.directory.map_or_else(|| data.join("audit"), |path| base.join(path)),
            segment_bytes: self.segment_mib * MIB,
            reserve_bytes: self.reserve_mib * MIB,
        })
    }
}

impl DiskFile {
    fn check(self) -> Result<u64, SettingsError> {
        if self.warn_below_mib > 1 << 30 {
            return Err(messages::invalid_disk_warning(self.warn_below_mib));
        }
        Ok(self.warn_below_mib * MIB)
    }
}

/// Whether tokens can carry this location.
fn is_location(text: &str) -> bool {
    text.len() <= 200
        && (text.starts_with("https://") || text.starts_with("http://"))
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

impl DischargerFile {
    /// Its location and the page. `tokens` is the location of tokens: a header tells tokens and discharges apart by it.
    fn check(self, tokens: &str) -> Result<(String, Option<String>), SettingsError> {
        let location = match self.location.trim_end_matches('/') {
            "" => Settings::default_discharger_location(tokens),
            written if is_location(written) && written != tokens => written.to_owned(),
            written => return Err(messages::invalid_discharger_location(written)),
        };
        let page = self.approval_page;
        if page.is_empty() {
            return Ok((location, None));
        }
        let fits = (page.starts_with("https://") || page.starts_with("http://"))
            && page.len() <= 500
            && page.bytes().all(|byte| byte.is_ascii_graphic())
            && page.matches("{id}").count() == 1;
        if !fits {
            return Err(messages::invalid_approval_page(&page));
        }
        Ok((location, Some(page)))
    }
}

impl RotationFile {
    fn check(self) -> Result<u32, SettingsError> {
        let rate = self.rewraps_per_second;
        if (1..=1_000_000).contains(&rate) {
            return Ok(rate);
        }
        Err(messages::invalid_rewrap_rate(rate))
    }
}

impl OutgoingFile {
    fn check(self, base: &Path) -> Result<OutboundSettings, SettingsError> {
        if !(1..=60).contains(&self.seconds) {
            return Err(messages::invalid_fetch_seconds(self.seconds));
        }
        for host in &self.private_hosts {
            let is_host = (1..=255).contains(&host.len())
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
            // An entry with a port would never match: hosts are compared without ports.
            let has_port = host.matches(':').count() == 1;
            if !is_host || has_port {
                return Err(messages::invalid_private_host(host));
            }
        }
        let mut origins: Vec<OriginSettings> = Vec::new();
        for origin in self.origin {
            let origin = origin.check(base)?;
            if origins.iter().any(|other| other.url.origin() == origin.url.origin()) {
                return Err(messages::origin_twice(&origin.url.origin()));
            }
            origins.push(origin);
        }
        Ok(OutboundSettings {
            ca_file: (!self.ca_file.as_os_str().is_empty()).then(|| base.join(&self.ca_file)),
            private_hosts: self.private_hosts,
            origins,
            within: Duration::from_secs(self.seconds),
        })
    }
}

impl OriginFile {
    fn check(self, base: &Path) -> Result<OriginSettings, SettingsError> {
        let url = self.url.parse::<OutboundUrl>().ok().filter(|url| url.target() == "/");
        let url = url.ok_or_else(|| messages::invalid_origin(&self.url))?;
        let proxy = match self.proxy {
            Some(text) => Some(text.parse().map_err(|_| messages::invalid_proxy(&text))?),
            None => None,
        };
        let bearer_token_file = self.bearer_token_file.map(|path| base.join(path));
        check_home("outgoing.origin.bearer_token_file", &bearer_token_file)?;
        let default_paths = || OriginSettings::TOKEN_PATHS.map(str::to_owned).to_vec();
        let token_paths = self.token_paths.unwrap_or_else(default_paths);
        Ok(OriginSettings { url, proxy, bearer_token_file, token_paths })
    }
}

impl IssuersFile {
    fn check(self) -> Result<Duration, SettingsError> {
        let seconds = self.refetch_seconds;
        if (1..=300).contains(&seconds) {
            return Ok(Duration::from_secs(seconds));
        }
        Err(messages::invalid_refetch_seconds(seconds))
    }
}

impl Settings {
    /// The name of a node that the configuration does not name: the host's, if it fits.
    pub(crate) fn default_node_name() -> String {
        let host = rustix::system::uname().nodename().to_str().unwrap_or_default().to_owned();
        if is_node_name(&host) { host } else { "node-1".to_owned() }
    }

    /// The default settings for calls to third parties.
    pub(crate) fn default_outgoing() -> OutboundSettings {
        let OutgoingFile { seconds, .. } = OutgoingFile::default();
        OutboundSettings {
            ca_file: None,
            private_hosts: Vec::new(),
            origins: Vec::new(),
            within: Duration::from_secs(seconds),
        }
    }
}

impl Limits {
    fn checked(self) -> Result<Self, SettingsError> {
        if !(1..=100_000).contains(&self.requests) {
            return Err(messages::invalid_request_limit(self.requests));
        }
        if !(1..=1_000_000).contains(&self.connections) {
            return Err(messages::invalid_connection_limit(self.connections));
        }
        if !(1..=600).contains(&self.seconds) {
            return Err(messages::invalid_time_limit(self.seconds));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        name = "test"
        location = "https://petsem.test"
        data_directory = "data"
        [[listener]]
        address = "127.0.0.1:0"
        [[seal]]
        kind = "key-file"
        path = "key"
    "#;

    #[test]
    fn the_reference_has_the_defaults() {
        let reference = Settings::from_toml(Settings::reference(), Path::new("/etc/petsem")).unwrap();
        let uncommented: String = Settings::reference()
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_ne!(uncommented, Settings::reference());
        assert_eq!(Settings::from_toml(&uncommented, Path::new("/etc/petsem")).unwrap(), reference);
    }

    #[test]
    fn a_node_without_a_name_has_the_hosts() {
        let name = |with: &str| {
            let settings = Settings::from_toml(&format!("{SMALL}{with}"), Path::new("/base"));
            settings.map(|settings| settings.node_name).map_err(|error| error.to_string())
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(name(""), Ok(host.trim_end().to_owned()));
        assert_eq!(name("[node]\nname = \"eu-1\""), Ok("eu-1".to_owned()));
        for invalid in ["a b", "ä", &"n".repeat(65)] {
            let error = name(&format!("[node]\nname = \"{invalid}\"")).unwrap_err();
            assert!(error.contains("`node.name` is") && error.contains("give 1 to 64 of"), "{error}");
        }
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let settings = Settings::from_toml(SMALL, Path::new("/base")).unwrap();
        assert_eq!(settings.data_directory, Path::new("/base/data"));
        assert_eq!(settings.audit.directory, Path::new("/base/data/audit"));
        assert_eq!(settings.seals, [SealSettings::KeyFile { path: "/base/key".into() }]);
    }

    #[test]
    fn errors_name_the_key_the_value_and_the_remedy() {
        let error = |from: &str, to: &str| {
            Settings::from_toml(&SMALL.replace(from, to), Path::new("/")).unwrap_err().to_string()
        };
        assert!(error("127.0.0.1:0", "0.0.0.0:8200").starts_with(
            "the configuration key `listener.address` is \"0.0.0.0:8200\": this build has no TLS yet"
        ));
        assert!(
            error("127.0.0.1:0", "localhost")
                .contains("`listener.address` is \"localhost\": give ADDRESS:PORT")
        );
        assert!(error("name = \"test\"", "name = \"a b\"").contains("`name` is \"a b\""));
        assert!(error("data_directory", "data_dir").contains("unknown field `data_dir`"));
        assert!(error("key-file", "pkcs12").contains("unknown variant `pkcs12`"));
        assert!(error("location = \"https://petsem.test\"", "location = \"ftp://x\"").contains("`location`"));
        for page in ["https://console.example/approve", "ftp://x/{id}", "https://x/{id}/{id}"] {
            let with = format!("[discharger]\napproval_page = \"{page}\"\n[[seal]]");
            assert!(error("[[seal]]", &with).contains("`discharger.approval_page`"), "{page}");
        }
        for host in ["", "https://keys.internal", "keys.internal:8443", "a b"] {
            let with = format!("[outgoing]\nprivate_hosts = [\"{host}\"]\n[[seal]]");
            assert!(error("[[seal]]", &with).contains("`outgoing.private_hosts`"), "{host}");
        }
        assert!(
            error("[[seal]]", "[outgoing]\nseconds = 61\n[[seal]]").contains("`outgoing.seconds` is \"61\"")
        );
        assert!(
            error("[[seal]]", "[issuers]\nrefetch_seconds = 0\n[[seal]]")
                .contains("`issuers.refetch_seconds` is \"0\": give 1 to 300")
        );
    }

    #[test]
    fn the_location_of_the_discharger_follows_that_of_tokens_unless_it_is_set() {
        let locations = |with: &str| {
            let text = SMALL.replace("https://petsem.test", "https://api.fly.io/v1/") + with;
            let settings = Settings::from_toml(&text, Path::new("/"));
            settings
                .map(|settings| (settings.location, settings.discharger_location))
                .map_err(|error| error.to_string())
        };
        let both = |one: &str, other: &str| Ok((one.to_owned(), other.to_owned()));
        let fly = "https://api.fly.io/v1";
        assert_eq!(locations(""), both(fly, "https://api.fly.io/v1/discharger"));
        assert_eq!(
            locations("[discharger]\nlocation = \"https://petsem.test/\""),
            both(fly, "https://petsem.test")
        );
        for invalid in ["petsem.test", "https://a,b", fly] {
            let error = locations(&format!("[discharger]\nlocation = \"{invalid}\"")).unwrap_err();
            assert!(error.contains("`discharger.location` is") && error.contains("give the URL"), "{error}");
        }
    }

    #[test]
    fn outgoing_settings_are_read_and_have_defaults() {
        let with = SMALL.to_owned()
            + "[outgoing]\nca_file = \"ca.pem\"\nprivate_hosts = [\"keys.internal\", \"::1\"]\nseconds = 2\n\
               [[outgoing.origin]]\nurl = \"https://kubernetes.default.svc\"\n\
               proxy = \"http://proxy.internal:3128\"\nbearer_token_file = \"k8s.token\"\n";
        let settings = Settings::from_toml(&with, Path::new("/base")).unwrap();
        let expected = OutboundSettings {
            ca_file: Some("/base/ca.pem".into()),
            private_hosts: vec!["keys.internal".to_owned(), "::1".to_owned()],
            origins: vec![OriginSettings {
                url: "https://kubernetes.default.svc".parse().unwrap(),
                proxy: Some("http://proxy.internal:3128".parse().unwrap()),
                bearer_token_file: Some("/base/k8s.token".into()),
                token_paths: vec![
                    "/.well-known/openid-configuration".to_owned(),
                    "/openid/v1/jwks".to_owned(),
                ],
            }],
            within: Duration::from_secs(2),
        };
        assert_eq!(settings.outgoing, expected);
        let settings = Settings::from_toml(SMALL, Path::new("/base")).unwrap();
        assert_eq!(settings.outgoing, Settings::default_outgoing());
    }

    #[test]
    fn settings_of_an_origin_that_cannot_be_used_are_refused() {
        let error = |with: &str| {
            let text = format!("{SMALL}[[outgoing.origin]]\n{with}");
            Settings::from_toml(&text, Path::new("/")).unwrap_err().to_string()
        };
        for url in ["http://x.example", "https://x.example/keys", "https://a@x.example", "x"] {
            assert!(error(&format!("url = {url:?}\n")).contains("`outgoing.origin.url` is"), "{url}");
        }
        for proxy in ["https://p:1", "p:1", "http://a:b@p:1"] {
            let with = format!("url = \"https://x.example\"\nproxy = {proxy:?}\n");
            assert!(error(&with).contains("`outgoing.origin.proxy` is"), "{proxy}");
        }
        let twice = "url = \"https://x.example\"\n[[outgoing.origin]]\nurl = \"https://X.example:443\"\n";
        assert!(error(twice).contains("two entries have this origin"), "{}", error(twice));
    }
}
