//! Connections of strangers that send nothing, or half of a head.

use std::sync::Arc;

use super::sender::{Door, Flood};
use super::{Extent, HOLDS};
use crate::failure::Failure;
use crate::scene::Scene;

pub(super) fn floods(_: &Scene, extent: &Extent) -> Result<Vec<Flood>, Failure> {
    let half_a_head = |bytes: usize| {
        format!("GET /v1/apps HTTP/1.1\r\nhost: petsem\r\nauthorization: FlyV1 {}", "x".repeat(bytes))
            .into_bytes()
    };
    let flood = |name, messages, count: usize| Flood {
        name,
        door: Door::Tcp,
        messages: Arc::new(messages),
        first: extent.count(count),
        at_once: 1,
        // All are replaced in the time after which petsem closes them.
        per_second: extent.count(count) as f64 / HOLDS.as_secs_f64(),
        holds: HOLDS,
    };
    Ok(vec![
        flood("idle connections", vec![Vec::new()], 8192),
        flood("half-sent heads", [100, 8 * 1024, 60 * 1024].map(half_a_head).to_vec(), 3000),
    ])
}
