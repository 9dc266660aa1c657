//! petsem from outside: real servers, real clients, real VMs.

#![cfg(test)]

mod boots;
mod canary;
mod five_machines;
mod kills;
mod layers;
mod refusals;
mod secrets;
mod starts;
mod tampering;
mod vm;
