//! What opens the store for a command on the node: the configuration's own seals, or what people give. Passphrase and
//! shares come from a file, standard input or a prompt, never from argv.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use petsem_seals::{Passphrase, ShareSet};
use petsem_server::{Given, NewShare, Settings, people_seals};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::private_file::{self, Reserved};
use crate::value_source::{self, STDIN};
use crate::{messages, output, remote};

/// Longest passphrase or share file.
const MAX_FILE: usize = 16 * 1024;

/// The configuration, and what opens the store where none of its seals does by itself.
#[derive(Args)]
pub(crate) struct Opening {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PETSEM_CONFIG", hide_env_values = true)]
    pub(crate) config: PathBuf,

    /// Open the store with the passphrase in this file (mode 0600), or - for standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,

    /// Open the store with the shares in this file, one a line, or - for standard input; may be repeated
    #[arg(long, value_name = "FILE")]
    share_file: Vec<PathBuf>,
}

impl Opening {
    /// The settings, with what people gave. Where only people can open the store and nothing was given, they are
    /// asked, if there is a terminal.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let settings = Settings::read(&self.config)?;
        let given = self.given_files()?;
        if given.is_empty() && !settings.seals.iter().any(petsem_server::SealSettings::is_automatic) {
            let asked = ask_people(&settings)?;
            return Ok(settings.opened_by(asked));
        }
        Ok(settings.opened_by(given))
    }

    /// The settings, people asked whatever the configuration has: they come to unseal.
    pub(crate) fn settings_by_people(&self) -> Result<Settings, Failure> {
        let settings = Settings::read(&self.config)?;
        let given = self.given_files()?;
        if given.is_empty() {
            let asked = ask_people(&settings)?;
            return Ok(settings.opened_by(asked));
        }
        Ok(settings.opened_by(given))
    }

    /// The settings, with what was given; nobody is asked.
    pub(crate) fn settings_unasked(&self) -> Result<Settings, Failure> {
        Ok(Settings::read(&self.config)?.opened_by(self.given_files()?))
    }

    fn given_files(&self) -> Result<Given, Failure> {
        let passphrase = self.passphrase_file.as_deref().map(passphrase_from).transpose()?;
        let mut shares = Vec::new();
        for path in &self.share_file {
            let text = secret_text(path)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            shares.extend(lines.map(|line| Zeroizing::new(line.to_owned())));
        }
        Ok(Given::new(passphrase, shares))
    }
}

/// A passphrase out of a file that nobody else may read, or standard input.
pub(crate) fn passphrase_from(path: &Path) -> Result<Passphrase, Failure> {
    if path != Path::new(STDIN) {
        return Ok(Passphrase::from_file(path)?);
    }
    let text = secret_text(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Passphrase::new(Zeroizing::new(line.to_owned()))?)
}

/// A new passphrase, typed twice; `flag` is the other way to give it.
pub(crate) fn new_passphrase(flag: &str) -> Result<Passphrase, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(messages::no_passphrase_prompt(flag));
    }
    let first = value_source::typed(messages::NEW_PASSPHRASE_PROMPT)?;
    let second = value_source::typed(messages::PASSPHRASE_AGAIN_PROMPT)?;
    if *first != *second {
        return Err(messages::passphrases_differ());
    }
    Ok(Passphrase::new(first)?)
}

fn secret_text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if path == Path::new(STDIN) {
        let stdin = std::io::stdin().lock();
        let bytes = private_file::read_stream(Path::new(messages::STDIN_NAME), stdin, MAX_FILE)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| messages::not_text(path))?;
        return Ok(Zeroizing::new(text.to_owned()));
    }
    Ok(private_file::read_token(path)?)
}

/// Asks those that there are for what they have. Without a terminal nobody is there.
fn ask_people(settings: &Settings) -> Result<Given, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(Given::default());
    }
    let people = remote::wait_for(people_seals(settings))??;
    if people.passphrase {
        let typed = value_source::typed(messages::passphrase_prompt(people.shares.is_empty()))?;
        if !typed.is_empty() {
            return Ok(Given::new(Some(Passphrase::new(typed)?), Vec::new()));
        }
    }
    let mut shares = Vec::new();
    for set in people.shares {
        if !ask_for_shares(set, &mut shares)?.is_empty() {
            break;
        }
    }
    Ok(Given::new(None, shares))
}

/// Asks for shares until there are enough. Each is checked as it is typed; an empty line gives up.
fn ask_for_shares(
    mut set: ShareSet,
    shares: &mut Vec<Zeroizing<String>>,
) -> Result<&[Zeroizing<String>], Failure> {
    output::notice(&messages::shares_wanted(&set.describe()));
    while set.progress().missing() > 0 {
        let typed = value_source::typed(&messages::share_prompt(set.progress()))?;
        if typed.trim().is_empty() {
            shares.clear();
            break;
        }
        match set.add(&typed) {
            Ok(_) => shares.push(typed),
            Err(error) => output::notice(&error.to_string()),
        }
    }
    Ok(shares)
}

/// Where new shares go: each exists once, and is shown once.
#[derive(Args)]
pub(crate) struct SharesOut {
    /// Write each share to a new file in this directory (mode 0600)
    #[arg(long, value_name = "DIRECTORY")]
    shares_directory: Option<PathBuf>,

    /// Print the shares also where standard output is no terminal
    #[arg(long, conflicts_with_all = ["json", "shares_directory"])]
    print_shares: bool,
}

impl SharesOut {
    /// Says before anything is made that the shares would go to nobody, or to a file by accident.
    pub(crate) fn check(&self, json: bool) -> Result<(), Failure> {
        match &self.shares_directory {
            Some(directory) if directory.is_dir() => Ok(()),
            Some(directory) => Err(messages::no_shares_directory(directory)),
            None if self.print_shares || (output::is_terminal() && !json) => Ok(()),
            None => Err(messages::shares_to_nobody()),
        }
    }

    /// Hands the shares out. Called before the store depends on them.
    pub(crate) fn keep(&self, shares: &[NewShare]) -> Result<(), String> {
        for (at, share) in shares.iter().enumerate() {
            let kept = match &self.shares_directory {
                Some(directory) => Reserved::new(&directory.join(messages::share_file_name(at + 1)))
                    .and_then(|file| file.fill(share.text.as_bytes()))
                    .map_err(|error| Failure::from(error).fact),
                None => output::line(&messages::share_shown(&share.description, &share.text))
                    .map_err(|failure| failure.fact),
            };
            kept?;
        }
        Ok(())
    }
}
