//! Scenarios whose facts are the engine's: no socket, no process. A file per topic.

mod signing_keys;
