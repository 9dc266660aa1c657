//! `petsem secrets`: an app owner's work with values, which are shown only with another person's approval.

mod get;
mod history;
mod import;
mod list;
mod rollback;
mod set;
mod unset;

use clap::Subcommand;

pub(crate) use get::Readers;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum Secrets {
    Set(set::Set),
    Unset(unset::Unset),
    List(list::List),
    Get(get::Get),
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
            Self::Get(get) => get.run(),
            Self::Import(import) => import.run(),
            Self::History(history) => history.run(),
            Self::Rollback(rollback) => rollback.run(),
        }
    }
}
