//! Attacks beside boots: whether boots go on while strangers, and holders of tokens that allow nothing, use up what they
//! can. `bench attack`; `integration/soak` keeps its output.
//!
//! The server is the released binary in a process of its own. Boots by renewal come over the Unix socket of their host,
//! at half of the rate that petsem reaches alone: first without an attack, then beside it, then beside the same
//! connections to the bare server, which shows what the attacker's own use of the same cores costs.

mod audit_growth;
mod boots;
mod health;
mod idle_connections;
mod refused_credentials;
mod report;
mod sender;
mod wide_tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use petsem_integration::http::Request;
use petsem_integration::pause;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, nice, prlimit, setrlimit};

use crate::attacks::audit_growth::{AuditGrowth, Growth};
use crate::attacks::boots::{Booted, Boots, Pace};
use crate::attacks::health::Health;
use crate::attacks::sender::{Doors, Flood, Seen};
use crate::bare::BareServer;
use crate::cases::boots::of_all_apps;
use crate::data::{self, HOST};
use crate::failure::Failure;
use crate::machine::{self, Usage};
use crate::scene::Scene;
use crate::{interrupt, say};

/// How long petsem waits for the rest of a head or body (`limits.seconds`); the attacker waits a little longer.
const HOLDS: Duration = Duration::from_secs(11);
/// The longest life of a JWT that proves a boot, in seconds.
const JWT_LIFE: i64 = 300;
/// The peak of the server's resident memory stays below this under these attacks (README, "Limits").
const MEMORY_MIB: u64 = 512;
/// Bytes of the audit log in a second that are not the lines of boots, if strangers caused them.
const AUDIT_BYTES_PER_SECOND: f64 = 16.0 * 1024.0;
/// How much an attack may slow the slowest hundredth of boots.
const MOST_SLOWER: f64 = 2.0;
/// The boots of a quick run in a second.
const QUICK_RATE: f64 = 50.0;

const SOCKET: &str = "boots.sock";
const OTHER_SOCKET: &str = "other.sock";

/// Load petsem with attacks, beside boots at half of the top rate
#[derive(Args)]
pub(crate) struct Attacks {
    /// The attacks: wide-tokens, refused-credentials, idle-connections, few-files. Default: all
    names: Vec<String>,

    /// Print the attacks, and end
    #[arg(long)]
    list: bool,

    /// A few seconds with few connections: whether boots fail and memory is bounded, not how fast boots are
    #[arg(long)]
    quick: bool,

    /// Seconds of each phase; the control has half. Default: 60
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// Apps of the store, with 20 secrets each. Default: 5,000
    #[arg(long, value_name = "N")]
    apps: Option<usize>,

    /// The attacker's niceness: with 19, it uses only what petsem and the boots leave of the cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    attacker_nice: i32,

    /// Keep the store in this directory, or use the one that is there
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// An attack.
struct Attack {
    name: &'static str,
    about: &'static str,
    /// Listeners and limits that are not the defaults.
    settings: String,
    /// The most files that petsem may have open, if not what the system allows.
    files: Option<u64>,
    /// Whether nothing of it may be worth a line of the audit log of its own.
    is_of_strangers: bool,
    /// What it sends; each part has a phase of its own.
    parts: &'static [(&'static str, Prepare)],
}

type Prepare = fn(&Scene, &Extent) -> Result<Vec<Flood>, Failure>;

/// What a run may differ in.
struct Extent {
    quick: bool,
    seconds: u64,
    attacker_nice: i32,
}

/// What was seen in a phase.
struct Phase {
    name: String,
    booted: Booted,
    health: Health,
    seen: Seen,
    growth: Growth,
    /// Of the server: cores in use, and memory at its peak since its start and at the end of the phase, in KiB.
    cores: f64,
    peak_kib: u64,
    memory_kib: u64,
    /// Cores that this program used, and all others.
    own_cores: f64,
    others: f64,
}

fn all() -> Vec<Attack> {
    let listeners = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"unix:{SOCKET}\"\nhost = \"{HOST}\"\n"
    );
    let other = format!(
        "[[listener]]\naddress = \"unix:{OTHER_SOCKET}\"\nhost = \"{}\"\n",
        refused_credentials::HOST
    );
    vec![
        Attack {
            name: "wide-tokens",
            about: "tokens with 60 lists of names, or 490 caveats, and JWTs with a thousand claims, 64 at once",
            settings: listeners.clone(),
            files: None,
            is_of_strangers: false,
            parts: &[
                ("beside wide tokens", wide_tokens::floods),
                ("beside wide tokens that stall", wide_tokens::stalled),
            ],
        },
        Attack {
            name: "refused-credentials",
            about: "credentials that allow nothing, with half-sent bodies; one expired token 600 times in a moment",
            settings: listeners.clone() + &other,
            files: None,
            is_of_strangers: true,
            parts: &[("beside refused credentials", refused_credentials::floods)],
        },
        Attack {
            name: "idle-connections",
            about: "8192 TCP connections that send nothing, and 3000 that send half of a head",
            settings: listeners.clone(),
            files: None,
            is_of_strangers: true,
            parts: &[("beside idle connections", idle_connections::floods)],
        },
        Attack {
            name: "few-files",
            about: "the same, where petsem may have 1024 files open and limits.connections is 768",
            settings: listeners + "[limits]\nconnections = 768\n",
            files: Some(1024),
            is_of_strangers: true,
            parts: &[("beside idle connections", idle_connections::floods)],
        },
    ]
}

impl Extent {
    /// Connections, fewer in a quick run.
    fn count(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(8) } else { full }
    }

    /// Connections in a second, fewer in a quick run.
    fn rate(&self, full: f64) -> f64 {
        if self.quick { full / 4.0 } else { full }
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// The bytes of a request, up to the middle of its body of this length.
fn half(request: Request, body: usize) -> Vec<u8> {
    let mut bytes = request.announcing(body);
    bytes.resize(bytes.len() + body / 2, b' ');
    bytes
}

impl Attacks {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let attacks = self.chosen()?;
        if self.list {
            attacks.iter().for_each(|attack| println!("{:<20} {}", attack.name, attack.about));
            return Ok(());
        }
        if cfg!(debug_assertions) && !self.quick {
            return Err(Failure::new(
                "this benchmark was built without --release",
                "cargo run --release -p petsem-integration --bin bench -- attack, or --quick",
            ));
        }
        interrupt::watch()?;
        raise_file_limit()?;
        let extent = Extent {
            quick: self.quick,
            seconds: self.seconds.unwrap_or(if self.quick { 3 } else { 60 }),
            attacker_nice: self.attacker_nice,
        };
        let apps = self.apps.unwrap_or(if self.quick { 100 } else { 5_000 });
        say(&format!("building petsem, and a store of {apps} apps with {} secrets each", data::SECRETS));
        let store = data::Store::open(self.data.as_deref(), apps)?;
        let mut scene = Scene::new(store)?;
        println!("{} apps of {} secrets, {}", apps, data::SECRETS, data::binary_version());
        let requests = of_all_apps(&scene)?;
        let mut broken = Vec::new();
        for attack in &attacks {
            let failed = |failure: Failure| failure.of(attack.name);
            broken.extend(attack.run(&mut scene, &requests, &extent).map_err(failed)?);
        }
        scene.stop()?;
        if broken.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            broken.join("\n"),
            "see the figures of that attack; an idle machine gives better ones",
        ))
    }

    fn chosen(&self) -> Result<Vec<Attack>, Failure> {
        let known: Vec<_> = all().iter().map(|attack| attack.name).collect();
        if let Some(unknown) = self.names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Failure::new(
                format!("no attack is named {unknown}"),
                format!("the attacks are: {}", known.join(", ")),
            ));
        }
        let is_wanted =
            |attack: &Attack| self.names.is_empty() || self.names.iter().any(|name| name == attack.name);
        Ok(all().into_iter().filter(is_wanted).collect())
    }
}

impl Attack {
    /// Runs it, and returns what does not hold.
    fn run(&self, scene: &mut Scene, requests: &[Request], extent: &Extent) -> Result<Vec<String>, Failure> {
        scene.restart_on(&self.settings)?;
        let installation = &scene.store.installation;
        let boots = Boots::new(installation.path(SOCKET), requests)?;
        let process = scene.target().process.unwrap_or_default();
        if let Some(files) = self.files {
            limit_files(process, files)?;
        }
        let doors = Doors {
            tcp: scene.target().address,
            other_host: Some(installation.path(OTHER_SOCKET)).filter(|path| path.exists()),
        };
        println!("\n{}: {}", self.name, self.about);
        let rate = if extent.quick {
            QUICK_RATE
        } else {
            // The first seconds are slower: caches are empty.
            boots.run(Pace::AfterAnswers, Duration::from_secs(2))?;
            let top = boots.run(Pace::AfterAnswers, Duration::from_secs(10))?;
            let top = (top.count as u64 - top.failed()) as f64 / top.seconds;
            println!("  top rate {top:.0} boots/s (closed loop, 64 connections, 10 s)");
            top / 2.0
        };
        println!("  boots by renewal over the host's Unix socket, {rate:.0}/s whatever the answers do");
        let mut audit = AuditGrowth::of(installation.path("data/audit"));
        audit.since_last()?;
        let load = Load { boots: &boots, rate, health: scene.target().address, process };
        let mut phase = |name: &str, floods: &[Flood], doors: &Doors, length| {
            let phase = load.phase((name, floods, doors), extent.attacker_nice, length)?;
            let phase = Phase { growth: audit.since_last()?, ..phase };
            report::print(&phase);
            Ok::<_, Failure>(phase)
        };
        let alone = phase("alone", &[], &doors, extent.length())?;
        let mut broken = report::broken(self, &alone, None);
        for (name, prepare) in self.parts {
            // Just before: a JWT that proves boots lives for five minutes.
            let floods = prepare(scene, extent)?;
            floods.iter().for_each(report::print_flood);
            let beside = phase(name, &floods, &doors, extent.length())?;
            report::compare(&alone, &beside);
            let broken_by_it = report::broken(self, &beside, (!extent.quick).then_some(&alone));
            broken.extend(broken_by_it);
            // Connections that petsem still waits for end.
            pause(Duration::from_secs(if extent.quick { 0 } else { 1 }));
            if !extent.quick {
                let bare = BareServer::start(200)?;
                let doors = Doors { tcp: bare.address(), other_host: None };
                let name = format!("{name}, of the bare server");
                let control = phase(&name, &floods, &doors, extent.length() / 2)?;
                report::compare(&alone, &control);
            }
        }
        Ok(broken)
    }
}

/// What goes on in every phase.
struct Load<'a> {
    boots: &'a Boots,
    /// Boots in a second.
    rate: f64,
    /// Where requests for health go.
    health: SocketAddr,
    /// petsem's process.
    process: u32,
}

impl Load<'_> {
    /// Boots, requests for health, and floods, for a while.
    fn phase(
        &self,
        (name, floods, doors): (&str, &[Flood], &Doors),
        attacker_nice: i32,
        length: Duration,
    ) -> Result<Phase, Failure> {
        let process = self.process;
        let ended = AtomicBool::new(false);
        let before = Usage::now(Some(process));
        let begun = data::clock();
        let (booted, seen, health) = std::thread::scope(|scope| {
            let health = scope.spawn(|| health::ask(self.health, &ended));
            let attacker = scope.spawn(|| {
                if floods.is_empty() {
                    return Ok(Seen::new());
                }
                // Of this thread alone.
                nice(attacker_nice).map_err(|error| Failure::system("nice", &error))?;
                sender::send(floods, doors, length)
            });
            let booted = self.boots.run(Pace::PerSecond(self.rate), length);
            ended.store(true, Ordering::Relaxed);
            (booted, attacker.join(), health.join())
        });
        let died = |_| Failure::new("a thread of the load ended early", "see what it printed");
        let seconds = begun.elapsed().as_secs_f64();
        let after = Usage::now(Some(process));
        Ok(Phase {
            name: name.to_owned(),
            booted: booted?,
            seen: seen.map_err(died)??,
            health: health.map_err(died)?,
            growth: Growth::new(),
            cores: after.process_since(&before).unwrap_or_default() / seconds,
            peak_kib: machine::peak_kib(process).unwrap_or_default(),
            memory_kib: machine::anonymous_kib(process).unwrap_or_default(),
            own_cores: after.own_since(&before) / seconds,
            others: after.others_since(&before),
        })
    }
}

/// As many files as the system allows: this program holds both ends' worth of connections.
fn raise_file_limit() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .map_err(|error| Failure::system("the limit on open files", &error))
}

fn limit_files(process: u32, files: u64) -> Result<(), Failure> {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(files), maximum: Some(files) };
    prlimit(id, Resource::Nofile, limit)
        .map(drop)
        .map_err(|error| Failure::system("the server's limit on open files", &error))
}
