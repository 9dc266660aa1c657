//! The log on real files: writing, the state after a kill or with a full disk, verification.

mod appending;
mod disk;
mod restart;
mod resume;
mod verification;

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use petsem_keys::{AuditMacKey, AuditSigningKey};
use rand_core::{TryCryptoRng, TryRng};
use tempfile::TempDir;

use crate::segment::LineReader;
use crate::{
    AuditEvent, AuditKeys, AuditLog, AuditSettings, Clock, Finding, KnownCheckpoint, Opened, Outcome, Report,
    VerifyKeys, verify_log,
};

pub(super) const NODE: [u8; 16] = [0xab; 16];
/// 2026-11-23T10:00:00Z.
pub(super) const NOON: u64 = 1_795_428_000_000;

/// Keys that are the same in every call.
pub(super) fn keys() -> AuditKeys {
    AuditKeys {
        initial_mac: AuditMacKey::generate(&mut Constant(1)),
        signing: AuditSigningKey::generate(&mut Constant(2)),
        resume: None,
    }
}

/// A directory, a manual clock, and small segments.
pub(super) struct Lab {
    pub(super) settings: AuditSettings,
    clock: Arc<AtomicU64>,
    _directory: TempDir,
}

impl Lab {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            settings: settings(directory.path().join("audit")),
            clock: Arc::new(AtomicU64::new(NOON)),
            _directory: directory,
        }
    }

    /// The same clock and settings with another directory.
    pub(super) fn with_new_directory(&self) -> Self {
        Self { clock: Arc::clone(&self.clock), ..Self::new() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.settings.directory
    }

    pub(super) fn pass(&self, milliseconds: u64) {
        self.clock.fetch_add(milliseconds, Ordering::SeqCst);
    }

    pub(super) fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.clock);
        Arc::new(move || clock.load(Ordering::SeqCst))
    }

    pub(super) fn open(&self) -> Opened {
        AuditLog::open(self.settings.clone(), NODE, Some(keys()), None, self.clock()).unwrap()
    }

    pub(super) fn verify(&self) -> Result<Report, Finding> {
        verify_log(self.directory(), all_keys(None))
    }

    /// Segments that hold lines.
    pub(super) fn used_segments(&self) -> Vec<PathBuf> {
        let all = crate::segment::list(self.directory()).unwrap();
        all.into_iter()
            .map(|(_, path)| path)
            .filter(|path| !crate::segment::is_unused(path).unwrap())
            .collect()
    }

    /// All lines, with their newlines.
    pub(super) fn lines(&self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for path in self.used_segments() {
            let mut reader = LineReader::open(&path, 0).unwrap();
            while let crate::segment::Next::Line(line) = reader.read_next().unwrap() {
                lines.push([line, b"\n"].concat());
            }
        }
        lines
    }

    /// How many lines have this action.
    pub(super) fn count(&self, action: &str) -> usize {
        let field = format!("\"action\":\"{action}\"");
        self.lines().iter().filter(|line| String::from_utf8_lossy(line).contains(&field)).count()
    }
}

fn settings(directory: PathBuf) -> AuditSettings {
    AuditSettings { segment_bytes: 64 << 10, reserve_bytes: 0, ..AuditSettings::new(directory) }
}

pub(super) fn all_keys(expect_at_least: Option<KnownCheckpoint>) -> VerifyKeys {
    let AuditKeys { initial_mac, signing, resume: _ } = keys();
    VerifyKeys {
        initial_mac: Some(initial_mac),
        public: Some(signing.public()),
        expect_at_least,
        sealed_lines: false,
    }
}

pub(super) fn event(number: u64) -> AuditEvent {
    AuditEvent {
        app: Some("0192aaaa-0000-7000-8000-000000000001".into()),
        version: Some(number),
        ..AuditEvent::new(NOON, format!("r-{number}"), "secret.set", Outcome::Allowed)
    }
}

/// An event that takes slightly more than this many bytes.
pub(super) fn long_event(number: u64, bytes: usize) -> AuditEvent {
    AuditEvent { machine: Some("m".repeat(bytes)), ..event(number) }
}

/// Copies the files, as a kill would leave them.
pub(super) fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A fixed byte instead of randomness.
struct Constant(u8);

impl TryRng for Constant {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from(self.0))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.0))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Constant {}
