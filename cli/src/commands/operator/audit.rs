//! `petsem operator audit`.

mod accept_loss;
mod show;
mod verify;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum Audit {
    Show(show::Show),
    AcceptLoss(accept_loss::AcceptLoss),
    Verify(verify::Verify),
}

impl Audit {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Show(show) => show.run(),
            Self::AcceptLoss(accept) => accept.run(),
            Self::Verify(verify) => verify.run(),
        }
    }
}
