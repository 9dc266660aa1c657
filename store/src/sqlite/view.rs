//! Reads a store that another process holds.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::{failure, open, read};
use crate::error::{OpenError, ReadError};
use crate::record::{Record, RecordKind};

/// Reads rows of a data directory while another process serves it. It takes no lock, creates no file and
/// cannot write.
pub struct SqliteView(Connection);

impl SqliteView {
    /// Opens the database of a data directory.
    ///
    /// # Errors
    /// [`OpenError`]; it names the path.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let database = directory.join("petsem.db");
        if let Err(source) = std::fs::metadata(&database) {
            return Err(OpenError::Storage { path: database, source: Arc::new(source) });
        }
        open::reader_of(&database).map(Self)
    }

    /// The row of this kind and id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn record(&self, kind: RecordKind, id: &[u8]) -> Result<Option<Record>, ReadError> {
        read::record(&self.0, kind, id).map_err(failure::read)
    }

    /// Rows of a kind in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn records(&self, kind: RecordKind, limit: u32) -> Result<Vec<Record>, ReadError> {
        read::records(&self.0, kind, &[], None, limit).map_err(failure::read)
    }
}

#[cfg(test)]
mod tests {
    use petsem_api::RequestId;

    use super::*;
    use crate::change::{Change, RequestAudit};
    use crate::sqlite::{SqliteOptions, SqliteStore};
    use crate::store::Store;

    #[tokio::test]
    async fn a_view_sees_the_changes_of_the_process_that_holds_the_store() {
        let directory = tempfile::tempdir().unwrap();
        assert!(SqliteView::open(directory.path()).is_err());
        let rng = rand_core::UnwrapErr(getrandom::SysRng);
        let store = SqliteStore::open(&SqliteOptions::new(directory.path()), Box::new(rng)).unwrap();
        let record = Record {
            kind: RecordKind::Seal,
            id: vec![1],
            row_version: 1,
            content: b"content".to_vec(),
            mac: vec![0; 32],
        };
        let audit =
            RequestAudit { node: [0; 16], request_id: RequestId::from_bytes([1; 16]), line: Vec::new() };
        let mut change = Change::new(audit);
        change.puts.push(record.clone());
        store.commit(change).await.unwrap();

        let view = SqliteView::open(directory.path()).unwrap();
        assert_eq!(view.record(RecordKind::Seal, &[1]).unwrap(), Some(record.clone()));
        assert_eq!(view.record(RecordKind::Seal, &[2]).unwrap(), None);
        assert_eq!(view.records(RecordKind::Seal, 10).unwrap(), [record]);
        assert_eq!(view.records(RecordKind::Org, 10).unwrap(), []);
        store.close().await.unwrap();
    }
}
