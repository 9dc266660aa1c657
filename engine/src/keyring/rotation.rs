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

use tokio::sync::watch;

use crate::engine::Engine;

/// Resumes and runs rotations until the server ends.
pub async fn follow_rotations(engine: Arc<Engine>, ended: watch::Receiver<bool>) {
    tokio::join!(
        keyring::follow(&engine, ended.clone()),
        app::follow(&engine, ended.clone()),
        signing_keys::follow(&engine, ended)
    );
}
