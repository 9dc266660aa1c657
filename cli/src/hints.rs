//! Commands that texts name, completed so that they can be typed as shown: one that takes --config or --context gets
//! the file that this command was given.
//!
//! In one place, because the server's texts name commands, too, and know nothing of files on this command line.

use std::path::PathBuf;
use std::sync::OnceLock;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command as Definition};
use petsem_api::shell_quoted;

/// The arguments that are repeated.
const REPEATED: [&str; 2] = ["config", "context"];

/// The whole command line, and what was given of these arguments.
struct Given {
    definition: Definition,
    arguments: Vec<(&'static str, String)>,
}

static GIVEN: OnceLock<Given> = OnceLock::new();

/// Remembers what this command was given. A variable needs no repetition: the next command finds it, too.
pub(crate) fn remember(definition: Definition, matches: &ArgMatches) {
    let mut last = matches;
    while let Some((_, deeper)) = last.subcommand() {
        last = deeper;
    }
    let given = REPEATED.into_iter().filter_map(|name| {
        let path = last.try_get_one::<PathBuf>(name).ok()??;
        let is_typed = last.value_source(name) == Some(ValueSource::CommandLine);
        is_typed.then(|| (name, shell_quoted(&path.display().to_string())))
    });
    // Once in a process; a second call would change nothing.
    let _is_first = GIVEN.set(Given { arguments: given.collect(), definition });
}

/// A text whose commands are complete.
pub(crate) fn completed(text: &str) -> String {
    match GIVEN.get() {
        Some(given) if !given.arguments.is_empty() => given.completed(text),
        _ => text.to_owned(),
    }
}

impl Given {
    fn completed(&self, text: &str) -> String {
        let completed = |(at, part): (usize, &str)| match part.strip_prefix("petsem ") {
            // Every second part is within a pair.
            Some(arguments) if at % 2 == 1 => self.command(arguments),
            _ => part.to_owned(),
        };
        text.split('`').enumerate().map(completed).collect::<Vec<_>>().join("`")
    }

    fn command(&self, arguments: &str) -> String {
        let mut command = format!("petsem {arguments}");
        let mut named = &self.definition;
        for word in arguments.split_whitespace() {
            let Some(deeper) = named.find_subcommand(word) else { break };
            named = deeper;
        }
        for (name, value) in &self.arguments {
            if named.get_arguments().all(|argument| argument.get_id() != name) {
                continue;
            }
            let (flag, placeholder) = (format!("--{name}"), format!("--{name} FILE"));
            if command.contains(&placeholder) {
                command = command.replace(&placeholder, &format!("{flag} {value}"));
            } else if !command.split_whitespace().any(|word| word == flag) {
                command.push_str(&format!(" {flag} {value}"));
            }
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, arg};

    use super::*;

    fn given(config: &str) -> Given {
        let config_file = || arg!(--config <FILE>);
        let definition = Definition::new("petsem").subcommands([
            Definition::new("server").arg(config_file()),
            Definition::new("operator").subcommands([
                Definition::new("unseal").arg(config_file()),
                Definition::new("seal")
                    .subcommand(Definition::new("add").arg(config_file()).arg(Arg::new("kind"))),
                Definition::new("rotations"),
            ]),
        ]);
        Given { definition, arguments: vec![("config", shell_quoted(config))] }
    }

    #[test]
    fn only_commands_that_take_a_file_get_it_and_only_once() {
        let given = given("/etc/petsem/my petsem's.toml");
        for (text, completed) in [
            (
                "run `petsem operator unseal`, then wait",
                r"run `petsem operator unseal --config FILE`, then wait",
            ),
            ("`petsem server --config FILE` starts one", "`petsem server --config FILE` starts one"),
            ("`petsem operator unseal --config other`", "`petsem operator unseal --config other`"),
            (
                "`petsem operator seal add passphrase` or `petsem operator seal`",
                "`petsem operator seal add passphrase --config FILE` or `petsem operator seal`",
            ),
            ("`petsem operator rotations` and `store_full`", "`petsem operator rotations` and `store_full`"),
            ("petsem operator unseal", "petsem operator unseal"),
            ("odd ` petsem operator unseal", "odd ` petsem operator unseal"),
        ] {
            let file = r"'/etc/petsem/my petsem'\''s.toml'";
            assert_eq!(given.completed(text), completed.replace("FILE", file), "{text}");
        }
    }
}
