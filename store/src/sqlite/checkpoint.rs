//! Copies the write-ahead log to the database, on its own thread and connection.
//!
//! A passive checkpoint does not wait for readers or the writer, and they do not wait for it. But SQLite
//! restarts the log's file only when a checkpoint has caught up with the writer, which under steady load
//! never happens by itself. So when the log is long, the writer waits for one checkpoint. Most of the log is
//! then already in the database, and the wait is only for the rest.
//!
//! After a checkpoint the log's file still has its old pages, so what a change destroys stays in it. After such a change
//! the writer waits for a checkpoint that truncates the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::writer::Counters;

/// Frames (pages of 4 KiB) between two checkpoints.
const OFTEN: u32 = 1000;
/// Frames after which the writer waits.
const LONG: u32 = 8 * OFTEN;
/// How soon a truncation is tried again if a reader kept an earlier state.
const RETRY_ERASE: Duration = Duration::from_secs(1);

/// The writer's handle.
pub(super) struct Checkpoints {
    requests: SyncSender<Request>,
    /// Length of the log in frames, after the last commit.
    frames: Arc<AtomicU32>,
    /// Its length when a checkpoint was last requested.
    asked_at: u32,
    /// Its length when the writer last waited for a checkpoint.
    waited_at: u32,
}

enum Request {
    /// At the next opportunity.
    Soon,
    /// The writer waits; drop the sender afterwards.
    Now(SyncSender<()>),
    /// The same, and nothing stays in the log's file.
    Erase(SyncSender<()>),
}

/// Starts the thread. It ends when [`Checkpoints`] is dropped.
pub(super) fn start(
    connection: Connection,
    counters: Arc<Counters>,
) -> std::io::Result<(Checkpoints, JoinHandle<()>)> {
    let (requests, asked) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("store-checkpoint".into())
        .spawn(move || run(&connection, &asked, &counters))?;
    Ok((Checkpoints { requests, frames: Arc::default(), asked_at: 0, waited_at: 0 }, thread))
}

impl Checkpoints {
    /// Observes the log's length on the connection that writes it.
    pub(super) fn watch(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let frames = Arc::clone(&self.frames);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, length| {
            frames.store(u32::try_from(length).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
    }

    /// Waits until what was destroyed is in no file of the store, or until a reader of an earlier state prevents it.
    pub(super) fn erase(&self) {
        self.wait_for(Request::Erase);
    }

    fn wait_for(&self, request: impl FnOnce(SyncSender<()>) -> Request) {
        let (done, wait) = sync_channel(0);
        if self.requests.send(request(done)).is_ok() {
            // The sender is dropped as the answer.
            let _ = wait.recv();
        }
    }

    /// Requests a checkpoint if one is due, and waits for it if the log is long.
    pub(super) fn after_commit(&mut self) {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < self.asked_at {
            // The log was restarted.
            self.asked_at = 0;
            self.waited_at = 0;
        }
        if frames.saturating_sub(self.waited_at) >= LONG {
            self.wait_for(Request::Now);
            self.asked_at = frames;
            self.waited_at = frames;
        } else if frames.saturating_sub(self.asked_at) >= OFTEN
            && self.requests.try_send(Request::Soon).is_ok()
        {
            self.asked_at = frames;
        }
    }
}

/// Copies the whole log and truncates its file. `false`: a reader of an earlier state prevented it.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map(|busy: i64| busy == 0)
}

fn run(connection: &Connection, asked: &Receiver<Request>, counters: &Counters) {
    // Whether something that was destroyed may still be in the log.
    let mut erase_pending = false;
    loop {
        let request = match erase_pending {
            false => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            true => asked.recv_timeout(RETRY_ERASE),
        };
        let done = match request {
            Ok(Request::Soon) | Err(RecvTimeoutError::Timeout) => None,
            Ok(Request::Now(done)) => Some(done),
            Ok(Request::Erase(done)) => {
                erase_pending = true;
                Some(done)
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let outcome = if erase_pending {
            truncate(connection).map(|is_truncated| erase_pending = !is_truncated)
        } else {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        };
        let counter = if outcome.is_ok() && !erase_pending {
            &counters.checkpoints
        } else {
            &counters.checkpoint_failures
        };
        counter.fetch_add(1, Ordering::Relaxed);
        drop(done);
    }
}
