//! The sources and documents themselves: dependencies between crates and modules, comparisons of secrets, named tests.

mod comparisons;
mod documents;
mod layers;
mod package;
mod readme;
