//! The boots beside an attack, over the Unix socket of their host. First as fast as petsem answers; then at a fixed
//! rate that does not wait for answers, so that a slow answer delays no other boot and hides none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use petsem_integration::http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::data::clock;
use crate::failure::Failure;
use crate::interrupt;

/// Connections in a closed loop, as in the case `boot`.
const CLOSED: usize = 64;
/// Connections at a fixed rate: half of the requests that one host may have in progress.
const OPEN: usize = 128;
/// A boot that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Boots of all apps by renewal.
pub(super) struct Boots {
    pub(super) socket: PathBuf,
    requests: Arc<Vec<Vec<u8>>>,
    /// The shortest answer that is a boot's.
    answer_bytes: usize,
}

/// How often a boot begins.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// After each answer, on 64 connections.
    AfterAnswers,
    /// So many in a second, whatever the answers do.
    PerSecond(f64),
}

/// What became of the boots.
#[derive(Default)]
pub(super) struct Booted {
    pub(super) count: usize,
    pub(super) seconds: f64,
    /// Microseconds from the time at which a boot was due to its whole answer, ascending.
    pub(super) from_due: Vec<u32>,
    /// The same from the time at which it was sent.
    pub(super) from_sending: Vec<u32>,
    pub(super) failures: BTreeMap<String, u64>,
}

/// What the connections share.
struct Shared {
    socket: PathBuf,
    requests: Arc<Vec<Vec<u8>>>,
    answer_bytes: usize,
    next: AtomicUsize,
    begun: Instant,
    end: Instant,
    pace: Pace,
}

impl Boots {
    /// These boots; the first one must succeed.
    pub(super) fn new(socket: PathBuf, requests: &[Request]) -> Result<Self, Failure> {
        let requests: Vec<_> = requests.iter().map(Request::to_keep_alive_bytes).collect();
        let mut boots = Self { socket, requests: Arc::new(requests), answer_bytes: 0 };
        let first = boots.requests.first().cloned().unwrap_or_default();
        let answer = runtime()?.block_on(async {
            let mut line = Line::open(&boots.socket).await?;
            line.call(&first).await
        });
        let answer = answer.map_err(|error| Failure::system("a boot over the Unix socket", &error))?;
        if answer.status != 200 {
            return Err(Failure::new(
                format!("the first boot was answered with {}", answer.status),
                "nothing was measured; correct how its request is prepared",
            ));
        }
        boots.answer_bytes = answer.body_bytes * 9 / 10;
        Ok(boots)
    }

    /// Boots for a while, in this thread.
    pub(super) fn run(&self, pace: Pace, length: Duration) -> Result<Booted, Failure> {
        let begun = clock();
        let shared = Arc::new(Shared {
            socket: self.socket.clone(),
            requests: Arc::clone(&self.requests),
            answer_bytes: self.answer_bytes,
            next: AtomicUsize::new(0),
            begun,
            end: begun + length,
            pace,
        });
        let connections = match pace {
            Pace::AfterAnswers => CLOSED,
            Pace::PerSecond(_) => OPEN,
        };
        let all = Mutex::new(Booted::default());
        runtime()?.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..connections {
                tasks.spawn(Arc::clone(&shared).boot());
            }
            while let Some(done) = tasks.join_next().await {
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                match done {
                    Ok(done) => all.add(done),
                    Err(error) => *all.failures.entry(format!("the generator: {error}")).or_default() += 1,
                }
            }
        });
        interrupt::check()?;
        let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.seconds = begun.elapsed().as_secs_f64();
        all.from_due.sort_unstable();
        all.from_sending.sort_unstable();
        Ok(all)
    }
}

impl Booted {
    fn add(&mut self, mut other: Self) {
        self.count += other.count;
        self.from_due.append(&mut other.from_due);
        self.from_sending.append(&mut other.from_sending);
        for (why, count) in other.failures {
            *self.failures.entry(why).or_default() += count;
        }
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

impl Shared {
    /// The boots of one connection.
    async fn boot(self: Arc<Self>) -> Booted {
        let mut booted = Booted::default();
        let mut line = None;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = match self.pace {
                Pace::AfterAnswers => clock(),
                Pace::PerSecond(rate) => self.begun + Duration::from_secs_f64(number as f64 / rate),
            };
            if due >= self.end {
                return booted;
            }
            tokio::time::sleep_until(due.into()).await;
            let request = self.requests.get(number % self.requests.len().max(1));
            let sent = clock();
            booted.count += 1;
            let done =
                tokio::time::timeout(PATIENCE, self.one(&mut line, request.map_or(&[], Vec::as_slice)));
            let why = match done.await {
                Ok(Ok(())) => {
                    booted.from_due.push(microseconds(due));
                    booted.from_sending.push(microseconds(sent));
                    continue;
                }
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
            };
            *booted.failures.entry(why).or_default() += 1;
            line = None;
        }
    }

    async fn one(&self, line: &mut Option<Line>, request: &[u8]) -> Result<(), String> {
        let line = match line {
            Some(line) => line,
            None => {
                let opened = Line::open(&self.socket).await;
                line.insert(opened.map_err(|error| format!("no connection: {error}"))?)
            }
        };
        let answer = line.call(request).await.map_err(|error| format!("the connection broke: {error}"))?;
        if answer.status == 200 && answer.body_bytes >= self.answer_bytes {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line.received);
        let code = text.split("\"status\":\"").nth(1).and_then(|rest| rest.split('"').next());
        Err(format!("{} {}", answer.status, code.unwrap_or("too short")))
    }
}

fn microseconds(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// The value below which this part of an ascending list is, in milliseconds.
pub(super) fn percentile(ascending: &[u32], part: f64) -> f64 {
    let place = (ascending.len() as f64 * part) as usize;
    let found = ascending.get(place.min(ascending.len().saturating_sub(1)));
    f64::from(found.copied().unwrap_or_default()) / 1e3
}

/// A runtime for one thread, so that the load has its own.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::system("a runtime", &error))
}

/// A connection that stays open.
struct Line {
    stream: UnixStream,
    /// The last answer.
    received: Vec<u8>,
}

struct Answer {
    status: u16,
    body_bytes: usize,
}

impl Line {
    async fn open(socket: &std::path::Path) -> std::io::Result<Self> {
        Ok(Self { stream: UnixStream::connect(socket).await?, received: Vec::with_capacity(64 * 1024) })
    }

    async fn call(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let end = self.received.windows(4).position(|window| window == b"\r\n\r\n");
            let Some(end) = end else { continue };
            let head = String::from_utf8_lossy(self.received.get(..end).unwrap_or_default()).into_owned();
            let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<usize>().ok());
            let status = number(head.split(' ').nth(1)).and_then(|status| u16::try_from(status).ok());
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let (Some(status), Some(body_bytes)) = (status, number(length)) else {
                return Err(std::io::Error::other("the answer is not HTTP with a length"));
            };
            while self.received.len() < end + 4 + body_bytes {
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            return Ok(Answer { status, body_bytes });
        }
    }
}
