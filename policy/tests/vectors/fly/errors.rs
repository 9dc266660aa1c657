use std::ops::BitOr;

/// A set of error kinds. A kind includes its parents: resource-unspecified is an invalid access, which is
/// unauthorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlyErrors(u16);

impl FlyErrors {
    /// Refused.
    pub(crate) const UNAUTHORIZED: Self = Self(1);
    /// The caveat does not apply to this kind of request.
    pub(crate) const INVALID_ACCESS: Self = Self(2 | 1);
    /// The caveat can never be satisfied.
    pub(crate) const BAD_CAVEAT: Self = Self(4 | 1);
    /// The request does not name the resource.
    pub(crate) const RESOURCE_UNSPECIFIED: Self = Self(8 | 2 | 1);
    /// The request names two resources that exclude each other.
    pub(crate) const MUTUALLY_EXCLUSIVE: Self = Self(16 | 2 | 1);
    /// Another resource.
    pub(crate) const FOR_RESOURCE: Self = Self(32 | 1);
    /// Another action.
    pub(crate) const FOR_ACTION: Self = Self(64 | 1);
    /// Another role.
    pub(crate) const FOR_ROLE: Self = Self(128 | 1);
    /// Another identity.
    pub(crate) const IDENTITY_REQUIRED: Self = Self(256);

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

    /// Whether it contains all kinds of `other`.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the kinds.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, name)| name)
    }
}

impl BitOr for FlyErrors {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
