//! The groups of routes in the OpenAPI document.

use super::permits::Priority;

/// A group.
#[derive(Clone, Copy)]
pub(crate) struct Tag {
    pub(crate) name: &'static str,
    pub(super) description: &'static str,
}

impl Tag {
    /// Boots go before all others.
    pub(super) fn priority(self) -> Priority {
        if self.name == BOOTS.name { Priority::Boot } else { Priority::Other }
    }
}

macro_rules! tags {
    ($($constant:ident = $name:literal, $description:literal;)*) => {
        $(pub(crate) const $constant: Tag = Tag { name: $name, description: $description };)*
        pub(super) const ALL: &[Tag] = &[$($constant),*];
    };
}

tags! {
    APPROVALS = "approvals", "What needs a second person";
    ORGS = "orgs", "Owners of apps";
    APPS = "apps", "Apps and their policies";
    SECRETS = "secrets", "Secrets of an app";
    SECRET_KEYS = "secret keys", "Keys of an app that are used and never read";
    BOOTS = "boots", "Machines that boot, and the discharger";
    TOKENS = "tokens", "Tokens, revocations, issuers";
    KEYS = "keys", "Rotation of the keyring and of the KEKs of apps";
    SERVER = "server", "The process itself; no credential";
}
