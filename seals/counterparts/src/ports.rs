//! Ports of counterparts.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that the system assigns for port 0 (32768 and up): no other process gets one while a
/// counterpart starts there, or between its stop and its next start.
const FIRST: u32 = 10_000;
const PAIRS: u32 = 11_000;
/// Pairs for one process; the next process uses the next ones.
const PAIRS_OF_ONE: u32 = 32;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Two consecutive free ports, reserved while the listeners live: libtss2 assumes the second.
///
/// # Panics
/// If this machine has no free ports.
pub fn two_ports() -> (u16, [TcpListener; 2]) {
    let listener = |port| TcpListener::bind(("127.0.0.1", port)).ok();
    let pairs = (0..PAIRS).filter_map(|_| {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        let pair = process::id().wrapping_mul(PAIRS_OF_ONE).wrapping_add(number) % PAIRS;
        let port = u16::try_from(FIRST + 2 * pair).ok()?;
        Some((port, [listener(port)?, listener(port + 1)?]))
    });
    pairs.into_iter().next().expect("there are free ports")
}
