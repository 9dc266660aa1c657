//! Read-only connections, two for each core, at most 64. With up to 32 cores, the threads of boots wait for no
//! connection that a thread of other requests uses. A thread prefers its last connection, whose cache has its pages.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;

use super::open::{self, Place};
use super::{failure, lock};
use crate::error::{OpenError, ReadError};

/// More connections only cost memory.
const MOST: usize = 64;
/// The page caches of all connections, in KiB: shared evenly, but each has at least [`LEAST_CACHE`].
const CACHES: i32 = 16 * 1024;
/// Page cache of a connection where there are many, in KiB.
const LEAST_CACHE: i32 = 2 * 1024;

thread_local! {
    static PREFERRED: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

pub(super) struct Readers {
    /// `None` after the store is closed.
    connections: Vec<Mutex<Option<Connection>>>,
}

impl Readers {
    pub(super) fn open(place: &Place) -> Result<Self, OpenError> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).saturating_mul(2).min(MOST);
        let cache = i32::try_from(count).map_or(LEAST_CACHE, |count| (CACHES / count).max(LEAST_CACHE));
        let connections = (0..count)
            .map(|_| open::reader(place, cache).map(|connection| Mutex::new(Some(connection))))
            .collect::<Result<_, _>>()?;
        Ok(Self { connections })
    }

    /// Runs one read on a connection that no other read uses meanwhile.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let first = PREFERRED.with(|preferred| *preferred) % self.connections.len().max(1);
        let (before, from) = self.connections.split_at(first);
        let free = from.iter().chain(before).find_map(|slot| slot.try_lock().ok());
        let mut slot = match (free, from.first()) {
            (Some(slot), _) => slot,
            (None, Some(preferred)) => lock(preferred),
            (None, None) => return Err(ReadError::Unavailable),
        };
        let connection = slot.as_mut().ok_or(ReadError::Unavailable)?;
        read(connection).map_err(failure::read)
    }

    pub(super) fn close(&self) {
        for slot in &self.connections {
            drop(lock(slot).take());
        }
    }
}
