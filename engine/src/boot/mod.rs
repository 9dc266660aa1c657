//! Boots: the discharger, the grant, the boot and its renewal, and polls.

#[expect(clippy::module_inception, reason = "the boot itself, among its parts")]
pub(crate) mod boot;
pub(crate) mod discharger;
pub(crate) mod grant;
pub(crate) mod named;
pub(crate) mod polls;
pub(crate) mod proof;
