//! Uses of secret keys, on messages of 256 random bytes.

use petsem_integration::http::Request;
use serde_json::json;

use crate::cases::Case;
use crate::data::call;
use crate::failure::Failure;
use crate::random;
use crate::scene::Scene;

/// Apps that get a key.
const APPS: usize = 1_000;

pub(super) const CASES: &[Case] = &[
    Case::new("encrypt", "encrypt with a key of XAES-256-GCM, of up to 1,000 apps", |scene| {
        requests(scene, "xaes256gcm", "encrypt")
    }),
    Case::new("sign", "sign with a key of Ed25519, of up to 1,000 apps", |scene| {
        requests(scene, "nacl_sign", "sign")
    }),
    Case::new("sign-es256", "sign with a key of ECDSA on P-256, of up to 1,000 apps", |scene| {
        requests(scene, "es256", "sign")
    }),
];

fn requests(scene: &Scene, kind: &str, operation: &str) -> Result<Vec<Request>, Failure> {
    let apps = scene.apps(APPS);
    scene.each(apps.len(), |connection, number| {
        let app = apps.get(number).map(ToString::to_string).unwrap_or_default();
        let key = format!("/v1/apps/{app}/secretkeys/{kind}v0");
        let post = |path: &str, body| {
            Request::new("POST", &format!("{key}/{path}")).authorization(&scene.user).json(&body)
        };
        call(connection, &post("generate", json!({ "type": kind })))?;
        Ok(post(operation, json!({"plaintext": random::marked_value()})))
    })
}
