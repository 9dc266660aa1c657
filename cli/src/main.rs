//! `petsem`: the server, the operators' tools, and secrets at the command line. One file per subcommand.
//!
//! Non-goals: it decides nothing. The server decides what is allowed, and a token carries its permissions.
//! This crate reads what people type, sends it, and prints the answer. It takes no value, key or token as an
//! argument, and prints none to a terminal unless requested.
//!
//! The modules have no cycle: commands use [`output`] and [`messages`], and these use plain data ([`failure`],
//! [`report`], [`dotenv`], [`private_file`], [`prompt`]).

mod arguments;
mod change_outcome;
mod clock;
mod commands;
mod confirmation;
mod context;
mod dotenv;
mod duration;
mod failure;
mod held_token;
mod hints;
mod jwt;
mod log;
mod messages;
mod output;
mod private_file;
mod process;
mod prompt;
mod remote;
mod report;
mod revocation;
mod service_manager;
mod timestamp;
mod unsealing;
mod value_source;
mod wiping_allocator;

use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Command as Definition, CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;

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
        .and_then(|umask| command_line().command.run(umask, CommandLine::command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}

/// The arguments. A variable that is set to nothing counts as not set: that is how scripts clear one.
fn command_line() -> CommandLine {
    let definition = without_empty_variables(CommandLine::command());
    let matches = definition.clone().try_get_matches().unwrap_or_else(|error| {
        // What a variable gives need not be typed, so a usage does not name it.
        match without_variables(definition.clone()).try_get_matches() {
            Err(shorter) if shorter.kind() == error.kind() => shorter.exit(),
            _ => error.exit(),
        }
    });
    hints::remember(definition, &matches);
    CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Without the arguments' variables; what a variable gives is not required.
fn without_variables(definition: Definition) -> Definition {
    let is_set = |name: &std::ffi::OsStr| std::env::var_os(name).is_some();
    definition
        .mut_args(|argument| match argument.get_env() {
            Some(name) if is_set(name) => argument.env(Resettable::Reset).required(false),
            _ => argument,
        })
        .mut_subcommands(without_variables)
}

fn without_empty_variables(definition: Definition) -> Definition {
    let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    definition
        .mut_args(|argument| match argument.get_env() {
            Some(name) if is_empty(name) => argument.env(Resettable::Reset),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}
