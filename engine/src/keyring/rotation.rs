//! Rotation of keys, behind the requests: the keyring, the KEK of one app, signing keys that nothing needs any more.
//!
//! What is under way is seen from the rows themselves: a row that names an old version is still to be re-wrapped. So
//! nothing is lost when the process is killed, and a start carries on by itself. Each row is written only if it is
//! still the one that was read; readers never wait, for the old version is there until a whole pass found nothing that
//! names it.

mod app;
mod keyring;
pub(crate) mod progress;
mod rewrap;
mod signing_keys;

use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::Engine;

/// Carries on what is under way and what is begun, until the server ends.
pub async fn follow_rotations(engine: Arc<Engine>, ended: watch::Receiver<bool>) {
    tokio::join!(
        keyring::follow(&engine, ended.clone()),
        app::follow(&engine, ended.clone()),
        signing_keys::follow(&engine, ended)
    );
}
