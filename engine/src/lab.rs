//! An engine for tests: a real store in a temporary directory, a seal in memory, no socket.

mod demo;

use std::path::PathBuf;
use std::sync::Arc;

use petsem_audit::{AuditLog, AuditSettings, set_aside};
use petsem_keys::{CreatedSeal, Seal, SealContext, SealError, SealKey, SealSource, SealUnavailable};
use petsem_store::{Record, RecordKind, SqliteOptions, SqliteStore, Store};
use rand_core::CryptoRng;
use tempfile::TempDir;

use crate::clock::Timestamp;
use crate::control::state::{Control, ControlSource};
use crate::engine::{Engine, EngineParts, EngineSettings};
use crate::entropy;
use crate::fetch::{Fetch, FetchRefusal, Fetched};
use crate::installation::create_installation;
use crate::keyring::node_keys::{begin_new_chain, create_node, node_keys};
use crate::keyring::state::KeyringState;
use crate::keyring::unlock::{SealSources, Unlocked, unlock};
use crate::verify::{StoreReport, verify_store};

pub(crate) use demo::{Demo, HOST, ISSUER, app_ref, appended, body, code, flyv1, issuer, policy};

/// A seal whose key is known.
#[derive(Debug)]
struct KnownSeal;

impl Seal for KnownSeal {
    fn kind(&self) -> &'static str {
        "known"
    }

    fn describe(&self) -> String {
        "the seal of the tests".to_owned()
    }

    fn new_key(
        &self,
        _rng: &mut dyn CryptoRng,
        context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError> {
        self.find_key(&[], context).map(|(key, _)| (Vec::new(), key))
    }

    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        _context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError> {
        let key = SealKey::filled_by(|key| {
            key.fill(7);
            Ok::<_, SealError>(())
        })?;
        Ok((key, wrapped))
    }
}

impl SealSource for KnownSeal {
    fn kind(&self) -> &'static str {
        "known"
    }

    fn is_automatic(&self) -> bool {
        true
    }

    fn is_retryable(&self) -> bool {
        true
    }

    fn open(&self) -> Result<Option<Box<dyn Seal>>, SealUnavailable> {
        Ok(Some(Box::new(Self)))
    }

    fn create(&self, _rng: &mut dyn CryptoRng) -> Result<Option<CreatedSeal>, SealUnavailable> {
        Ok(Some(CreatedSeal { seal: Box::new(Self), shares: Vec::new() }))
    }
}

/// Refuses every fetch.
struct NoNetwork;

impl Fetch for NoNetwork {
    fn origin(&self, url: &str) -> Result<String, FetchRefusal> {
        Err(format!("{url} cannot be fetched in this test").into())
    }

    fn get<'a>(
        &'a self,
        url: &'a str,
        _limit: usize,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Fetched, FetchRefusal>> + Send + 'a>> {
        Box::pin(async move { Err(format!("{url} cannot be fetched in this test").into()) })
    }
}

/// An installation on disk, and the engine on it.
pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) node: [u8; 16],
    directory: TempDir,
}

impl Lab {
    /// A new installation.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open_store(&directory);
        let sources: [Arc<dyn SealSource>; 1] = [Arc::new(KnownSeal)];
        let location = settings(&directory).discharger_location;
        let now = Timestamp::now().millis();
        let unlocked =
            create_installation(&*store, &sources, &location, false, now, &mut |_| Ok(())).await.unwrap();
        let (node, _) = create_node(&*store, &unlocked, "node-1", now, None).await.unwrap();
        drop(unlocked);
        store.close().await.unwrap();
        Self::open(directory, node).await
    }

    /// The same installation, after a stop and a start.
    pub(crate) async fn restarted(self) -> Self {
        let Self { engine, node, directory } = self;
        // The test may have closed it.
        let _closed = engine.close_audit().await;
        engine.store.close().await.unwrap();
        drop(engine);
        Self::open(directory, node).await
    }

    /// The same installation after its audit log was lost and the loss accepted.
    pub(crate) async fn with_lost_log(self) -> Self {
        let Self { engine, node, directory } = self;
        engine.store.close().await.unwrap();
        drop(engine);
        let moved = set_aside(&directory.path().join("audit"), 1).unwrap().unwrap();
        let store = open_store(&directory);
        let sources = SealSources { configured: vec![Arc::new(KnownSeal)], given: Vec::new() };
        let unlocked = unlock(&sources, &*store).await.unwrap();
        let now = Timestamp::now().millis();
        begin_new_chain(&*store, &unlocked, node, None, moved.last_segment, now).await.unwrap();
        store.close().await.unwrap();
        Self::open(directory, node).await
    }

    /// A row as it is stored.
    pub(crate) async fn store_record(&self, kind: RecordKind, id: &[u8]) -> Record {
        self.engine.store.record(kind, id).await.unwrap().unwrap()
    }

    /// Whether the seal opens the store as it is now.
    pub(crate) async fn opens(&self) -> Result<(), String> {
        let sources = SealSources { configured: vec![Arc::new(KnownSeal)], given: Vec::new() };
        unlock(&sources, &*self.engine.store).await.map(drop).map_err(|error| error.to_string())
    }

    /// The same store and its node, without an engine.
    pub(crate) async fn stopped(self) -> StoppedLab {
        let Self { engine, node, directory } = self;
        let _closed = engine.close_audit().await;
        engine.store.close().await.unwrap();
        drop(engine);
        StoppedLab { store: open_store(&directory), node, directory }
    }

    /// The control state as another node of the same store reads it first.
    pub(crate) async fn other_node(&self) -> Control {
        let sources = SealSources { configured: vec![Arc::new(KnownSeal)], given: Vec::new() };
        let store = Arc::clone(&self.engine.store);
        let Unlocked { store_id, root, keyring, codec, .. } = unlock(&sources, &*store).await.unwrap();
        let keys = Arc::new(KeyringState::new(root, keyring));
        let source = ControlSource::new(store, Arc::new(NoNetwork), Arc::new(codec), keys, store_id);
        Control::before_all(source).advanced().await.unwrap().unwrap()
    }

    /// Stops, and verifies the store against the audit log.
    pub(crate) async fn verified(self) -> StoreReport {
        let Self { engine, node, directory } = self;
        engine.store.close().await.unwrap();
        drop(engine);
        let store = open_store(&directory);
        let sources = SealSources { configured: vec![Arc::new(KnownSeal)], given: Vec::new() };
        let unlocked = unlock(&sources, &*store).await.unwrap();
        let keys = node_keys(&*store, &unlocked, node).await.unwrap().unwrap();
        verify_store(&*store, &unlocked, Some((keys, &directory.path().join("audit")))).await.unwrap()
    }

    async fn open(directory: TempDir, node: [u8; 16]) -> Self {
        let store = open_store(&directory);
        let sources = SealSources { configured: vec![Arc::new(KnownSeal)], given: Vec::new() };
        let unlocked = unlock(&sources, &*store).await.unwrap();
        let keys = node_keys(&*store, &unlocked, node).await.unwrap().unwrap();
        let mut audit_settings = AuditSettings::new(directory.path().join("audit"));
        audit_settings.segment_bytes = 1 << 20;
        audit_settings.reserve_bytes = 1 << 20;
        let clock = Arc::new(|| Timestamp::now().millis());
        let opened = AuditLog::open(audit_settings, node, Some(keys.keys), keys.checkpoint, clock).unwrap();
        let parts = EngineParts {
            settings: settings(&directory),
            store,
            unlocked,
            node,
            audit: opened.log,
            fetch: Arc::new(NoNetwork),
        };
        let engine = Engine::start(parts).await.unwrap();
        engine.recover_lines(&opened.tail.request_ids).await.unwrap();
        Self { engine, node, directory }
    }
}

/// An installation without an engine.
pub(crate) struct StoppedLab {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) node: [u8; 16],
    directory: TempDir,
}

impl StoppedLab {
    /// The file of the store.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("data/petsem.db")
    }

    /// The keys of the store.
    pub(crate) async fn unlocked(&self) -> Unlocked {
        let sources = SealSources { configured: vec![Arc::new(KnownSeal)], given: Vec::new() };
        unlock(&sources, &*self.store).await.unwrap()
    }

    /// The installation, started with a new chain of its audit log.
    pub(crate) async fn with_new_chain(self) -> Lab {
        let moved = set_aside(&self.directory.path().join("audit"), 1).unwrap().unwrap();
        let (unlocked, now) = (self.unlocked().await, Timestamp::now().millis());
        begin_new_chain(&*self.store, &unlocked, self.node, None, moved.last_segment, now).await.unwrap();
        self.started().await
    }

    /// The installation, started.
    pub(crate) async fn started(self) -> Lab {
        self.store.close().await.unwrap();
        Lab::open(self.directory, self.node).await
    }
}

fn settings(directory: &TempDir) -> EngineSettings {
    EngineSettings {
        name: "petsem.test".to_owned(),
        location: "https://petsem.test".to_owned(),
        discharger_location: "https://petsem.test/discharger".to_owned(),
        node_name: "node-1".to_owned(),
        data_directory: directory.path().join("data"),
        rewraps_per_second: 1000,
        refetch_interval: std::time::Duration::from_secs(5),
        approval_page: None,
    }
}

fn open_store(directory: &TempDir) -> Arc<dyn Store> {
    let options = SqliteOptions::new(directory.path().join("data"));
    Arc::new(SqliteStore::open(&options, Box::new(entropy::rng())).unwrap())
}
