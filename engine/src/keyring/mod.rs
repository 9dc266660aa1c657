//! The keys above the apps' own: keyring, signing keys, their rotation.

pub(crate) mod node_keys;
pub(crate) mod open_list;
pub(crate) mod root_key;
pub(crate) mod rotation;
pub(crate) mod seal_list;
pub(crate) mod signing_keys;
pub(crate) mod state;
pub(crate) mod store_status;
pub(crate) mod unlock;
