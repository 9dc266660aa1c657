//! Real VMs that receive their secrets as they boot.

mod five_machines;
mod vm;
