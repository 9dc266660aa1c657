//! FromMachineSource and FlySrc: where a request comes from.

use super::{FlyAccess, FlyClass, FlyErrors};
use crate::caveat::Caveat;

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

/// Asked only about what the caveat names: one that names nothing holds for every request.
fn same(access: &FlyAccess<'_>, source: Option<&str>, wanted: &str) -> Result<(), FlyErrors> {
    match source.filter(|_| access.class == FlyClass::Full) {
        None => Err(FlyErrors::INVALID_ACCESS),
        Some(source) if source == wanted => Ok(()),
        Some(_) => Err(FlyErrors::UNAUTHORIZED),
    }
}
