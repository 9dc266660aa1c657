//! The Machine channel: how the init of a VM receives its secrets over a byte stream.
//!
//! The stream is a Unix socket that the host makes for one boot of one Machine and hands to the VM monitor
//! (`-chardev socket,…` with a virtio-serial port named `petsem.secrets.0`). **The socket is the identity**:
//! the host binds app, Machine and boot to it when it makes it, and nothing that the guest sends changes that.
//! The socket serves one connection.
//!
//! The frames and the proof are specified at [`GuestChannel`].

mod frame;
mod guest;
mod proof;

pub use frame::DenyReason;
pub use guest::{Claims, GuestChannel, Received, ReceivedBundle};
pub use proof::{keyed_digest, prove};

#[cfg(feature = "fetch")]
pub(crate) use frame::{
    ACK, BUNDLE, CHALLENGE, DENY, HELLO, Hello, LONGEST_ACK, LONGEST_FRAME, LONGEST_HELLO, denial,
};

/// The name of the guest's virtio-serial port.
pub const PORT_NAME: &str = "petsem.secrets.0";
