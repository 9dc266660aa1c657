//! Attacks and hostile input: modified storage, leaks, other tenants, malformed and stalled requests.

mod canary;
mod chains;
mod connections;
mod contexts;
mod control_state;
mod copies;
mod flips;
mod memory;
mod names;
mod refusals;
mod reserved_names;
mod rollbacks;
mod strangers;
mod tampering;
mod tenants;
