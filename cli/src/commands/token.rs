//! `petsem token`.

mod attenuate;
mod create;
mod destination;
mod exchange;
mod explain;
mod inspect;
mod limits;
mod list;
mod revoke;

use clap::Subcommand;

pub(crate) use list::state as token_state;
pub(crate) use revoke::Descendants;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum Token {
    Create(create::Create),
    Exchange(exchange::ExchangeJwt),
    Attenuate(attenuate::Attenuate),
    Inspect(inspect::Inspect),
    Explain(explain::Explain),
    List(list::List),
    Revoke(revoke::Revoke),
}

impl Token {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::Exchange(exchange) => exchange.run(),
            Self::Attenuate(attenuate) => attenuate.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::Explain(explain) => explain.run(),
            Self::List(list) => list.run(),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}
