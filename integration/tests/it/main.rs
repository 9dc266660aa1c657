//! petsem from outside: real servers, real clients, real VMs.

#![cfg(test)]

mod audit;
mod batches;
mod boots;
mod canary;
mod comparisons;
mod concurrency;
mod connections;
mod exchange;
mod explanations;
mod five_machines;
mod flips;
mod issuers;
mod kills;
mod layers;
mod memory;
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
mod tokens;
mod vm;
