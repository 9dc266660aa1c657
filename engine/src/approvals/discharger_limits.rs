//! How many keys of dischargers there may be.

use petsem_api::OrgId;

use crate::control::state::Control;
use crate::error::Failure;
use crate::messages;

/// Most keys of one location at once, within one org or within the platform.
const MOST_KEYS: usize = 8;
/// Most keys of the whole installation at once; the platform's own may exceed it.
const MOST: usize = 1000;
/// Most keys of one org, or of the platform, at once.
const MOST_OF_ORG: usize = 32;

/// Checks the limits for one more key: before an approval is requested, and again when the key takes effect.
pub(crate) fn check_room(control: &Control, location: &str, org: Option<OrgId>) -> Result<(), Failure> {
    let of_org = || control.dischargers().iter().filter(|entry| entry.org == org);
    if of_org().filter(|entry| entry.location == location).count() >= MOST_KEYS {
        return Err(messages::too_many_keys_of_location(MOST_KEYS));
    }
    // One org cannot take the room of other orgs, and all orgs together cannot take that of the platform.
    if of_org().count() >= MOST_OF_ORG {
        return Err(messages::too_many_keys_of_owner(org, MOST_OF_ORG));
    }
    if org.is_some() && control.dischargers().len() >= MOST {
        return Err(messages::too_many_keys_of_dischargers(MOST));
    }
    Ok(())
}
