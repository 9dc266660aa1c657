//! Which key signs a new token, and which discharger gets its tickets.

use std::sync::Arc;

use petsem_api::OrgId;

use crate::control::state::{Control, DischargerEntry, NoKey, SigningEntry};
use crate::error::Failure;
use crate::messages;

impl Control {
    /// The key that signs new tokens of an org, or of the platform.
    pub(crate) async fn key_for_new_tokens(&self, org: Option<OrgId>) -> Result<Arc<SigningEntry>, Failure> {
        let missing = || Failure::internal("no signing key for this kind of token");
        let current = self.keys_of(org).await?.current().ok_or_else(missing)?;
        self.signing_key(current.as_bytes()).await.map_err(|no_key| match no_key {
            NoKey::Failed(failure) => failure,
            NoKey::Unknown | NoKey::Revoked => missing(),
        })
    }

    /// This installation's own discharger, at its configured location.
    pub(crate) fn own_discharger(&self, location: &str) -> Result<&DischargerEntry, Failure> {
        let of_platform = || self.dischargers().iter().filter(|entry| entry.org.is_none());
        of_platform().find(|entry| entry.location == location).map(AsRef::as_ref).ok_or_else(|| {
            let known: Vec<_> = of_platform().map(|entry| entry.location.as_str()).collect();
            messages::no_own_discharger(location, &known)
        })
    }

    /// The newest discharger of a location: new tickets are sealed for it. One of the platform comes before one of an
    /// org, because an org may register any location, and its discharger counts for its own apps only.
    pub(crate) fn newest_discharger(&self, location: &str) -> Result<&DischargerEntry, Failure> {
        let location = location.trim_end_matches('/');
        self.dischargers()
            .iter()
            .filter(|entry| entry.location == location)
            .max_by_key(|entry| (entry.org.is_none(), entry.created_at))
            .map(AsRef::as_ref)
            .ok_or_else(messages::no_discharger_at_location)
    }
}
