//! The keys of the store: root key, keyring, signing keys, seals, and their rotation.

pub(crate) mod node_keys;
pub(crate) mod open_list;
pub(crate) mod replacement;
pub(crate) mod root_key;
pub(crate) mod rotation;
pub(crate) mod seal_list;
pub(crate) mod signing_keys;
pub(crate) mod state;
pub(crate) mod store_status;
pub(crate) mod unlock;
