//! `petsem dev`: a whole installation in one directory, for trying petsem.

pub(crate) mod development;
