//! `petsem operator seal add`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use petsem_seals::{PASSPHRASE_KIND, SHAMIR_KIND};
use petsem_server::{AddSeal, SealSettings, add_seal};

use crate::failure::Failure;
use crate::opening::{Opening, SharesOut, new_passphrase, passphrase_from};
use crate::{messages, output, remote};

/// The kinds that there are; one that this build does not have is refused by the configuration.
const KINDS: [&str; 6] = ["key-file", "passphrase", "shamir", "pkcs11", "aws-kms", "tpm2"];

/// Add a seal: it opens the same store
///
/// The seal is the configuration's: put it there first. A passphrase, or shares with --threshold and --shares,
/// need no entry. It works beside a running server.
#[derive(Args)]
pub(crate) struct Add {
    /// Its kind
    #[arg(value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
    kind: String,

    /// The new passphrase is in this file (mode 0600), or - for standard input
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,

    /// How many shares shall be needed [default: the configuration's]
    #[arg(long, value_name = "COUNT", requires = "shares")]
    threshold: Option<u8>,

    /// How many shares there shall be, 16 at most [default: the configuration's]
    #[arg(long, value_name = "COUNT", requires = "threshold")]
    shares: Option<u8>,

    #[command(flatten)]
    shares_out: SharesOut,

    #[command(flatten)]
    opening: Opening,

    /// Print the seal as JSON
    #[arg(long)]
    json: bool,
}

impl Add {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.opening.settings()?;
        if self.kind == SHAMIR_KIND {
            self.shares_out.check(self.json)?;
        }
        let has_file =
            settings.seals.iter().any(|seal| matches!(seal, SealSettings::Passphrase { file: Some(_) }));
        let passphrase = match &self.new_passphrase_file {
            Some(path) => Some(passphrase_from(path)?),
            None if self.kind == PASSPHRASE_KIND && !has_file => {
                Some(new_passphrase("--new-passphrase-file")?)
            }
            None => None,
        };
        let wanted = AddSeal { kind: &self.kind, passphrase, shares: self.threshold.zip(self.shares) };
        let mut keep = |shares: &[petsem_server::NewShare]| self.shares_out.keep(shares);
        let added = remote::serve(add_seal(&settings, &wanted, &mut keep))??;
        output::confirm(self.json, &added, &messages::seal_added(&added))
    }
}
