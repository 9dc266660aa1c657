//! PID 1 of the test VM: takes its Machine's secrets over the channel and proves them on the serial console.
//!
//! It prints `PETSEM PROOF <hex>` (HMAC-SHA-256 over the canonical bundle, keyed by the challenge on the
//! kernel's command line, which is the test's and not secret), or `PETSEM DENY <code>`, or `PETSEM ERROR
//! <what>`; then always `PETSEM END`, so that silence is never mistaken for an answer; and powers off.
//!
//! Non-goals: it starts no other process, stores nothing, and never prints a value.

mod machine;
mod port;

use std::fs::File;
use std::io::{Read, Write};

use data_encoding::HEXLOWER;
use petsem_client::{Claims, GuestChannel, Received, keyed_digest};
use rustix::system::{RebootCommand, reboot};

use machine::{BootParameters, Failure};
use port::Port;

fn main() {
    let mounted = machine::mount_all();
    let said = match mounted.and_then(|()| take_secrets()) {
        Ok(said) => said,
        Err(failure) => format!("PETSEM ERROR {failure}"),
    };
    // A failure from here on cannot be reported; the host sees the missing end line.
    let _ = print(&said);
    let _ = reboot(RebootCommand::PowerOff);
}

/// The line to print about the secrets.
fn take_secrets() -> Result<String, Failure> {
    let parameters = BootParameters::read()?;
    machine::load_modules()?;
    let port = Port::open(petsem_client::PORT_NAME)?;
    let claims = Claims { machine: &parameters.machine, app: &parameters.app };
    let mut nonce = [0; 16];
    // Never blocks: this early in a boot nothing else must block either.
    let random = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut nonce));
    random.map_err(|error| Failure::new("read /dev/urandom", error))?;
    match GuestChannel::new(port).receive(claims, nonce) {
        Ok(Received::Bundle(bundle)) => {
            let proof = keyed_digest(&parameters.challenge, bundle.expose_canonical());
            Ok(format!("PETSEM PROOF {}", HEXLOWER.encode(&proof)))
        }
        Ok(Received::Denied { reason, .. }) => Ok(format!("PETSEM DENY {}", reason.code())),
        Err(error) => Err(Failure::new("take the secrets", error)),
    }
}

fn print(said: &str) -> std::io::Result<()> {
    let mut console = File::options().write(true).open("/dev/console")?;
    write!(console, "{said}\nPETSEM END\n")?;
    // The power goes off immediately, so the line must leave the UART first.
    Ok(rustix::termios::tcdrain(&console)?)
}
