//! petsem from outside: real servers, real clients, real VMs. Each folder is a topic.

#![cfg(test)]

mod attacks;
mod features;
mod lifecycle;
mod machines;
mod opened;
mod structure;
