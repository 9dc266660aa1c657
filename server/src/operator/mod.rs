//! The operator's commands on the node, with and without a running server.

pub(crate) mod accept_loss;
pub(crate) mod accept_rollback;
pub(crate) mod approve;
pub(crate) mod compromised;
pub(crate) mod deny;
pub(crate) mod hand_over;
pub(crate) mod install;
pub(crate) mod node;
pub(crate) mod recover;
pub(crate) mod register;
pub(crate) mod replacement;
pub(crate) mod root_key;
pub(crate) mod seals;
pub(crate) mod shares;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod unseal_input;
pub(crate) mod verify;
