//! AllowedRoles and IsMember.

use super::{FlyAccess, FlyErrors};

/// The role bit of members.
pub(super) const MEMBER: u32 = 1;
/// All role bits.
const ADMIN: u32 = u32::MAX;
/// Fly's action bit for reading.
const READ: u16 = 1;

pub(super) fn clears(access: &FlyAccess<'_>, allowed: u32) -> Result<(), FlyErrors> {
    if needed(access) & !allowed == 0 { Ok(()) } else { Err(FlyErrors::FOR_ROLE) }
}

fn needed(access: &FlyAccess<'_>) -> u32 {
    let Some(feature) = access.feature else { return MEMBER };
    // The actions of members on the feature.
    let members = match feature {
        "wg" | "domain" | "site" | "builder" | "addon" | "checks" | "litefs-cloud" => u16::MAX,
        "membership" | "billing" | "authentication" => READ,
        "deletion" | "document_signing" => 0,
        _ => return ADMIN,
    };
    if access.action.unwrap_or(0) & !members == 0 { MEMBER } else { ADMIN }
}
