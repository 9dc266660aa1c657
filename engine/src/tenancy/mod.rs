//! Orgs, apps, their settings and their policies.

pub(crate) mod apps;
pub(crate) mod find;
pub(crate) mod found;
pub(crate) mod orgs;
pub(crate) mod policies;
pub(crate) mod seen;
pub(crate) mod settings;
