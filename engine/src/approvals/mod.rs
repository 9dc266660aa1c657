//! Changes that need a second person: requests, their approval, and what takes effect.

pub(crate) mod break_glass;
pub(crate) mod discharger_limits;
pub(crate) mod dischargers;
pub(crate) mod enrollment;
pub(crate) mod guard;
pub(crate) mod issuers;
pub(crate) mod key_digest;
pub(crate) mod request;
