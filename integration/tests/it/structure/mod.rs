//! The sources and documents themselves: dependencies between crates and modules, comparisons of secrets, named tests,
//! blocks of commands.

mod blocks;
mod commands;
mod comparisons;
mod documents;
mod layers;
mod package;
mod readme;
