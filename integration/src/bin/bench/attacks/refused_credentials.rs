//! Credentials that verify and allow nothing: expired tokens, JWTs that no rule names, host tokens without a discharge.
//! Each comes with half of a large body, and one expired token comes 600 times in a moment.

use std::sync::Arc;

use petsem_integration::dev::{appended, flyv1, now};
use petsem_integration::http::Request;
use petsem_policy::Caveat;
use serde_json::json;

use super::sender::{Door, Flood};
use super::{Extent, HOLDS, half};
use crate::data::ORG;
use crate::failure::Failure;
use crate::scene::Scene;

/// The host whose token the attacker has; boots are of another.
pub(super) const HOST: &str = "host-2";

const MIB: usize = 1024 * 1024;

pub(super) fn floods(scene: &Scene, extent: &Extent) -> Result<Vec<Flood>, Failure> {
    let app = scene.apps(1).first().copied().unwrap_or(petsem_api::AppId::from_bytes([0; 16]));
    let json_to = |path: &str, authorization: &str| {
        Request::new("POST", path).authorization(authorization).header("content-type", "application/json")
    };
    let secrets = format!("/v1/apps/{app}/secrets");
    let token = scene.mint(&json!({"kind": "org", "org": ORG}))?;
    let ended = Caveat::ValidityWindow { not_before: 0, not_after: now() - 10 };
    let expired = flyv1(&appended(&token, [ended]));
    let host = flyv1(&scene.mint_as_operator(&json!({"kind": "host", "host": HOST}))?);
    let jwt = scene.store.jwt(super::JWT_LIFE, &json!({"sub": "stranger"}));
    let bearer = format!("Bearer {jwt}");
    let form = Request::new("POST", "/v1/token").header("content-type", "application/x-www-form-urlencoded");
    // The bodies are half of the most that each route takes.
    let with_expired = vec![half(json_to(&secrets, &expired), 4 * MIB)];
    let with_jwt = vec![half(json_to("/.well-known/macfly/3p", &bearer), MIB / 4), half(form, 32 * 1024)];
    let with_host = vec![
        half(json_to("/v1/boot", &host), 2 * MIB),
        half(json_to(&format!("/v1/apps/{app}/boot"), &host), MIB / 4),
    ];
    let flood = |name, door, messages| Flood {
        name,
        door,
        messages: Arc::new(messages),
        first: extent.count(110),
        at_once: 1,
        per_second: extent.rate(40.0),
        holds: HOLDS,
    };
    let burst = Flood {
        name: "one expired token, 600 in a moment",
        door: Door::Tcp,
        messages: Arc::new(vec![Request::new("GET", &secrets).authorization(&expired).to_bytes()]),
        first: extent.count(600),
        at_once: extent.count(600),
        per_second: extent.rate(60.0),
        holds: HOLDS,
    };
    Ok(vec![
        flood("expired tokens", Door::Tcp, with_expired),
        flood("JWTs that no rule names", Door::Tcp, with_jwt),
        flood("host tokens without a discharge", Door::OtherHost, with_host),
        burst,
    ])
}
