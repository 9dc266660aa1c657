//! `petsem`: the server, the operators' tools, and secrets at the command line. One file a subcommand.
//!
//! Non-goals: it decides nothing. What is allowed is the server's to say, what a token may do is in the token;
//! this crate reads what people type, carries it there, and shows what came back. It takes no value, key or
//! token from its arguments, and prints none to a terminal unasked.

mod answered;
mod clock;
mod commands;
mod context;
mod dotenv;
mod duration;
mod failure;
mod jwt;
mod log;
mod messages;
mod opening;
mod output;
mod private_file;
mod process;
mod remote;
mod revocation;
mod time_argument;
mod value_source;
mod wiping_allocator;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: wiping_allocator::Wiping<std::alloc::System> = wiping_allocator::Wiping(std::alloc::System);

/// Secrets for Machines and for people.
#[derive(Parser)]
#[command(name = "petsem", version, max_term_width = 100, after_help = messages::EXIT_STATUSES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let outcome = process::harden()
        .map_err(messages::cannot_harden)
        .and_then(|umask| CommandLine::parse().command.run(umask));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&failure),
    }
}

fn ended(failure: &Failure) -> ExitCode {
    output::failure(failure);
    ExitCode::from(failure.exit as u8)
}
