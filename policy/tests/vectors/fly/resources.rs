//! Organization, Mutations, and the sets of resources.

use super::{FlyAccess, FlyErrors};
use petsem_policy::{Caveat, ResourceSet};

/// The feature that has clusters.
pub(super) const CLUSTER_FEATURE: &str = "litefs-cloud";

pub(super) fn clears(access: &FlyAccess<'_>, caveat: &Caveat) -> Result<(), FlyErrors> {
    match caveat {
        Caveat::Organization { id, mask } => {
            let requested = access.organization.ok_or(FlyErrors::RESOURCE_UNSPECIFIED)?;
            if *id != 0 && *id != requested {
                return Err(FlyErrors::FOR_RESOURCE);
            }
            within(access, *mask)
        }
        Caveat::Mutations(allowed) => {
            let requested = access.mutation.ok_or(FlyErrors::RESOURCE_UNSPECIFIED)?;
            let listed = allowed.iter().flatten().any(|mutation| mutation == requested);
            if listed { Ok(()) } else { Err(FlyErrors::FOR_RESOURCE) }
        }
        Caveat::Apps(set) => in_set(access, set, access.app, &0, |key, requested| *key == requested),
        Caveat::Volumes(set) => named(access, set, access.volume),
        Caveat::FeatureSet(set) => named(access, set, access.feature),
        Caveat::Machines(set) => named(access, set, access.machine),
        Caveat::MachineFeatureSet(set) => named(access, set, access.machine_feature),
        Caveat::Clusters(set) => named(access, set, access.cluster),
        Caveat::AppFeatureSet(set) => named(access, set, access.app_feature),
        Caveat::StorageObjects(set) => {
            let prefix = |key: &String, requested: &str| requested.starts_with(key.as_str());
            in_set(access, set, access.storage_object, &String::new(), prefix)
        }
        _ => Err(FlyErrors::BAD_CAVEAT),
    }
}

fn named(
    access: &FlyAccess<'_>,
    set: &ResourceSet<String>,
    requested: Option<&str>,
) -> Result<(), FlyErrors> {
    in_set(access, set, requested, &String::new(), |key, requested| key == requested)
}

/// The zero id means all resources and excludes other ids; all matching masks are ANDed.
fn in_set<K: Ord, A: Copy>(
    access: &FlyAccess<'_>,
    set: &ResourceSet<K>,
    requested: Option<A>,
    zero: &K,
    matches: impl Fn(&K, A) -> bool,
) -> Result<(), FlyErrors> {
    if set.as_ref().is_some_and(|set| set.len() > 1 && set.contains_key(zero)) {
        return Err(FlyErrors::BAD_CAVEAT);
    }
    let requested = requested.ok_or(FlyErrors::RESOURCE_UNSPECIFIED)?;
    let masks = set.iter().flatten().filter(|(key, _)| *key == zero || matches(key, requested));
    match masks.map(|(_, mask)| *mask).reduce(|all, mask| all & mask) {
        None => Err(FlyErrors::FOR_RESOURCE),
        Some(mask) => within(access, mask),
    }
}

fn within(access: &FlyAccess<'_>, mask: u16) -> Result<(), FlyErrors> {
    match access.action {
        None => Err(FlyErrors::INVALID_ACCESS),
        Some(action) if action & !mask == 0 => Ok(()),
        Some(_) => Err(FlyErrors::FOR_ACTION),
    }
}
