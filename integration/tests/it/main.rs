//! petsem from outside: real servers, real clients, real VMs.

#![cfg(test)]

mod boots;
mod canary;
mod five_machines;
mod kills;
mod layers;
mod refusals;
mod secret_keys;
mod secrets;
mod starts;
mod tampering;
mod vm;
