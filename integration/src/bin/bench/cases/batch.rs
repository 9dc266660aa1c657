//! Batches of boots.

use petsem_api::AppId;
use petsem_integration::dev::flyv1;
use petsem_integration::http::Request;
use serde_json::{Value, json};

use crate::cases::Case;
use crate::failure::Failure;
use crate::random;
use crate::scene::{MACHINE, Scene};

/// Machines of a batch.
const MACHINES: usize = 100;
/// Batches that are prepared.
const MOST: usize = 500;

pub(super) const CASES: &[Case] =
    &[Case::new("boot-batch", "boot of 100 Machines of 100 apps in one request, by renewal", prepare)];

fn prepare(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let mut boots: Vec<(&AppId, &String)> = scene.store.apps.iter().zip(scene.renewals()?).collect();
    random::shuffle(&mut boots);
    let batch = |boots: &[(&AppId, &String)]| {
        let boots: Vec<Value> = boots
            .iter()
            .map(|(app, renewal)| json!({"app": app, "machine": MACHINE, "discharge": renewal}))
            .collect();
        Request::new("POST", "/v1/boot").authorization(&flyv1(&scene.host)).json(&json!({ "boots": boots }))
    };
    Ok(boots.chunks_exact(MACHINES).take(MOST).map(batch).collect())
}
