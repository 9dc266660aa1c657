//! `petsem operator`: work on the node itself, most of it while no server uses its store; and rotations, which the
//! running server does.

mod accept_rollback;
mod approve;
mod audit;
mod deny;
mod discharger;
mod init;
mod issuer;
mod node;
mod owner;
mod recover;
mod rotate_app;
mod rotate_keyring;
mod rotate_root;
mod rotations;
mod seal;
mod share;
mod status;
mod unseal;
mod verify;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum Operator {
    Init(init::Init),
    Status(status::Status),
    Unseal(unseal::Unseal),
    Seal(seal::Seal),
    Share(share::Share),
    RotateRoot(rotate_root::RotateRoot),
    Verify(verify::Verify),
    AcceptRollback(accept_rollback::AcceptRollback),
    Owner(owner::Owner),
    Recover(recover::Recover),
    Deny(deny::Deny),
    /// Register issuers of JWTs
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    /// Register outside dischargers
    #[command(subcommand)]
    Discharger(discharger::Discharger),
    Approve(approve::Approve),
    /// Add nodes
    #[command(subcommand)]
    Node(node::Node),
    RotateKeyring(rotate_keyring::RotateKeyring),
    RotateApp(rotate_app::RotateApp),
    Rotations(rotations::Rotations),
    /// Show and verify this node's audit log
    #[command(subcommand)]
    Audit(audit::Audit),
}

impl Operator {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.run(),
            Self::Status(status) => status.run(),
            Self::Unseal(unseal) => unseal.run(),
            Self::Seal(seal) => seal.run(),
            Self::Share(share) => share.run(),
            Self::RotateRoot(rotate_root) => rotate_root.run(),
            Self::Verify(verify) => verify.run(),
            Self::AcceptRollback(accept) => accept.run(),
            Self::Owner(owner) => owner.run(),
            Self::Recover(recover) => recover.run(),
            Self::Deny(deny) => deny.run(),
            Self::Issuer(issuer) => issuer.run(),
            Self::Discharger(discharger) => discharger.run(),
            Self::Approve(approve) => approve.run(),
            Self::Node(node) => node.run(),
            Self::RotateKeyring(rotate) => rotate.run(),
            Self::RotateApp(rotate) => rotate.run(),
            Self::Rotations(rotations) => rotations.run(),
            Self::Audit(audit) => audit.run(),
        }
    }
}
