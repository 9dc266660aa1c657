//! The benchmark: petsem beside the plainest axum handler, by turns, under the same load, in one run.
//!
//! `cargo run --release -p petsem-integration --bin bench`; docs/performance.md says how to read its results.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "results go to standard output, progress beside it"
)]

mod attacks;
mod bare;
mod cases;
mod data;
mod failure;
mod interrupt;
mod load;
mod machine;
mod peer;
mod plot;
mod random;
mod report;
mod scene;
mod slow;
// The same file as in the command line: both servers have the same allocator.
#[path = "../../../../cli/src/wiping_allocator.rs"]
mod wiping_allocator;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand};
use petsem_integration::dev::now;
use serde_json::{Value, json};

use crate::attacks::Attacks;
use crate::bare::{Bare, BareServer};
use crate::cases::{Case, Span};
use crate::failure::Failure;
use crate::load::{Load, Measured, Requests, Target};
use crate::peer::Peer;
use crate::report::{CaseRounds, ServerRounds};
use crate::scene::Scene;
use crate::slow::SlowClients;

#[global_allocator]
static ALLOCATOR: wiping_allocator::Wiping<std::alloc::System> = wiping_allocator::Wiping(std::alloc::System);

/// Measure petsem, by turns with the plainest server
///
/// It builds a store of 1 million secrets, which takes minutes, and needs wrk (apt-get install wrk).
#[derive(Parser)]
#[command(name = "bench", max_term_width = 100, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    part: Option<Part>,

    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Part {
    #[command(name = "attack")]
    Attacks(Attacks),
    Bare(Bare),
    /// Print the SVG plot of a file of results
    Plot {
        /// The file, as --json wrote it
        file: PathBuf,
    },
}

#[derive(Args)]
struct Run {
    /// Only this case; may be repeated. Default: all except `long` and `start`
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,

    /// Print the cases, and end
    #[arg(long)]
    list: bool,

    /// 300 apps and one round of a second: whether everything works, not how fast it is
    #[arg(long)]
    quick: bool,

    /// Write the results to this file, and their plot beside it, as .svg
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Keep the store in this directory, or use the one that is there; each run works on a copy
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Apps of the store, with 20 secrets each. Default: 50,000
    #[arg(long, value_name = "N")]
    apps: Option<usize>,

    /// Rounds of each case. Default: 3
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// Seconds of each round. Default: 5
    #[arg(long, value_name = "N")]
    seconds: Option<u32>,

    /// Run reads and writes also against a Vault-compatible server that runs, with KV v2 at `secret/`: its URL and a
    /// file with its token
    #[arg(long, num_args = 2, value_names = ["URL", "TOKEN_FILE"])]
    peer: Option<Vec<String>>,
}

/// More than the log grows by at the highest rate that was seen.
const AUDIT_BYTES_PER_SECOND: u64 = 32 << 20;

/// What a run may differ in.
#[derive(Clone, Copy)]
struct Extent {
    apps: usize,
    rounds: usize,
    /// Of a round.
    seconds: u32,
    /// Before the first round.
    warm_up_seconds: u32,
    /// Samples of the long case, and their length in seconds.
    samples: (usize, u32),
    /// Paths of the peer.
    paths: usize,
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let outcome = match command_line.part {
        Some(Part::Attacks(attacks)) => attacks.run(),
        Some(Part::Bare(bare)) => bare.run(),
        Some(Part::Plot { file }) => read(&file).map(|results| print!("{}", plot::svg(&results))),
        None => command_line.run.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Reports progress.
fn say(text: &str) {
    eprintln!("{text}");
}

impl Run {
    fn extent(&self) -> Extent {
        let full = Extent {
            apps: 50_000,
            rounds: 3,
            seconds: 5,
            warm_up_seconds: 2,
            samples: (60, 10),
            paths: 2_000,
        };
        let quick =
            Extent { apps: 300, rounds: 1, seconds: 1, warm_up_seconds: 0, samples: (5, 1), paths: 50 };
        let default = if self.quick { quick } else { full };
        Extent {
            apps: self.apps.unwrap_or(default.apps),
            rounds: self.rounds.unwrap_or(default.rounds),
            seconds: self.seconds.unwrap_or(default.seconds),
            ..default
        }
    }

    /// Apps of the stores that the case `start` starts with.
    fn sizes(&self) -> Vec<usize> {
        match self.apps {
            Some(apps) => vec![apps],
            None if self.quick => vec![300],
            None => vec![1_000, 100_000],
        }
    }

    fn run(&self) -> Result<(), Failure> {
        let chosen = cases::chosen(&self.cases)?;
        if self.list {
            cases::all().for_each(|case| println!("{:<12} {}", case.name, case.about));
            return Ok(());
        }
        if cfg!(debug_assertions) {
            if !self.quick {
                return Err(Failure::new(
                    "this benchmark was built without --release",
                    "cargo run --release -p petsem-integration --bin bench, or --quick to see that it works",
                ));
            }
            say("built without --release: the figures mean nothing");
        }
        interrupt::watch()?;
        let extent = self.extent();
        let (starts, chosen): (Vec<_>, Vec<_>) =
            chosen.into_iter().partition(|case| case.span == Span::Starts);
        if let Some(case) = starts.first() {
            for apps in self.sizes() {
                println!("{}", cases::start::measure(apps).map_err(|failure| failure.of(case.name))?);
            }
            if chosen.is_empty() {
                return Ok(());
            }
        }
        let generator = load::version()?;
        say(&format!(
            "building petsem, and a store of {} apps with {} secrets each",
            extent.apps,
            data::SECRETS
        ));
        let store = data::Store::open(self.data.as_deref(), extent.apps)?;
        let mut results = json!({
            "format": 1,
            "date": report::date(now()),
            "binary": data::binary_version(),
            "commit": commit(),
            "machine": machine::described(),
            "generator": format!("{generator}, 1 thread, on the same cores"),
            "quick": self.quick,
            "apps": extent.apps,
            "secrets_per_app": data::SECRETS,
            "value_bytes": data::VALUE_BYTES,
            "rounds": extent.rounds,
            "seconds_per_round": extent.seconds,
            "store": store.built,
            "database_mib": data::database_bytes(&store.installation) / (1 << 20),
            "cases": [],
        });
        say(&format!("the store: {}", store.built));
        let mut runner = Runner {
            load: Load::new(store.installation.directory.path())?,
            scene: Scene::new(store)?,
            peer: self.peer(&extent, &chosen)?,
            extent,
        };
        println!("{}", report::head());
        for case in chosen {
            let failed = |failure: Failure| failure.of(case.name);
            if case.span == Span::Long {
                runner.long(case, |long| self.keep(&mut results, "long", long)).map_err(failed)?;
                continue;
            }
            let found = runner.rounds(case).map_err(failed)?;
            print!("{}", found.lines());
            if let Some(Value::Array(cases)) = results.get_mut("cases") {
                cases.push(found.json());
            }
            self.write(&results)?;
        }
        println!("petsem has the default settings, except those that a case of the results names");
        runner.scene.stop()
    }

    fn peer(&self, extent: &Extent, chosen: &[&Case]) -> Result<Option<Peer>, Failure> {
        let Some([url, token_file]) = self.peer.as_deref() else { return Ok(None) };
        if chosen.iter().all(|case| case.peer.is_none()) {
            return Err(Failure::new(
                "none of these cases has a counterpart on the peer",
                "give --case read, set, bulk-set or boot, or leave --peer out",
            ));
        }
        say(&format!("writing {} paths to the peer", extent.paths));
        Peer::fill(url, Path::new(token_file), extent.paths).map(Some)
    }

    fn keep(&self, results: &mut Value, name: &str, part: Value) -> Result<(), Failure> {
        if let Some(results) = results.as_object_mut() {
            results.insert(name.to_owned(), part);
        }
        self.write(results)
    }

    fn write(&self, results: &Value) -> Result<(), Failure> {
        let Some(file) = &self.json else { return Ok(()) };
        let text = serde_json::to_string_pretty(results).unwrap_or_default();
        for (file, text) in [(file.clone(), text + "\n"), (file.with_extension("svg"), plot::svg(results))] {
            std::fs::write(&file, text).map_err(|error| Failure::system(file.display(), &error))?;
        }
        Ok(())
    }
}

/// The parts of a run.
struct Runner {
    load: Load,
    scene: Scene,
    peer: Option<Peer>,
    extent: Extent,
}

impl Runner {
    /// All servers of a case by turns.
    fn rounds(&mut self, case: &'static Case) -> Result<CaseRounds, Failure> {
        let mut requests = if case.span == Span::FreshRounds {
            // They expire while a server starts.
            self.scene.restart(case.settings)?;
            self.prepare(case)?
        } else {
            let requests = self.prepare(case)?;
            self.scene.restart(case.settings)?;
            requests
        };
        let slow = (case.slow_clients > 0).then_some(case.slow_clients);
        let _slow = slow.map(|count| SlowClients::of(self.scene.target().address, count)).transpose()?;
        let answer = requests.probe(&self.scene.target())?.body.len();
        let bare = BareServer::start(answer)?;
        let bare_target = Target { name: "bare", address: bare.address(), process: Some(bare.id()) };
        requests.probe(&bare_target)?;
        let peer = match (&self.peer, case.peer) {
            (Some(peer), Some(prepare)) => {
                let requests = Requests::write(self.file("peer.requests"), &prepare(peer))?;
                let answer = requests.probe(&peer.target())?.body.len();
                Some((peer.target(), requests, answer))
            }
            _ => None,
        };
        let mut servers = vec![rounds_of("bare", answer), rounds_of("petsem", answer)];
        servers.extend(peer.as_ref().map(|(_, _, answer)| rounds_of("peer", *answer)));
        let warm_up = (self.extent.warm_up_seconds > 0).then_some(self.extent.warm_up_seconds);
        let rounds = warm_up.into_iter().map(|seconds| (seconds, false));
        let rounds = rounds.chain((0..self.extent.rounds).map(|_| (self.extent.seconds, true)));
        for (round, (seconds, counts)) in rounds.enumerate() {
            if round > 0 && case.span == Span::FreshRounds {
                requests = self.prepare(case)?;
            }
            let petsem = self.scene.target();
            let mut targets = vec![(&bare_target, &requests, answer), (&petsem, &requests, answer)];
            targets.extend(peer.as_ref().map(|(target, requests, answer)| (target, requests, *answer)));
            for ((target, requests, answer), server) in targets.into_iter().zip(&mut servers) {
                let measured = self.load.run(target, requests, case.connections, seconds, answer)?;
                if counts {
                    server.rounds.push(measured);
                }
            }
        }
        Ok(CaseRounds { case, servers })
    }

    /// petsem alone, for minutes; `keep` gets what is known after each sample.
    fn long(
        &mut self,
        case: &'static Case,
        mut keep: impl FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (count, seconds) = self.extent.samples;
        let free = machine::free_bytes(self.scene.store.installation.directory.path());
        if free < AUDIT_BYTES_PER_SECOND * count as u64 * u64::from(seconds) {
            return Err(Failure::new(
                format!("{} GiB of disk are free, too few for the audit log of this case", free >> 30),
                "name a directory on a larger disk with --data DIR",
            ));
        }
        let requests = self.prepare(case)?;
        self.scene.restart(case.settings)?;
        let target = self.scene.target();
        requests.probe(&target)?;
        let mut samples: Vec<Measured> = Vec::new();
        for number in 1..=count {
            samples.push(self.load.run(&target, &requests, case.connections, seconds, 0)?);
            let with_minute = |(place, sample): (usize, &Measured)| {
                let mut json = report::json_of(sample);
                if let Some(json) = json.as_object_mut() {
                    json.insert("minute".to_owned(), json!((place + 1) as f64 * f64::from(seconds) / 60.0));
                }
                json
            };
            let all: Vec<_> = samples.iter().enumerate().map(with_minute).collect();
            keep(json!({"about": case.about, "connections": case.connections, "samples": all}))?;
            if number.is_multiple_of(6) {
                say(&format!("  {number} of {count} samples"));
            }
        }
        let memory = |sample: &Measured| sample.anonymous_kib.map_or(0.0, |kib| kib as f64 / 1024.0);
        for (what, (first, last)) in [
            ("requests/s", report::ends(&samples, |sample| sample.requests_per_second)),
            ("p99 ms", report::ends(&samples, |sample| sample.p99_us / 1e3)),
            ("RssAnon MiB", report::ends(&samples, memory)),
        ] {
            println!("{:<12} {what:<12} first third {first:.1}, last third {last:.1}", case.name);
        }
        Ok(())
    }

    fn prepare(&self, case: &Case) -> Result<Requests, Failure> {
        say(&format!("{}: preparing requests", case.name));
        Requests::write(self.file("petsem.requests"), &(case.prepare)(&self.scene)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scene.store.installation.path(name)
    }
}

fn rounds_of(name: &'static str, answer_bytes: usize) -> ServerRounds {
    ServerRounds { name, answer_bytes, rounds: Vec::new() }
}

fn read(file: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::system(file.display(), &error))?;
    serde_json::from_str(&text).map_err(|error| Failure::system(file.display(), &error))
}

/// The commit of the source, and whether it was changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed =
        if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { " with changes" };
    format!("{}{changed}", git(&["rev-parse", "--short=12", "HEAD"]))
}
