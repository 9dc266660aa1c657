//! petsem from outside: real servers, real clients, real VMs.

#![cfg(test)]

mod api_description;
mod audit;
mod batches;
mod boots;
mod canary;
mod comparisons;
mod concurrency;
mod connections;
mod documents;
mod exchange;
mod explanations;
mod five_machines;
mod flips;
mod issuer_changes;
mod issuers;
mod kills;
mod layers;
mod memory;
mod names;
mod opened;
mod operator;
mod refusals;
mod revocations;
mod rollbacks;
mod rotation;
mod seals;
mod second_person;
mod secret_keys;
mod secrets;
mod shredding;
mod signing_keys;
mod starts;
mod strangers;
mod tampering;
mod tenants;
mod tokens;
mod vm;
