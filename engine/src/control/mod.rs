//! What every decision depends on, and how it changes: the numbered control feed and the state it adds up to.

pub(crate) mod denial_folder;
pub(crate) mod denied;
pub(crate) mod feed;
pub(crate) mod pending_denials;
pub(crate) mod revoked;
pub(crate) mod state;
