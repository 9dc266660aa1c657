//! `petsem token`.

mod attenuate;
mod create;
mod inspect;
mod list;
mod revoke;
mod written;

use clap::Subcommand;

use crate::failure::Failure;

pub(crate) use inspect::Inspected;

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Mint a token that can do less than yours
    Create(create::Create),
    /// Narrow a token that you hold; needs no server
    Attenuate(attenuate::Attenuate),
    /// Say in words what a token may do; needs no server
    Inspect(inspect::Inspect),
    /// List tokens that were minted
    List(list::List),
    /// Revoke a token, a Machine or a host
    Revoke(revoke::Revoke),
}

impl Token {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::Attenuate(attenuate) => attenuate.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::List(list) => list.run(),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}
