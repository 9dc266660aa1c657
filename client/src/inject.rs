//! Targets of a bundle: one file per target, one trait for all.

mod env_map;
mod exec;
mod machine_channel;
mod tmpfs_dir;

use petsem_api::SecretName;

use crate::bundle::Bundle;
use crate::error::{DeliveryError, Rejection};

pub use env_map::{EnvMap, Environment};
pub use exec::Exec;
pub use machine_channel::{ChannelBinding, ChannelDeadlines, MachineChannel, MachineReceipt};
pub use tmpfs_dir::{Owner, TmpfsDir, TmpfsReceipt};

/// A secret that an environment does not get. The others are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: SecretName,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why an environment does not get a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOutReason {
    /// Programs obey its name, and neither the app's settings nor the reader allow it.
    Reserved {
        /// Which programs.
        obeyed_by: &'static str,
    },
    /// The environment has a variable of this name, and the reader does not let the secret replace it.
    AlreadySet,
    /// Its value has a NUL byte, which no environment can carry.
    HoldsNul,
    /// `NAME=value` is over 131,071 bytes, which exec refuses.
    TooLong,
}

/// A target of secrets.
///
/// `check` runs before anything is written, so that a value that does not fit fails the deploy and not the boot
/// half-way; `deliver` repeats it.
pub trait Injector: Sized {
    /// What a delivery returns.
    type Receipt;

    /// Whether the bundle fits this target. Changes nothing.
    fn check(&self, bundle: &Bundle) -> Result<(), Rejection>;

    /// The secrets of the bundle that this target leaves out, in order of their names. Files and channels carry every
    /// name.
    fn left_out(&self, _bundle: &Bundle) -> Vec<LeftOut> {
        Vec::new()
    }

    /// Delivers the bundle, except what is left out, or nothing.
    fn deliver(self, bundle: Bundle) -> impl Future<Output = Result<Self::Receipt, DeliveryError>> + Send;
}
