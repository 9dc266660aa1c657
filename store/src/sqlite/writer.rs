//! The only writer. It commits all waiting changes in one transaction, and answers after one fsync, which they share under
//! load. If one of them cannot be written, the transaction is written again, with a savepoint for each change.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand_core::CryptoRng;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::checkpoint::Checkpoints;
use super::{apply, failure, lock};
use crate::change::{Change, Committed};
use crate::clock;
use crate::error::CommitError;
use crate::store::StoreStats;

/// Changes in one transaction: beyond some hundreds, the fsync no longer dominates the cost.
const GROUP: usize = 256;
/// Approximate bytes in one transaction, so that its pages stay in the cache.
const GROUP_BYTES: usize = 8 << 20;

/// Revisions between two prunings of old marks.
const PRUNED_EVERY: u64 = 64;

/// The result of one change.
pub(super) type Answer = Result<Committed, CommitError>;

/// A waiting change.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) answer: oneshot::Sender<Answer>,
    /// Its share of the memory for waiting changes.
    pub(super) _room: OwnedSemaphorePermit,
}

/// The newest revision that this process found at its start, or wrote. No other process writes this file, so a row with
/// a higher number is not a node's.
pub(super) struct Newest(Mutex<Option<Committed>>);

impl Newest {
    pub(super) fn at_start(newest: Option<Committed>) -> Self {
        Self(Mutex::new(newest))
    }

    pub(super) fn get(&self) -> Option<Committed> {
        *lock(&self.0)
    }

    fn revision(&self) -> u64 {
        self.get().map_or(0, |committed| committed.revision)
    }

    fn set(&self, newest: Committed) {
        *lock(&self.0) = Some(newest);
    }
}

pub(super) struct Writer {
    connection: Connection,
    jobs: mpsc::Receiver<Job>,
    rng: Box<dyn CryptoRng + Send>,
    newest: Arc<Newest>,
    checkpoints: Checkpoints,
    audited: Arc<Audited>,
    counters: Arc<Counters>,
}

impl Writer {
    pub(super) fn new(
        mut connection: Connection,
        jobs: mpsc::Receiver<Job>,
        rng: Box<dyn CryptoRng + Send>,
        newest: Arc<Newest>,
        checkpoints: Checkpoints,
        audited: Arc<Audited>,
        counters: Arc<Counters>,
    ) -> rusqlite::Result<Self> {
        checkpoints.watch(&mut connection)?;
        Ok(Self { connection, jobs, rng, newest, checkpoints, audited, counters })
    }

    /// Runs until the store is closed and the queue is empty; returns the connection for the last checkpoint.
    pub(super) fn run(mut self) -> Connection {
        while let Some(first) = self.jobs.blocking_recv() {
            let mut bytes = first.change.size();
            let mut group = vec![first];
            while group.len() < GROUP && bytes < GROUP_BYTES {
                let Ok(job) = self.jobs.try_recv() else { break };
                bytes += job.change.size();
                group.push(job);
            }
            self.commit(group);
            self.checkpoints.after_commit();
        }
        // If this fails, the next start finds the lines in the audit log.
        let _ = self.transact(&[]);
        self.connection
    }

    fn commit(&mut self, group: Vec<Job>) {
        let started = clock::now();
        let outcome = self.transact(&group);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        match outcome {
            Ok(answers) => {
                self.counters.group(&answers, micros);
                for (job, answer) in group.into_iter().zip(answers) {
                    // A caller that no longer waits does not cancel its change.
                    let _ = job.answer.send(answer);
                }
            }
            Err(error) => {
                self.counters
                    .failures
                    .fetch_add(u64::try_from(group.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                for job in group {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// One transaction. `Err`: nothing was written, and every change in it gets this error.
    fn transact(&mut self, group: &[Job]) -> Result<Vec<Answer>, CommitError> {
        let audited = self.audited.take();
        // A savepoint copies every page that its change touches, and a change that was checked hardly ever fails.
        let outcome = self.write(group, &audited, false).or_else(|_| {
            self.roll_back();
            self.write(group, &audited, true)
        });
        match &outcome {
            Ok(answers) => {
                if let Some(newest) = answers.iter().flatten().max_by_key(|committed| committed.revision) {
                    self.newest.set(*newest);
                }
                if group.iter().any(|job| job.change.erases) {
                    self.checkpoints.erase();
                }
            }
            Err(_) => {
                self.audited.put_back(audited);
                self.roll_back();
            }
        }
        outcome
    }

    fn roll_back(&self) {
        // After some errors SQLite has already ended the transaction.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    fn write(
        &mut self,
        group: &[Job],
        audited: &[([u8; 16], u64)],
        savepoints: bool,
    ) -> Result<Vec<Answer>, CommitError> {
        self.run_sql("BEGIN IMMEDIATE")?;
        let mut next = self.newest.revision() + 1;
        let mut answers = Vec::with_capacity(group.len());
        for job in group {
            let answer = self.write_one(&job.change, next, savepoints)?;
            next += u64::from(answer.is_ok());
            answers.push(answer);
        }
        for (node, revision) in audited {
            apply::audited(&self.connection, node, *revision).map_err(failure::commit)?;
        }
        let newest = next - 1;
        // Seldom, so that most transactions do not touch the oldest page.
        let steps = newest / PRUNED_EVERY - self.newest.revision() / PRUNED_EVERY;
        if steps > 0 {
            apply::prune_marks(&self.connection, newest, steps).map_err(failure::commit)?;
        }
        self.run_sql("COMMIT")?;
        Ok(answers)
    }

    /// One change. If it is refused, the transaction has nothing of it. The outer `Err`: the transaction is lost, with the
    /// changes before this one; without a savepoint, that is so whenever the change cannot be written.
    fn write_one(&mut self, change: &Change, revision: u64, savepoint: bool) -> Result<Answer, CommitError> {
        if let Err(refusal) = apply::check(&self.connection, change) {
            return if self.connection.is_autocommit() { Err(refusal) } else { Ok(Err(refusal)) };
        }
        let mut mark = [0; 16];
        self.rng.fill_bytes(&mut mark);
        let committed = Committed { revision, mark };
        if !savepoint {
            apply::apply(&self.connection, change, &committed).map_err(failure::commit)?;
            return Ok(Ok(committed));
        }
        self.run_sql("SAVEPOINT one")?;
        let applied = apply::apply(&self.connection, change, &committed).map_err(failure::commit);
        if let Err(error) = &applied {
            // On a full disk SQLite rolls back the whole transaction, not only the savepoint.
            if self.connection.is_autocommit() {
                return Err(error.clone());
            }
            self.run_sql("ROLLBACK TO one")?;
        }
        self.run_sql("RELEASE one")?;
        Ok(applied.map(|()| committed))
    }

    fn run_sql(&self, sql: &str) -> Result<(), CommitError> {
        let run = || self.connection.prepare_cached(sql)?.execute([]);
        run().map(|_| ()).map_err(failure::commit)
    }
}

/// Revisions whose lines are durable and whose rows wait for the next transaction.
#[derive(Default)]
pub(super) struct Audited {
    waiting: Mutex<Vec<([u8; 16], u64)>>,
}

impl Audited {
    pub(super) fn add(&self, node: [u8; 16], revisions: &[u64]) {
        lock(&self.waiting).extend(revisions.iter().map(|revision| (node, *revision)));
    }

    fn take(&self) -> Vec<([u8; 16], u64)> {
        mem::take(&mut *lock(&self.waiting))
    }

    fn put_back(&self, taken: Vec<([u8; 16], u64)>) {
        lock(&self.waiting).extend(taken);
    }
}

/// Counters of the threads.
#[derive(Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    groups: AtomicU64,
    conflicts: AtomicU64,
    failures: AtomicU64,
    last_commit_micros: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) checkpoint_failures: AtomicU64,
}

impl Counters {
    fn group(&self, answers: &[Answer], micros: u64) {
        let (mut commits, mut conflicts, mut failures) = (0, 0, 0);
        for answer in answers {
            match answer {
                Ok(_) => commits += 1,
                Err(CommitError::Conflict { .. } | CommitError::FeedConflict { .. }) => conflicts += 1,
                Err(_) => failures += 1,
            }
        }
        self.commits.fetch_add(commits, Ordering::Relaxed);
        self.conflicts.fetch_add(conflicts, Ordering::Relaxed);
        self.failures.fetch_add(failures, Ordering::Relaxed);
        if commits > 0 {
            self.groups.fetch_add(1, Ordering::Relaxed);
            self.last_commit_micros.store(micros, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> StoreStats {
        StoreStats {
            commits: self.commits.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            last_commit_micros: self.last_commit_micros.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
            checkpoint_failures: self.checkpoint_failures.load(Ordering::Relaxed),
            ..StoreStats::default()
        }
    }
}
