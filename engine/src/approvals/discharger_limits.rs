//! How many keys of dischargers there may be.

use petsem_api::{ErrorCode, OrgId};

use crate::control::state::Control;
use crate::error::Failure;

/// Most keys of one location at once, within one org or within the platform.
const MOST_KEYS: usize = 8;
/// Most keys of the whole installation at once; the platform's own may exceed it.
const MOST: usize = 1000;
/// Most keys of one org, or of the platform, at once.
const MOST_OF_ORG: usize = 32;

/// Checks the limits for one more key: before a second person is asked, and again when the key takes effect.
pub(crate) fn check_room(control: &Control, location: &str, org: Option<OrgId>) -> Result<(), Failure> {
    let full = |text: String| {
        let hint = "nothing was changed; delete keys that are no longer used";
        Failure::new(ErrorCode::Conflict, format!("{text}; {hint}"))
    };
    let of_org = || control.dischargers().iter().filter(|entry| entry.org == org);
    if of_org().filter(|entry| entry.location == location).count() >= MOST_KEYS {
        return Err(full(format!("this location already has {MOST_KEYS} keys")));
    }
    // One org cannot take the room of other orgs, and all orgs together cannot take that of the platform.
    if of_org().count() >= MOST_OF_ORG {
        let owner = if org.is_some() { "this org" } else { "the platform" };
        return Err(full(format!("{owner} already has {MOST_OF_ORG} discharger keys")));
    }
    if org.is_some() && control.dischargers().len() >= MOST {
        return Err(full(format!("this installation already has {MOST} discharger keys")));
    }
    Ok(())
}
