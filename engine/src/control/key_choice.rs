//! Which key signs a new token, and which discharger gets its tickets.

use std::sync::Arc;

use petsem_api::OrgId;

use crate::control::state::{Control, DischargerEntry, NoKey, SigningEntry};
use crate::error::Failure;
use crate::messages;

/// The location of this installation's own discharger. It differs from the location of its tokens: that is how a header
/// distinguishes permission tokens and discharges.
pub(crate) fn discharger_location(location: &str) -> String {
    format!("{location}/discharger")
}

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

    /// This installation's own discharger. `location` is that of its tokens.
    pub(crate) fn own_discharger(&self, location: &str) -> Result<&DischargerEntry, Failure> {
        let own = discharger_location(location);
        self.dischargers()
            .iter()
            .find(|entry| entry.location == own && entry.org.is_none())
            .map(AsRef::as_ref)
            .ok_or_else(|| Failure::internal("the installation has no discharger key for its own location"))
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
