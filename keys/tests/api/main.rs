//! The public face of `petsem-keys`: what opens, what is refused, and what was published.

mod arbitrary;
mod audit;
mod debug;
mod from_the_description;
mod hierarchy;
mod macs;
mod refusals;
mod seeded;
mod vectors;
