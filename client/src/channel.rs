//! The Machine channel: how a VM's init gets its secrets over a byte stream.
//!
//! The stream is a Unix socket that the host makes for one boot of one Machine and hands to the VM monitor
//! (`-chardev socket,…` with a virtio-serial port named `petsem.secrets.0`). **The socket is the identity**:
//! the host binds app, Machine and boot to it when it makes it, and nothing that the guest says changes that.
//! One connection is served.
//!
//! # Frames
//! A frame is a length (u32, big-endian: type and payload together, 1 to 2 MiB), a type (u8), a payload.
//!
//! | type | direction | payload |
//! |---|---|---|
//! | 1 HELLO | guest → host | version (u8, 1), nonce (16, the guest's own choice), claimed Machine (length u8, text), claimed app (length u8, text; name or id). A claim may be empty |
//! | 2 BUNDLE | host → guest | challenge (32, random for this boot), [canonical bundle](crate::CanonicalBundle) |
//! | 3 DENY | host → guest | reason (u8), text for people (at most 200 bytes of UTF-8, nothing secret) |
//! | 4 ACK | guest → host | proof (32) |
//! | 5 UPDATE | host → guest | reserved for rotation; unknown to this version, and refused like every other type |
//!
//! The guest says HELLO, the host answers BUNDLE or DENY, the guest answers BUNDLE with ACK. A claim that
//! differs from what the socket is bound to is answered DENY, and so is anything that is not HELLO. Both
//! sides read to a deadline, and neither allocates by a length that it has only been told.
//!
//! # Proof
//! `HMAC-SHA-256(key = challenge, "petsem machine channel v1" ‖ nonce ‖ canonical bundle)` (RFC 2104, FIPS
//! 180-4). It shows that what the guest holds is what the host sent, in this boot. It does not authenticate
//! the host to the guest: the hypervisor that holds the socket holds the guest's memory too.

mod frame;
mod guest;
mod proof;

pub use frame::DenyReason;
pub use guest::{Claims, GuestChannel, GuestError, Received, ReceivedBundle};
pub use proof::{keyed_digest, prove};

#[cfg(feature = "fetch")]
pub(crate) use frame::{
    ACK, BUNDLE, CHALLENGE, DENY, HELLO, Hello, LONGEST_ACK, LONGEST_FRAME, LONGEST_HELLO, denial,
};

/// The name of the guest's virtio-serial port.
pub const PORT_NAME: &str = "petsem.secrets.0";
