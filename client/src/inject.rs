//! Targets of a bundle: one file per target, one trait for all.

mod env_map;
mod exec;
mod machine_channel;
mod tmpfs_dir;

use crate::bundle::Bundle;
use crate::error::{DeliveryError, Rejection};

pub use env_map::{EnvMap, Environment, OnClash};
pub use exec::Exec;
pub use machine_channel::{ChannelBinding, ChannelDeadlines, MachineChannel, MachineReceipt};
pub use tmpfs_dir::{Owner, TmpfsDir, TmpfsReceipt};

/// A target of secrets.
///
/// `check` runs before anything is written, so that a value that does not fit fails the deploy and not the boot
/// half-way; `deliver` repeats it.
pub trait Injector: Sized {
    /// What a delivery returns.
    type Receipt;

    /// Whether the bundle fits this target. Changes nothing.
    fn check(&self, bundle: &Bundle) -> Result<(), Rejection>;

    /// Delivers the bundle, all of it or nothing.
    fn deliver(self, bundle: Bundle) -> impl Future<Output = Result<Self::Receipt, DeliveryError>> + Send;
}
