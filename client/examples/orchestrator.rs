//! A complete small orchestrator: it runs one Machine (here a process) with the secrets of its app.
//!
//! ```text
//! cargo run -p petsem-client --example orchestrator -- \
//!     http://127.0.0.1:7700 https://petsem-dev.invalid/discharger host.token proof.jwt shop m-1 \
//!     /usr/bin/env
//! ```
//!
//! Arguments: petsem's endpoint, the discharger's location (the host token names it), the file of the host token, the
//! file of a proof, the app, the Machine, and the command. Token files must have mode 0600.
//!
//! What it shows, in order:
//!
//! 1. The host token opens nothing. [`BootFlow`] sends its ticket, the app, the Machine and the proof to the
//!    discharger, and boots with host token and discharge.
//! 2. The secrets are injected into the environment of the command. Nothing is written to a file, and the
//!    orchestrator's own environment does not change.
//! 3. While the command runs, the renewal is renewed. It is valid for this app, Machine and host only.
//! 4. If the command fails, it is started again with current secrets. The renewal replaces the proof, which has
//!    expired by then.
//! 5. When the command succeeds, the renewal is forgotten.
//!
//! A real orchestrator differs in three points: it boots many Machines at once (`Client::boot_many`), it has a fresh
//! proof for each new Machine (`narrow_for_boot`, or a JWT), and for a VM it delivers through a `MachineChannel` and
//! reports the receipt (`BootFlow::report`).
#![expect(clippy::print_stderr, reason = "an example reports on its terminal")]

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use petsem_api::{AppRef, MachineId};
use petsem_client::{BootFlow, BootFlowError, Client, Credentials, Endpoint, EnvMap, Environment, Injector};
use tokio::process::{Child, Command};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often a renewal is renewed. petsem issues a new one in the second half of its life (24 h by default).
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3600);
/// The pause before a failed command starts again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How often a failed command is started.
const STARTS: u32 = 5;
/// The variables of this process that the command inherits.
const INHERITED: [&str; 4] = ["HOME", "LANG", "PATH", "TZ"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("orchestrator: the command failed: {status}");
            ExitCode::FAILURE
        }
        // Errors of petsem-client have no token and no value in them, so they may be printed and logged.
        Err(error) => {
            eprintln!("orchestrator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitStatus, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = |what: &'static str| arguments.next().ok_or(format!("no {what} given; see the source"));
    let text = |argument: OsString| argument.into_string().map_err(|_| "an argument is not UTF-8");

    let endpoint: Endpoint = text(next("endpoint")?)?.parse()?;
    let location = text(next("location")?)?;
    let host = Credentials::read_file(Path::new(&next("host token file")?))?;
    let proof = Credentials::read_file(Path::new(&next("proof file")?))?;
    let machine = Machine { app: text(next("app")?)?.parse()?, id: text(next("machine")?)?.parse()? };
    let program = next("command")?;
    let command: Vec<OsString> = std::iter::once(program).chain(arguments).collect();

    // petsem is its own discharger here. A discharger elsewhere is configured with `outside_discharger`; a location
    // that is not configured is never called, whatever the host token names.
    let client = Client::builder(vec![endpoint.clone()]).discharger(&location, vec![endpoint]).build();
    let flow = BootFlow::new(Arc::new(client), host)?;
    keep_running(&flow, &machine, &proof, &command).await
}

struct Machine {
    app: AppRef,
    id: MachineId,
}

/// Starts the command until it succeeds or has failed [`STARTS`] times.
async fn keep_running(
    flow: &BootFlow,
    machine: &Machine,
    proof: &Credentials,
    command: &[OsString],
) -> Result<ExitStatus, Box<dyn Error>> {
    let mut starts = 0;
    loop {
        // At the first start this uses the proof, later the renewal that this host has in memory.
        let environment = boot(flow, machine, proof).await?;
        let mut child = start(command, &environment)?;
        // The command has its own copy now. This one is wiped.
        drop(environment);
        starts += 1;
        let status = supervise(flow, machine, &mut child).await?;
        if status.success() || starts == STARTS {
            // The Machine is destroyed: nothing of it may boot again from this host.
            flow.forget(&machine.app, &machine.id);
            return Ok(status);
        }
        eprintln!("orchestrator: the command failed ({status}); starting it again");
        sleep(RESTART_PAUSE).await;
    }
}

/// Boots the Machine and merges its secrets into the inherited variables.
async fn boot(
    flow: &BootFlow,
    machine: &Machine,
    proof: &Credentials,
) -> Result<Environment, Box<dyn Error>> {
    let booted = flow.boot(&machine.app, &machine.id, None, Some(proof)).await?;
    let bundle = booted.bundle();
    eprintln!("orchestrator: app version {} with {} secrets", bundle.version(), bundle.len());
    let inherited = INHERITED.into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    // A secret that cannot be a variable is refused here, before the command starts.
    let environment = EnvMap::merge(inherited).deliver(bundle).await?;
    // A name that programs obey, or that is inherited, does not stop the others. The boot report names what was left out.
    for left_out in environment.left_out() {
        eprintln!("orchestrator: left out: {} ({:?})", left_out.name, left_out.reason);
    }
    if !environment.left_out().is_empty()
        && let Err(error) = flow.report_environment(&booted, environment.left_out()).await
    {
        eprintln!("orchestrator: {error}");
    }
    Ok(environment)
}

fn start(command: &[OsString], environment: &Environment) -> Result<Child, Box<dyn Error>> {
    let (program, arguments) = command.split_first().ok_or("no command given; see the source")?;
    // `env_clear`: the command gets the merged environment and nothing else.
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.expose_variables())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// Renews the Machine's renewal until the command ends.
async fn supervise(flow: &BootFlow, machine: &Machine, child: &mut Child) -> std::io::Result<ExitStatus> {
    let mut renewals = interval(RENEWAL_INTERVAL);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate; the boot has just given a renewal.
    renewals.tick().await;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            _ = renewals.tick() => match flow.renew(&machine.app, &machine.id).await {
                Ok(end) => eprintln!("orchestrator: renewed until {end}"),
                // The app gives no renewals (`renewal_life` 0): the next boot needs a proof.
                Err(BootFlowError::NoRenewal) => {}
                // An outage, or a revocation. The command keeps what it has; the next start finds out.
                Err(error) => eprintln!("orchestrator: {error}"),
            },
        }
    }
}
