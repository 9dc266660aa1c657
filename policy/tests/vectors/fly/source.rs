//! FromMachineSource and FlySrc: the source of a request.

use super::{FlyAccess, FlyClass, FlyErrors};
use petsem_policy::Caveat;

pub(super) fn clears(access: &FlyAccess<'_>, caveat: &Caveat) -> Result<(), FlyErrors> {
    match caveat {
        Caveat::FromMachineSource(id) => same(access, access.source_machine, id),
        Caveat::FlySrc { organization, app, instance } => [
            (access.source_machine, instance),
            (access.source_app, app),
            (access.source_organization, organization),
        ]
        .into_iter()
        .filter(|(_, wanted)| !wanted.is_empty())
        .try_for_each(|(source, wanted)| same(access, source, wanted)),
        _ => Err(FlyErrors::BAD_CAVEAT),
    }
}

/// Only named sources are checked: a caveat that names none allows every request.
fn same(access: &FlyAccess<'_>, source: Option<&str>, wanted: &str) -> Result<(), FlyErrors> {
    match source.filter(|_| access.class == FlyClass::Full) {
        None => Err(FlyErrors::INVALID_ACCESS),
        Some(source) if source == wanted => Ok(()),
        Some(_) => Err(FlyErrors::UNAUTHORIZED),
    }
}
