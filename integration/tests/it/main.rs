//! petsem from outside: real servers, real clients, real VMs.

#![cfg(test)]

mod audit;
mod batches;
mod boots;
mod canary;
mod concurrency;
mod connections;
mod explanations;
mod five_machines;
mod flips;
mod kills;
mod layers;
mod memory;
mod refusals;
mod revocations;
mod rollbacks;
mod second_person;
mod secret_keys;
mod secrets;
mod signing_keys;
mod starts;
mod strangers;
mod tampering;
mod tokens;
mod vm;
