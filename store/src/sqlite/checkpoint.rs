//! Moves the write-ahead log into the database, on its own thread and connection.
//!
//! A passive checkpoint waits for no reader or writer, and none waits for it. But SQLite starts the log's file from its
//! beginning again only when a checkpoint has caught up with the writer, which under steady load never
//! happens by itself; so when the log has grown long the writer waits for one checkpoint. By then most of the
//! log is in the database, and the wait is for the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::writer::Counters;

/// Frames (pages of 4 KiB) that are written between two checkpoints.
const OFTEN: u32 = 1000;
/// Frames at which the writer waits.
const LONG: u32 = 8 * OFTEN;

/// The writer's end.
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
    /// When you come to it.
    Soon,
    /// The writer waits; drop the sender when it is done.
    Now(SyncSender<()>),
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
    /// Learns the log's length from the connection that writes it.
    pub(super) fn watch(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let frames = Arc::clone(&self.frames);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, length| {
            frames.store(u32::try_from(length).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
    }

    /// Asks for a checkpoint if it is time, and waits for it if the log is long.
    pub(super) fn after_commit(&mut self) {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < self.asked_at {
            // The log began again.
            self.asked_at = 0;
            self.waited_at = 0;
        }
        if frames.saturating_sub(self.waited_at) >= LONG {
            let (done, wait) = sync_channel(0);
            if self.requests.send(Request::Now(done)).is_ok() {
                // The answer is that the sender is gone.
                let _ = wait.recv();
            }
            self.asked_at = frames;
            self.waited_at = frames;
        } else if frames.saturating_sub(self.asked_at) >= OFTEN
            && self.requests.try_send(Request::Soon).is_ok()
        {
            self.asked_at = frames;
        }
    }
}

/// Moves all of the log and truncates its file. For closing, when there are no readers.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn run(connection: &Connection, asked: &Receiver<Request>, counters: &Counters) {
    while let Ok(request) = asked.recv() {
        let counter = match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            Ok(()) => &counters.checkpoints,
            Err(_) => &counters.checkpoint_failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match request {
            Request::Soon => {}
            Request::Now(done) => drop(done),
        }
    }
}
