//! `petsem secrets`: an app owner's work with values that are never shown again.

mod history;
mod import;
mod list;
mod rollback;
mod set;
mod unset;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum Secrets {
    Set(set::Set),
    Unset(unset::Unset),
    List(list::List),
    Import(import::Import),
    History(history::History),
    Rollback(rollback::Rollback),
}

impl Secrets {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(set) => set.run(),
            Self::Unset(unset) => unset.run(),
            Self::List(list) => list.run(),
            Self::Import(import) => import.run(),
            Self::History(history) => history.run(),
            Self::Rollback(rollback) => rollback.run(),
        }
    }
}
