//! The discharge that carries a boot grant: written by the discharger and, for renewals, by the boot.

use petsem_api::TokenUuid;
use petsem_policy::{BootGrant, Caveat, Ticket};

use crate::authn::token_id::token_uuid;
use crate::boot::proof::GrantProvenance;
use crate::clock::Timestamp;
use crate::entropy;
use crate::error::Failure;
use crate::tenancy::found::FoundApp;
use crate::tokens::mint::window;

/// The boot that a grant is for.
pub(crate) struct Grant<'a> {
    pub(crate) app: &'a FoundApp,
    pub(crate) machine: &'a str,
    pub(crate) host: &'a str,
    pub(crate) provenance: &'a GrantProvenance,
    /// Unix seconds.
    pub(crate) expires: i64,
}

/// A discharge as text, with its id.
pub(crate) struct Written {
    pub(crate) id: TokenUuid,
    pub(crate) text: String,
}

/// Makes a discharge with one boot grant.
pub(crate) fn write_grant(
    ticket: &Ticket,
    location: &str,
    grant: &Grant<'_>,
    now: Timestamp,
) -> Result<Written, Failure> {
    let mut discharge = ticket.discharge(location, &mut entropy::rng());
    let caveats: [Caveat; 2] = [
        window(now, grant.expires),
        BootGrant {
            org: *grant.app.head.org.as_bytes(),
            app: *grant.app.id.as_bytes(),
            machine: grant.machine.to_owned(),
            host: grant.host.to_owned(),
            expires: grant.expires,
            provenance: grant.provenance.to_text()?,
        }
        .into(),
    ];
    discharge.add(caveats).map_err(Failure::internal)?;
    Ok(Written { id: token_uuid(discharge.id()), text: discharge.to_text().to_string() })
}
