//! Every request to petsem has exactly one action; caveats have masks of actions.

use std::fmt;
use std::ops::BitAnd;

/// The action of a request. The numbers are bits of a u16 on the wire and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum Action {
    /// Read the value of a secret. [`crate::Token::clear`] tells what this requires besides the caveats.
    ReadValue = 1,
    /// Set or roll back secrets.
    Write = 2,
    /// List names, digests and history.
    List = 4,
    /// Delete secrets, keys, apps.
    Delete = 8,
    /// Encrypt, decrypt, sign or verify with a secret key.
    UseKey = 16,
    /// Boot a Machine, or request the discharge for it.
    Boot = 32,
    /// Make host tokens, which need a discharge.
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

    /// The name in commands and policies.
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

    /// The action with that [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A mask of actions. Unassigned bits are preserved and allow nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ActionSet(u16);

impl ActionSet {
    /// Every bit.
    pub const EVERYTHING: Self = Self(u16::MAX);

    /// The mask from its bits on the wire.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits on the wire.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether the mask contains the action.
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
