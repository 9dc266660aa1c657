//! The control state that every decision depends on, and the numbered control feed that changes it.

pub(crate) mod denial_folder;
pub(crate) mod denials;
pub(crate) mod draft;
pub(crate) mod dropping;
pub(crate) mod feed;
pub(crate) mod key_choice;
pub(crate) mod pages;
pub(crate) mod pending_denials;
pub(crate) mod state;
