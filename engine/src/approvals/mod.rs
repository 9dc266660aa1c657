//! What needs a second person.

pub(crate) mod break_glass;
pub(crate) mod discharger_limits;
pub(crate) mod dischargers;
pub(crate) mod guard;
pub(crate) mod issuers;
pub(crate) mod request;
