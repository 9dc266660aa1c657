//! The lifecycle of a node: installing, starting, unsealing, rotating keys, stopping and being killed.

mod accepted_rollbacks;
mod compromised;
mod configurations;
mod copies;
mod file_owners;
mod full_disks;
mod gathered_shares;
mod interrupted_init;
mod kills;
mod lost_logs;
mod next_start;
mod operator;
mod operator_socket;
mod removed_seals;
mod rotation;
mod seal_verification;
mod seals;
mod signals;
mod signing_keys;
mod starts;
mod threads;
