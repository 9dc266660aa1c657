//! What cannot be undone is confirmed: a person types a word at the terminal; anything else states it with `--yes`.

use std::io::IsTerminal;

use clap::Args;

use crate::failure::Failure;
use crate::prompt::read_visible;
use crate::{messages, output};

#[derive(Args)]
pub(crate) struct Confirmation {
    /// Do not ask for confirmation; without a terminal nothing is done otherwise
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Whether `--yes` confirms it, so that nobody reads a question.
    pub(crate) fn is_given(&self) -> bool {
        self.yes
    }

    /// Succeeds if the consequence is confirmed: with `--yes`, or by a person who types `word`.
    ///
    /// # Errors
    /// It is not. Nothing may be changed then.
    pub(crate) fn require(&self, consequence: &str, word: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        // A script that lost its terminal, or its here-document, has confirmed nothing.
        if !std::io::stdin().is_terminal() {
            return Err(messages::confirmation_needs_yes(consequence));
        }
        let line = read_visible(|| output::prompt(&messages::confirmation_prompt(consequence, word)));
        match line.map_err(messages::prompt_failed)? {
            Some(line) if line.trim() == word => Ok(()),
            _ => Err(messages::not_confirmed(word)),
        }
    }
}
