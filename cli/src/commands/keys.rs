//! `petsem keys`: keys that an app uses and that are never readable. Versions of a key are labels that end in `v0`,
//! `v1` …: a label without a version means the newest one, and a new key gets the next one.

mod data;
mod decrypt;
mod delete;
mod encrypt;
mod generate;
mod label;
mod list;
mod set;
mod sign;
mod verify;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum Keys {
    Generate(generate::Generate),
    Set(set::Set),
    List(list::List),
    Delete(delete::Delete),
    Encrypt(encrypt::Encrypt),
    Decrypt(decrypt::Decrypt),
    Sign(sign::Sign),
    Verify(verify::Verify),
}

impl Keys {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate(generate) => generate.run(),
            Self::Set(set) => set.run(),
            Self::List(list) => list.run(),
            Self::Delete(delete) => delete.run(),
            Self::Encrypt(encrypt) => encrypt.run(),
            Self::Decrypt(decrypt) => decrypt.run(),
            Self::Sign(sign) => sign.run(),
            Self::Verify(verify) => verify.run(),
        }
    }
}
