//! `petsem operator seal add`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use petsem_seals::{PASSPHRASE_KIND, SHAMIR_KIND};
use petsem_server::{AddSeal, SealSettings, add_seal};

use crate::failure::Failure;
use crate::unsealing::{SharesDestination, UnsealArguments, new_passphrase, passphrase_from};
use crate::{messages, output, remote};

/// All kinds; the configuration refuses those that this build lacks.
const KINDS: [&str; 6] = ["key-file", "passphrase", "shamir", "pkcs11", "aws-kms", "tpm2"];

/// Add a seal that opens the same store
///
/// The configuration must have the seal, so add it there first. A passphrase, or shares with --threshold and --shares,
/// need no entry. A key file is created; one that exists is refused, because others may know its key. It works beside a
/// running server.
#[derive(Args)]
pub(crate) struct Add {
    /// The kind of seal
    #[arg(value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
    kind: String,

    /// The file with the new passphrase (mode 0600), or - for standard input
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,

    /// How many shares are needed to open the store [default: the configuration's]
    #[arg(long, value_name = "COUNT", requires = "shares")]
    threshold: Option<u8>,

    /// How many shares to create, at most 16 [default: the configuration's]
    #[arg(long, value_name = "COUNT", requires = "threshold")]
    shares: Option<u8>,

    #[command(flatten)]
    shares_destination: SharesDestination,

    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the seal as JSON
    #[arg(long)]
    json: bool,
}

impl Add {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.unsealing.settings()?;
        if self.kind == SHAMIR_KIND {
            self.shares_destination.check(self.json)?;
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
        let request = AddSeal { kind: &self.kind, passphrase, shares: self.threshold.zip(self.shares) };
        let mut write_shares = |shares: &[petsem_server::NewShare]| self.shares_destination.write(shares);
        let added = remote::serve(add_seal(&settings, request, &mut write_shares))??;
        output::confirm(self.json, &added, &messages::seal_added(&added))
    }
}
