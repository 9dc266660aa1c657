//! `petsem operator share`.

use std::path::PathBuf;

use clap::Args;
use petsem_server::{AttemptStatus, Settings, give_share, share_attempts};

use crate::failure::Failure;
use crate::unsealing::shares_from;
use crate::{messages, output, remote, value_source};

/// Give a share to a command that gathers shares on this node
///
/// The command was started with --gather-shares in another terminal. First this shows which command it is, who has given a
/// share, and how long it waits; then it prompts for the share. Run this as the user that runs the server.
#[derive(Args)]
pub(crate) struct Share {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "PETSEM_CONFIG", hide_env_values = true)]
    config: PathBuf,

    /// The attempt, if several commands gather shares
    #[arg(long, value_name = "ID")]
    attempt: Option<String>,

    /// Read the share from this file (mode 0600), or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "show")]
    share_file: Option<PathBuf>,

    /// Only show the attempts
    #[arg(long)]
    show: bool,
}

impl Share {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = Settings::read(&self.config)?;
        let attempts = remote::serve(share_attempts(&settings))??;
        if self.show {
            return output::line(&messages::attempts(&attempts));
        }
        let attempt = self.chosen(&attempts)?;
        messages::attempt(attempt).iter().for_each(|line| output::notice(line));
        let shares = match &self.share_file {
            Some(path) => shares_from(path)?,
            None => vec![value_source::prompt_secret(messages::GIVEN_SHARE_PROMPT)?],
        };
        let mut after = attempt.clone();
        for share in shares {
            after = remote::serve(give_share(&settings, &attempt.id, share))??;
        }
        output::line(&messages::share_given(&after))
    }

    fn chosen<'a>(&self, attempts: &'a [AttemptStatus]) -> Result<&'a AttemptStatus, Failure> {
        match (&self.attempt, attempts) {
            (Some(id), _) => attempts
                .iter()
                .find(|attempt| attempt.id == *id)
                .ok_or_else(|| messages::no_such_attempt(&messages::attempts(attempts))),
            (None, [attempt]) => Ok(attempt),
            (None, _) => Err(messages::no_such_attempt(&messages::attempts(attempts))),
        }
    }
}
