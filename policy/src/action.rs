//! What a request to petsem does: exactly one action, matched against masks of them.

use std::fmt;
use std::ops::BitAnd;

/// One thing that a request does. The numbers are bits of a u16 on the wire, and forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum Action {
    /// Read the value of a secret. See [`crate::Token::clear`] for what this asks beside the caveats.
    ReadValue = 1,
    /// Set or roll back secrets.
    Write = 2,
    /// List names, digests and history.
    List = 4,
    /// Delete secrets, keys, apps.
    Delete = 8,
    /// Encrypt, decrypt, sign, verify with a secret key.
    UseKey = 16,
    /// Boot a Machine, or ask for the discharge to do so.
    Boot = 32,
    /// Make host tokens, which open nothing alone.
    Enroll = 64,
    /// Change app policies.
    ManagePolicy = 128,
    /// Mint tokens.
    Mint = 256,
    /// Operate the installation.
    Operate = 512,
}

impl Action {
    /// All actions, lowest bit first.
    pub const ALL: [Self; 10] = [
        Self::ReadValue,
        Self::Write,
        Self::List,
        Self::Delete,
        Self::UseKey,
        Self::Boot,
        Self::Enroll,
        Self::ManagePolicy,
        Self::Mint,
        Self::Operate,
    ];

    /// The bit on the wire.
    pub const fn bit(self) -> u16 {
        self as u16
    }

    /// The name that people type, and policies hold.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadValue => "read_value",
            Self::Write => "write",
            Self::List => "list",
            Self::Delete => "delete",
            Self::UseKey => "use_key",
            Self::Boot => "boot",
            Self::Enroll => "enroll",
            Self::ManagePolicy => "manage_policy",
            Self::Mint => "mint",
            Self::Operate => "operate",
        }
    }

    /// The action of that [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A mask of actions. Bits without an action are kept: they allow nothing today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ActionSet(u16);

impl ActionSet {
    /// Every bit.
    pub const EVERYTHING: Self = Self(u16::MAX);

    /// A mask as it is on the wire.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The mask as it is on the wire.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether the action is in it.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }
}

impl FromIterator<Action> for ActionSet {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |mask, action| mask | action.bit()))
    }
}

impl BitAnd for ActionSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for ActionSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for action in Action::ALL.into_iter().filter(|action| self.contains(*action)) {
            write!(out, "{separator}{action}")?;
            separator = ", ";
        }
        if separator.is_empty() { out.write_str("nothing") } else { Ok(()) }
    }
}
