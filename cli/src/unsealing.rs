//! Opens the store for a command on the node: with the seals of the configuration, or with a passphrase or shares from
//! people. These come from a file, standard input or a prompt, never from argv.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use petsem_seals::{Passphrase, ShareSet};
use petsem_server::{
    AttemptStatus, NewShare, OPEN_FOR, SealSettings, Settings, ShareAttempt, UnsealInput, automatic_seal,
    people_seals,
};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::private_file::{self, PrivateFileError, Reserved, STDIN};
use crate::{messages, output, remote, value_source};

/// Longest passphrase or share file.
const MAX_FILE: usize = 16 * 1024;

/// The configuration, and the passphrase or shares for seals that do not open by themselves.
#[derive(Args)]
pub(crate) struct UnsealArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PETSEM_CONFIG", hide_env_values = true)]
    pub(crate) config: PathBuf,

    /// Open the store with the passphrase in this file (mode 0600), or - for standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,

    /// Open the store with the shares in this file, one per line, or - for standard input; may be repeated
    #[arg(long, value_name = "FILE")]
    share_file: Vec<PathBuf>,

    /// Open the store with shares that several people give, each with `petsem operator share` on this node, within ten
    /// minutes; with those of --share-file, or one that is typed here. Nobody is asked if a seal opens the store by
    /// itself, unless every seal is needed
    #[arg(long, conflicts_with = "passphrase_file")]
    gather_shares: bool,
}

impl UnsealArguments {
    /// The settings, with the passphrase or shares that were given. If no seal opens by itself and nothing was given,
    /// they are prompted for on a terminal.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let settings = Settings::read(&self.config)?;
        if self.gather_shares {
            return self.gathered_if_needed(settings);
        }
        match settings.seals.iter().any(SealSettings::is_automatic) {
            true => Ok(settings.opened_by(self.read_files()?)),
            false => self.prompted(settings),
        }
    }

    /// As [`Self::settings`], but prompts even if a seal of the configuration opens by itself.
    pub(crate) fn settings_with_prompt(&self) -> Result<Settings, Failure> {
        let settings = Settings::read(&self.config)?;
        if self.gather_shares { self.gathered(settings) } else { self.prompted(settings) }
    }

    /// Whether people give shares in other terminals.
    pub(crate) fn gathers(&self) -> bool {
        self.gather_shares
    }

    /// As [`Self::settings`], for a command that needs every seal: on a terminal it prompts for what people have, unless
    /// something was given.
    pub(crate) fn settings_for_every_seal(&self) -> Result<Settings, Failure> {
        let settings = Settings::read(&self.config)?;
        if self.gather_shares {
            return self.gathered(settings);
        }
        let mut input = self.read_files()?;
        if input.is_empty() && std::io::stdin().is_terminal() {
            input = prompt_for_all(&settings)?;
        }
        Ok(settings.opened_by(input))
    }

    /// As [`Self::settings`], but never prompts.
    pub(crate) fn settings_without_prompt(&self) -> Result<Settings, Failure> {
        Ok(Settings::read(&self.config)?.opened_by(self.read_files()?))
    }

    fn prompted(&self, settings: Settings) -> Result<Settings, Failure> {
        let input = self.read_files()?;
        let input = if input.is_empty() { prompt_for_input(&settings)? } else { input };
        Ok(settings.opened_by(input))
    }

    fn gathered_if_needed(&self, settings: Settings) -> Result<Settings, Failure> {
        match remote::wait_for(automatic_seal(&settings))?? {
            Some(seal) => {
                output::notice(&messages::no_shares_needed(&seal));
                Ok(settings)
            }
            None => self.gathered(settings),
        }
    }

    fn gathered(&self, settings: Settings) -> Result<Settings, Failure> {
        let mut own = self.read_shares()?;
        // Before the attempt is open: it cannot answer others while this command waits at a prompt.
        if own.is_empty() && std::io::stdin().is_terminal() {
            let typed = value_source::prompt_secret(messages::OWN_SHARE_PROMPT)?;
            own.extend((!typed.trim().is_empty()).then_some(typed));
        }
        let arguments = std::env::args_os().skip(1).map(|text| text.to_string_lossy().into_owned());
        let command = arguments.collect::<Vec<_>>().join(" ");
        let input = remote::serve(async {
            let attempt = ShareAttempt::open(&settings, format!("petsem {command}"), OPEN_FOR).await;
            let mut attempt = attempt.map_err(Failure::from)?;
            for share in own {
                attempt.give(&share).map_err(|fault| messages::share_refused(&fault))?;
            }
            messages::attempt(&attempt.status()).iter().for_each(|line| output::notice(line));
            let mut changed = |status: &AttemptStatus, fault: Option<&str>| match fault {
                Some(fault) => output::notice(&messages::share_of_another_refused(fault)),
                None => messages::attempt(status).iter().for_each(|line| output::notice(line)),
            };
            attempt.gathered(&mut changed).await.map_err(Failure::from)
        })??;
        Ok(settings.opened_by(input))
    }

    fn read_files(&self) -> Result<UnsealInput, Failure> {
        let passphrase = self.passphrase_file.as_deref().map(passphrase_from).transpose()?;
        Ok(UnsealInput::new(passphrase, self.read_shares()?))
    }

    fn read_shares(&self) -> Result<Vec<Zeroizing<String>>, Failure> {
        let mut shares = Vec::new();
        for path in &self.share_file {
            shares.extend(shares_from(path)?);
        }
        Ok(shares)
    }
}

/// Shares from a private file or standard input, one in each line.
pub(crate) fn shares_from(path: &Path) -> Result<Vec<Zeroizing<String>>, Failure> {
    let text = secret_text(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(|line| Zeroizing::new(line.to_owned())).collect())
}

/// A passphrase from a private file, or from standard input.
pub(crate) fn passphrase_from(path: &Path) -> Result<Passphrase, Failure> {
    if path != Path::new(STDIN) && !private_file::is_pipe(path) {
        return Ok(Passphrase::from_file(path)?);
    }
    Ok(Passphrase::from_text(secret_text(path)?.as_bytes())?)
}

/// A new passphrase, typed twice; `flag` is the alternative to name in the error.
pub(crate) fn new_passphrase(flag: &str) -> Result<Passphrase, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(messages::no_passphrase_prompt(flag));
    }
    let first = value_source::prompt_secret(messages::NEW_PASSPHRASE_PROMPT)?;
    let second = value_source::prompt_secret(messages::REPEAT_PASSPHRASE_PROMPT)?;
    if *first != *second {
        return Err(messages::passphrases_differ());
    }
    Ok(Passphrase::new(first)?)
}

fn secret_text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = match path == Path::new(STDIN) {
        true => value_source::stdin(MAX_FILE)?,
        false => private_file::read_private(path, MAX_FILE)?,
    };
    if private_file::is_utf16(&bytes) {
        return Err(PrivateFileError::Utf16 { path: path.into() }.into());
    }
    let bytes = bytes.strip_prefix(private_file::BYTE_ORDER_MARK).unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| messages::not_text(path))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Prompts for what the store's seals need. Without a terminal the result is empty.
fn prompt_for_input(settings: &Settings) -> Result<UnsealInput, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(UnsealInput::default());
    }
    let people = remote::wait_for(people_seals(settings))??;
    if people.passphrase {
        let passphrase = value_source::prompt_secret(messages::passphrase_prompt(people.shares.is_empty()))?;
        if !passphrase.is_empty() {
            return Ok(UnsealInput::new(Some(Passphrase::new(passphrase)?), Vec::new()));
        }
    }
    for set in people.shares {
        output::notice(&messages::shares_requested(&set.describe()));
        let shares = prompt_for_shares(set)?;
        if !shares.is_empty() {
            return Ok(UnsealInput::new(None, shares));
        }
    }
    Ok(UnsealInput::default())
}

/// Prompts for what people have of each seal; an empty line leaves one out.
fn prompt_for_all(settings: &Settings) -> Result<UnsealInput, Failure> {
    let people = remote::wait_for(people_seals(settings))??;
    let has_file = |seal: &SealSettings| matches!(seal, SealSettings::Passphrase { file: Some(_) });
    let mut passphrase = None;
    if people.passphrase && !settings.seals.iter().any(has_file) {
        let typed = value_source::prompt_secret(messages::PASSPHRASE_OR_NONE_PROMPT)?;
        passphrase = (!typed.is_empty()).then(|| Passphrase::new(typed)).transpose()?;
    }
    let mut shares = Vec::new();
    for set in people.shares {
        output::notice(&messages::shares_or_none_requested(&set.describe()));
        shares.append(&mut prompt_for_shares(set)?);
    }
    Ok(UnsealInput::new(passphrase, shares))
}

/// Prompts for shares until there are enough. Each is checked when it is typed; with an empty line there are none.
fn prompt_for_shares(mut set: ShareSet) -> Result<Vec<Zeroizing<String>>, Failure> {
    let mut shares = Vec::new();
    while set.progress().missing() > 0 {
        let share = value_source::prompt_secret(&messages::share_prompt(set.progress()))?;
        if share.trim().is_empty() {
            shares.clear();
            break;
        }
        match set.add(&share) {
            Ok(_) => shares.push(share),
            Err(error) => output::notice(&error.to_string()),
        }
    }
    Ok(shares)
}

/// Where new shares go: each exists once, and is shown once.
#[derive(Args)]
pub(crate) struct SharesDestination {
    /// Write each share to a new file in this directory (mode 0600)
    #[arg(long, value_name = "DIRECTORY")]
    shares_directory: Option<PathBuf>,

    /// Print the shares even if standard output is not a terminal
    #[arg(long, conflicts_with_all = ["json", "shares_directory"])]
    print_shares: bool,
}

impl SharesDestination {
    /// Fails, before anything is created, if the shares would go nowhere, or to a file by accident.
    pub(crate) fn check(&self, json: bool) -> Result<(), Failure> {
        match &self.shares_directory {
            Some(directory) if directory.is_dir() => Ok(()),
            Some(directory) => Err(messages::no_shares_directory(directory)),
            None if self.print_shares || (output::is_terminal() && !json) => Ok(()),
            None => Err(messages::no_place_for_shares()),
        }
    }

    /// Writes the shares. Called before the store depends on them.
    pub(crate) fn write(&self, shares: &[NewShare]) -> Result<(), String> {
        for (at, share) in shares.iter().enumerate() {
            match &self.shares_directory {
                Some(directory) => Reserved::new(&directory.join(messages::share_file_name(at + 1)))
                    .and_then(|file| file.fill(share.text.as_bytes()))
                    .map_err(|error| Failure::from(error).fact),
                None => output::line(&messages::new_share(&share.description, &share.text))
                    .map_err(|failure| failure.fact),
            }?;
        }
        Ok(())
    }
}
