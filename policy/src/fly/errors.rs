use std::ops::BitOr;

/// Kinds of refusals, as a set. A kind brings its parents: resource-unspecified is an invalid access, which
/// is unauthorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlyErrors(u16);

impl FlyErrors {
    /// No refusal.
    pub const NONE: Self = Self(0);
    /// Refused.
    pub const UNAUTHORIZED: Self = Self(1);
    /// The request cannot be asked that.
    pub const INVALID_ACCESS: Self = Self(2 | 1);
    /// The caveat can never be met.
    pub const BAD_CAVEAT: Self = Self(4 | 1);
    /// The request does not name the resource.
    pub const RESOURCE_UNSPECIFIED: Self = Self(8 | 2 | 1);
    /// The request names two resources that exclude each other.
    pub const MUTUALLY_EXCLUSIVE: Self = Self(16 | 2 | 1);
    /// Another resource.
    pub const FOR_RESOURCE: Self = Self(32 | 1);
    /// Another action.
    pub const FOR_ACTION: Self = Self(64 | 1);
    /// Another role.
    pub const FOR_ROLE: Self = Self(128 | 1);
    /// Another identity.
    pub const IDENTITY_REQUIRED: Self = Self(256);

    /// Names of the kinds, by bit.
    const NAMES: [(u16, &'static str); 9] = [
        (1, "unauthorized"),
        (2, "invalid_access"),
        (4, "bad_caveat"),
        (8, "resource_unspecified"),
        (16, "resources_mutually_exclusive"),
        (32, "unauthorized_for_resource"),
        (64, "unauthorized_for_action"),
        (128, "unauthorized_for_role"),
        (256, "identity_required"),
    ];

    /// Whether all kinds of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the kinds.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, name)| name)
    }
}

impl BitOr for FlyErrors {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
