//! Changes of secrets; every value that is written differs.

use petsem_integration::http::Request;
use serde_json::json;

use crate::cases::Case;
use crate::data::values;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::random;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case { peer: Some(Peer::writes_of_one_key), ..Case::new("set", "set one secret, of all apps", set) },
    Case {
        peer: Some(Peer::writes_of_all_keys),
        ..Case::new("bulk-set", "set 20 secrets at once, of up to 10,000 apps", bulk_set)
    },
];

pub(super) fn set(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let request = |app| {
        Request::new("POST", &format!("/v1/apps/{app}/secrets/SECRET_07"))
            .authorization(&scene.user)
            .json(&json!({"value_b64": random::marked_value()}))
    };
    Ok(scene.store.apps.iter().map(request).collect())
}

fn bulk_set(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let request = |app| {
        Request::new("POST", &format!("/v1/apps/{app}/secrets"))
            .authorization(&scene.user)
            .json(&json!({"values": values(random::marked_value)}))
    };
    Ok(scene.apps(10_000).iter().map(request).collect())
}
