//! Rotation of keys in the background: the keyring, the KEK of one app, and unused signing keys.
//!
//! The rows themselves show the progress: a row that names an old version must still be re-wrapped. So a kill loses
//! nothing, and the next start resumes the rotation. Each row is written only if it did not change since it was read.
//! Readers never wait: the old version exists until a complete pass finds no row that names it.

mod app;
mod keyring;
pub(crate) mod progress;
mod rewrap;
mod signing_keys;

use std::sync::Arc;

use crate::engine::Engine;

/// Resumes and runs rotations until the future is dropped.
pub async fn follow_rotations(engine: Arc<Engine>) {
    tokio::join!(keyring::follow(&engine), app::follow(&engine), signing_keys::follow(&engine));
}
