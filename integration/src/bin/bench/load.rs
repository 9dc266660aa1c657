//! The load: wrk with one thread, which sends prepared requests over keep-alive connections. Any answer that is not
//! 2xx, or shorter than it should be, ends the run: its figures would be false.

use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use petsem_integration::http::{Answer, Connection, Request};
use serde_json::Value;

use crate::failure::Failure;
use crate::machine::{self, Usage};
use crate::{interrupt, random};

const SCRIPT: &str = include_str!("load.lua");
/// Replaced by a new number in each request; `load.lua` has it too.
pub(crate) const MARK: &str = "@@@@@@@@@@@@@@@@";

/// The requests of a case, in a file, in random order.
#[derive(Debug)]
pub(crate) struct Requests {
    file: PathBuf,
    count: usize,
    first: Vec<Vec<u8>>,
}

/// Where a load goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `bare`, `petsem` or `peer`.
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// The process whose CPU and memory are measured.
    pub(crate) process: Option<u32>,
}

/// What one round of load found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) longest_us: f64,
    pub(crate) cpu_us: Option<f64>,
    pub(crate) anonymous_kib: Option<u64>,
    /// The share of all cores that neither this server nor the generator used.
    pub(crate) others: f64,
}

impl Requests {
    /// Writes them to a file that the generator reads.
    pub(crate) fn write(file: PathBuf, requests: &[Request]) -> Result<Self, Failure> {
        let mut order: Vec<&Request> = requests.iter().collect();
        random::shuffle(&mut order);
        let failed = |error: std::io::Error| Failure::system(file.display(), &error);
        let mut out = BufWriter::new(std::fs::File::create(&file).map_err(failed)?);
        let mut first = Vec::new();
        for request in &order {
            let bytes = request.to_keep_alive_bytes();
            writeln!(out, "{}", bytes.len()).and_then(|()| out.write_all(&bytes)).map_err(failed)?;
            if first.len() < 5 {
                first.push(bytes);
            }
        }
        out.flush().map_err(failed)?;
        Ok(Self { count: order.len(), file, first })
    }

    /// Sends a few of them, all of which must succeed, and returns an answer.
    pub(crate) fn probe(&self, target: &Target) -> Result<Answer, Failure> {
        let failed = |error: std::io::Error| Failure::system(format!("a request to {}", target.name), &error);
        let mut connection = Connection::open(target.address).map_err(failed)?;
        let mut last = None;
        for bytes in &self.first {
            let mut text = String::from_utf8_lossy(bytes).into_owned();
            while text.contains(MARK) {
                let digits = HEXLOWER.encode(&random::bytes::<8>());
                text = text.replacen(MARK, &digits, 1);
            }
            let answer = connection.call_bytes(text.as_bytes()).map_err(failed)?;
            if !(200..300).contains(&answer.status) {
                let line = text.lines().next().unwrap_or_default().to_owned();
                return Err(Failure::new(
                    format!("{} answered {} to {line}: {}", target.name, answer.status, answer.text()),
                    "nothing was measured; the prepared request does not fit this server",
                ));
            }
            last = Some(answer);
        }
        last.ok_or_else(|| Failure::new("a case has no requests", "give it some in its `prepare`"))
    }
}

/// The version of wrk.
pub(crate) fn version() -> Result<String, Failure> {
    let missing =
        || Failure::new("wrk is not installed", "apt-get install wrk, or run ./test, which installs it");
    // It ends with status 1 after it printed its version.
    let output = Command::new("wrk").arg("-v").output().map_err(|_| missing())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    if words.first() != Some(&"wrk") {
        return Err(missing());
    }
    Ok(words.join(" "))
}

/// The generator, with its script in a directory.
#[derive(Debug)]
pub(crate) struct Load {
    script: PathBuf,
}

impl Load {
    pub(crate) fn new(directory: &Path) -> Result<Self, Failure> {
        let script = directory.join("load.lua");
        std::fs::write(&script, SCRIPT).map_err(|error| Failure::system(script.display(), &error))?;
        Ok(Self { script })
    }

    /// Loads a server for some seconds. `answer_bytes` is the length of a correct answer's body.
    pub(crate) fn run(
        &self,
        target: &Target,
        requests: &Requests,
        connections: u32,
        seconds: u32,
        answer_bytes: usize,
    ) -> Result<Measured, Failure> {
        let before = Usage::now(target.process);
        let (found, _) = self.wrk(target, requests, connections, seconds, false)?;
        let after = Usage::now(target.process);
        interrupt::check()?;
        let number = |name: &str| found.get(name).and_then(Value::as_u64).unwrap_or_default();
        for kind in ["connect", "read", "write", "timeout"] {
            let count = number(kind);
            if count > 0 {
                return Err(Failure::new(
                    format!("{count} requests to {} failed in the socket ({kind})", target.name),
                    "its figures would be false; see whether the server ended, and try fewer connections",
                ));
            }
        }
        let requests_done = number("requests");
        if requests_done == 0 && seconds < 10 {
            // Batches on a slow machine.
            return self.run(target, requests, connections, 10, answer_bytes);
        }
        if requests_done == 0 {
            return Err(Failure::new(
                format!("{} answered no request within {seconds} s", target.name),
                "give more time with --seconds",
            ));
        }
        if number("status") > 0 {
            let (_, refused) = self.wrk(target, requests, connections, 1, true)?;
            let example = match refused.trim() {
                "" => "a second run had none",
                refused => refused,
            };
            return Err(Failure::new(
                format!(
                    "{} of {requests_done} answers of {} were refusals, such as: {example}",
                    number("status"),
                    target.name
                ),
                "its figures would be false; correct the request or the setting that the refusal names",
            ));
        }
        // A batch answers 200 even if all of its Machines are refused.
        if number("bytes") < requests_done * answer_bytes as u64 * 9 / 10 {
            return Err(Failure::new(
                format!(
                    "answers of {} are shorter than the {answer_bytes} bytes of a correct one: {} on average",
                    target.name,
                    number("bytes") / requests_done
                ),
                "its figures would be false; look at one of the answers",
            ));
        }
        let seconds = number("microseconds") as f64 / 1e6;
        Ok(Measured {
            requests: requests_done,
            requests_per_second: requests_done as f64 / seconds,
            p50_us: number("p50") as f64,
            p99_us: number("p99") as f64,
            longest_us: number("longest") as f64,
            cpu_us: after.process_since(&before).map(|used| used * 1e6 / requests_done as f64),
            anonymous_kib: target.process.and_then(machine::anonymous_kib),
            others: after.others_since(&before),
        })
    }

    fn wrk(
        &self,
        target: &Target,
        requests: &Requests,
        connections: u32,
        seconds: u32,
        explain: bool,
    ) -> Result<(Value, String), Failure> {
        let start = usize::from_le_bytes(random::bytes()) % requests.count.max(1);
        let mut command = Command::new("wrk");
        command.args(["-t1", "--timeout", "10s", "-c", &connections.to_string(), "-d"]);
        command.arg(format!("{seconds}s")).arg("-s").arg(&self.script);
        command.arg(format!("http://{}", target.address)).arg("--").arg(&requests.file);
        command.arg(HEXLOWER.encode(&random::bytes::<2>())).arg(start.to_string());
        command.args(explain.then_some("explain")).stdin(Stdio::null());
        let output = command.output().map_err(|error| Failure::system("wrk", &error))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let found = printed.lines().find_map(|line| line.strip_prefix("RESULT "));
        match found.and_then(|line| serde_json::from_str(line).ok()) {
            Some(found) => Ok((found, said)),
            None => Err(Failure::new(
                format!("wrk reported no result: {printed}{said}"),
                "see what wrk says; its script is integration/src/bin/bench/load.lua",
            )),
        }
    }
}
