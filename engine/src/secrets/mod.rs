//! An app's secrets: opened, read, written.

pub(crate) mod bundle;
pub(crate) mod history;
pub(crate) mod read;
pub(crate) mod write;
