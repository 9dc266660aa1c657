//! How large a body may be. A route declares its limit (`route.rs`).

/// The limit of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLimit {
    /// A set of secrets: a bundle of 1 MiB, escaped. The use of a secret key: a message of 1 MiB and associated data
    /// of the same length, in base64.
    Secrets,
    /// A batch of boots: 256 discharges.
    Boots,
    /// A token exchange: a JWT and a few fields.
    Exchange,
    /// Any other: a policy of 64 KiB, escaped.
    Other,
}

impl BodyLimit {
    /// The limit in bytes.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Secrets => 4 * 1024 * 1024,
            Self::Boots => 2 * 1024 * 1024,
            Self::Exchange => 32 * 1024,
            Self::Other => 256 * 1024,
        }
    }
}
