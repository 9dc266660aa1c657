//! `petsem signing-key`.

use clap::{Args, Subcommand};
use petsem_api::{OrgRef, RotateSigningKey, SigningKeyInfo, SigningKeyList};

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};

#[derive(Subcommand)]
pub(crate) enum SigningKey {
    /// List the keys that sign tokens; the keys themselves are never shown
    List(List),
    /// Sign new tokens with a new key
    ///
    /// Tokens of the old key stay valid until they expire, or `petsem token revoke --key` revokes the key.
    Rotate(Rotate),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: ServerArguments,
}

#[derive(Args)]
pub(crate) struct Rotate {
    /// The org whose tokens the key signs, by name or id [default: the platform, for operator and host tokens]
    #[arg(long, value_name = "ORG")]
    org: Option<OrgRef>,

    #[command(flatten)]
    common: ServerArguments,
}

impl SigningKey {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Rotate(rotate) => rotate.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let answer: SigningKeyList = remote.get("/v1/signing-keys")?;
        output::answer(self.common.json, &answer, |answer| {
            let mut table = Table::new(&["ID", "SIGNS FOR", "STATE", "CREATED"]);
            for key in &answer.signing_keys {
                table.row([
                    key.id.to_string(),
                    key.org.map_or_else(|| messages::PLATFORM.to_owned(), |org| org.to_string()),
                    messages::signing_key_state(key.state).to_owned(),
                    key.created_at.clone(),
                ]);
            }
            table
        })
    }
}

impl Rotate {
    fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        let key: SigningKeyInfo = remote.post("/v1/signing-keys", &RotateSigningKey { org: self.org })?;
        output::confirm(self.common.json, &key, &messages::signing_key_rotated(&key))
    }
}
