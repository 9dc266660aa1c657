//! How many keys of dischargers there may be.

use petsem_api::{ErrorCode, OrgId};

use crate::control::state::Control;
use crate::error::Failure;

/// Keys of one location and org at once.
const MOST_KEYS: usize = 8;
/// Keys of all orgs at once.
const MOST: usize = 1000;
/// Keys of one org, or of the platform, at once.
const MOST_OF_ORG: usize = 32;

/// Whether there is room for one more key. It is asked before a second person is, and again as it takes effect.
pub(crate) fn check_room(control: &Control, location: &str, org: Option<OrgId>) -> Result<(), Failure> {
    let full = |text: String| {
        let hint = "nothing was changed; delete those that are not used any more";
        Failure::new(ErrorCode::Conflict, format!("{text}; {hint}"))
    };
    let of_org = || control.dischargers().iter().filter(|entry| entry.org == org);
    if of_org().filter(|entry| entry.location == location).count() >= MOST_KEYS {
        return Err(full(format!("there are {MOST_KEYS} keys for this location already")));
    }
    // One org's keys leave room for everybody else's, and all orgs' for the platform's.
    if of_org().count() >= MOST_OF_ORG {
        let whose = if org.is_some() { "this org" } else { "the platform" };
        return Err(full(format!("{whose} has {MOST_OF_ORG} dischargers' keys already")));
    }
    if org.is_some() && control.dischargers().len() >= MOST {
        return Err(full(format!("this installation has {MOST} dischargers' keys already")));
    }
    Ok(())
}
