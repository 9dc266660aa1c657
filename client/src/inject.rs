//! Where a bundle goes: one file for each target, one trait over them.

mod env_map;
mod exec;
mod machine_channel;
mod rejection;
mod tmpfs_dir;

use crate::bundle::Bundle;

pub use env_map::{EnvMap, Environment, OnClash};
pub use exec::Exec;
pub use machine_channel::{BindError, ChannelBinding, ChannelDeadlines, MachineChannel, MachineReceipt};
pub use rejection::{DeliveryError, Rejection};
pub use tmpfs_dir::{Owner, TmpfsDir, TmpfsReceipt};

/// A target of secrets.
///
/// `check` comes before anything is written, so that a value that does not fit fails the deploy and not half
/// a boot; `deliver` repeats it.
pub trait Injector: Sized {
    /// What a delivery leaves.
    type Receipt;

    /// Whether the bundle fits this target. Changes nothing.
    fn check(&self, bundle: &Bundle) -> Result<(), Rejection>;

    /// Puts the bundle there, whole or not at all.
    fn deliver(self, bundle: Bundle) -> impl Future<Output = Result<Self::Receipt, DeliveryError>> + Send;
}
