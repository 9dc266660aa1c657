//! Scenarios whose facts are the engine's: no socket, no process. A file per topic.

mod audit;
mod boots;
mod concurrency;
mod control;
mod dischargers;
mod enrollment;
mod explanations;
mod missing_rows;
mod platform;
mod replacement;
mod reserved_names;
mod revocations;
mod secret_keys;
mod signing_keys;
mod tokens;
