//! Free space of the directories that a node writes to: people learn that a disk fills up before writes fail.
//!
//! A full disk is no fault of a request, and reads and boots go on for a while: so this is a warning, never a reason not
//! to be ready.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::messages;
use crate::settings::Settings;

/// A directory, and the space that is left on its disk.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DiskSpace {
    /// What it holds: `data` or `audit`.
    pub holds: &'static str,
    /// The directory.
    pub directory: PathBuf,
    /// Bytes that petsem can still write there.
    pub free_bytes: u64,
    /// Whether that is less than `disk.warn_below_mib`.
    pub is_short: bool,
}

/// The disks of a server that runs, as they were seen last.
pub(crate) struct DiskWatch {
    data: PathBuf,
    audit: PathBuf,
    warn_below: u64,
    seen: Mutex<Vec<DiskSpace>>,
}

impl DiskSpace {
    /// What to do about it, if it is short.
    pub(crate) fn warning(&self) -> Option<String> {
        self.is_short.then(|| match self.holds {
            "audit" => messages::audit_disk_short(&self.directory, self.free_bytes),
            _ => messages::data_disk_short(&self.directory, self.free_bytes),
        })
    }
}

impl DiskWatch {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (data, audit) = (settings.data_directory.clone(), settings.audit.directory.clone());
        let watch =
            Self { data, audit, warn_below: settings.disk_warning_bytes, seen: Mutex::new(Vec::new()) };
        watch.look();
        watch
    }

    /// Looks again, and logs each disk that became short, or is not any more.
    pub(crate) fn look(&self) {
        let now = spaces(&self.data, &self.audit, self.warn_below);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for space in &now {
            let was_short = seen.iter().any(|before| before.holds == space.holds && before.is_short);
            let free_bytes = space.free_bytes;
            match (was_short, space.warning()) {
                (false, Some(warning)) => tracing::warn!(free_bytes, "{warning}"),
                (true, None) => {
                    tracing::info!(free_bytes, directory = %space.directory.display(), "the disk has space again");
                }
                _ => {}
            }
        }
        *seen = now;
    }

    pub(crate) fn seen(&self) -> Vec<DiskSpace> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The disks of a node. Without a directory that cannot be examined: a start says what is wrong with it.
pub(crate) fn of_settings(settings: &Settings) -> Vec<DiskSpace> {
    spaces(&settings.data_directory, &settings.audit.directory, settings.disk_warning_bytes)
}

fn spaces(data: &Path, audit: &Path, warn_below: u64) -> Vec<DiskSpace> {
    let space = |(holds, directory): (&'static str, &Path)| {
        let disk = rustix::fs::statvfs(directory).ok()?;
        // For users other than root, who have less.
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        Some(DiskSpace {
            holds,
            directory: directory.to_owned(),
            free_bytes,
            is_short: free_bytes < warn_below,
        })
    };
    [("data", data), ("audit", audit)].into_iter().filter_map(space).collect()
}
