//! `petsem operator node`.

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use petsem_server::add_node;
use serde::Serialize;

use crate::failure::Failure;
use crate::unsealing::UnsealArguments;
use crate::{messages, output, remote};

#[derive(Subcommand)]
pub(crate) enum Node {
    Add(Add),
}

/// Add this node to an installation
///
/// Run it on the new node, before its first start. It creates the node's id in the data directory, and its audit log.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    unsealing: UnsealArguments,

    /// Print the node's id as JSON
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Serialize)]
struct NodeReport<'a> {
    node: &'a str,
}

impl Node {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self::Add(add) = self;
        let node = HEXLOWER.encode(&remote::serve(add_node(&add.unsealing.settings()?))??);
        output::confirm(add.json, &NodeReport { node: &node }, &messages::node_added(&node))
    }
}
