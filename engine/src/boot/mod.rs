//! Boots: the discharger that grants them, and the boot itself.

#[expect(clippy::module_inception, reason = "the boot of the boots")]
pub(crate) mod boot;
pub(crate) mod discharger;
pub(crate) mod grant;
pub(crate) mod polls;
pub(crate) mod proof;
