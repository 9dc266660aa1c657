//! What clients use petsem for: boots, secrets, keys, tokens, approvals, issuers, and the records of all of
//! it.

mod api_description;
mod apps;
mod audit;
mod batches;
mod boots;
mod discharger_page;
mod dischargers;
mod exchange;
mod explanations;
mod field_cases;
mod foreign_signers;
mod habits;
mod identities;
mod issuer_changes;
mod issuers;
mod jwt_shapes;
mod key_sets;
mod metrics;
mod revocations;
mod second_person;
mod secret_keys;
mod secrets;
mod shredding;
mod unfit_secrets;
