//! The client with real sockets, a real server, a real tmpfs and a real exec.

#![cfg(test)]

mod canonical;
mod channel;
mod fetch;
mod injectors;
mod sample;
mod server;
mod third_party;
