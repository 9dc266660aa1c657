//! One header that is as much work as the limits allow: a token whose caveats list as many names as fit, beside a body
//! with as many names, and a JWT with as many claims. Many arrive at the same moment.

use std::fmt::Write as _;
use std::sync::Arc;

use petsem_integration::dev::{appended, flyv1, ticket};
use petsem_integration::http::Request;
use petsem_policy::{Caveat, SecretNames};
use serde_json::{Map, Value, json};

use super::sender::{Door, Flood};
use super::{Extent, HOLDS, half};
use crate::data::ORG;
use crate::failure::Failure;
use crate::scene::{MACHINE, Scene};

/// Caveats of the wide token.
const CAVEATS: usize = 60;
/// Caveats of the long token: the most that a token may have, less those that it was minted with.
const LONG: usize = 490;
/// Most bytes of a header (README, "Limits").
const HEADER: usize = 64 * 1024;
/// Names times the weight of a token may be this (README, "Limits").
const WORK: usize = 65_536;
/// Most bytes of a JWT.
const JWT: usize = 16 * 1024;
/// Tokens that stall at once: of each, an eighth of all requests.
const STALLING: usize = 4;

/// Two letters each: they cost least in a token, and none of them is reserved.
fn names(count: usize) -> Vec<String> {
    let letters = || 'a'..='z';
    letters().flat_map(|first| letters().map(move |second| format!("{first}{second}"))).take(count).collect()
}

/// A token with 60 lists of names, all as long as the header lets them be, and the number of names. The last list
/// lacks the last name, so that nothing is written, and only the last of all comparisons says so.
fn wide(token: &str) -> (String, usize) {
    let with = |count: usize| {
        let all = names(count);
        let but_one = all.iter().take(count - 1).cloned();
        let lists = (1..CAVEATS).map(|number| list(all.clone(), number));
        appended(token, lists.chain([SecretNames::new(but_one, []).into()]))
    };
    let mut count = 290;
    loop {
        let text = with(count);
        if flyv1(&text).len() <= HEADER {
            return (text, count);
        }
        count -= 1;
    }
}

/// A list of names. The number makes it differ from others: a caveat that a token has already is not added.
fn list(names: Vec<String>, number: usize) -> Caveat {
    SecretNames::new(names, [format!("N{number}")]).into()
}

/// A token with as many caveats as fit.
fn long(token: &str) -> String {
    let lists = (1..LONG).map(|number| list(names(20), number));
    appended(token, lists.chain([SecretNames::new(names(19), []).into()]))
}

fn values(names: impl IntoIterator<Item = String>) -> Value {
    json!({ "values": names.into_iter().map(|name| (name, json!("1"))).collect::<Map<_, _>>() })
}

/// What is evaluated in full, and refused.
pub(super) fn floods(scene: &Scene, extent: &Extent) -> Result<Vec<Flood>, Failure> {
    let app = scene.apps(1).first().copied().unwrap_or(petsem_api::AppId::from_bytes([0; 16]));
    let secrets = format!("/v1/apps/{app}/secrets");
    let token = scene.mint(&json!({"kind": "org", "org": ORG}))?;
    let set = |token: &str, body: &Value| {
        Request::new("POST", &secrets).authorization(&flyv1(token)).json(body).to_bytes()
    };
    let (wide, listed) = wide(&token);
    // As many names as are evaluated; with one more, all are refused at once.
    let weight = |caveats: usize, bytes: usize| 8 + caveats * (1 + bytes / 256);
    let within = |weight: usize| WORK / weight;
    let of_wide = names(listed).split_off(listed - listed.min(within(weight(CAVEATS, 3 * listed + 8))));
    let too_many = (0..4096).map(|number| format!("N{number}"));
    let of_long = names(20);
    let tokens = vec![
        set(&wide, &values(of_wide)),
        set(&wide, &values(too_many)),
        set(&long(&token), &values(of_long)),
    ];
    let mut claims = Map::from_iter([("sub".to_owned(), json!("stranger"))]);
    // In base64, which takes a third more, beside header, signature and the usual claims.
    let room = JWT / 4 * 3 - 700;
    let mut length = 0;
    for number in 0.. {
        let mut name = String::new();
        let _infallible = write!(name, "c{number}");
        length += name.len() + 5;
        if length > room {
            break;
        }
        claims.insert(name, json!(0));
    }
    let jwt = scene.store.jwt(super::JWT_LIFE, &Value::Object(claims));
    let bearer = format!("Bearer {jwt}");
    let proof = json!({"ticket": ticket(&scene.host), "app": app, "machine": MACHINE});
    let form = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={jwt}\
         &subject_token_type=urn:ietf:params:oauth:token-type:jwt&audience={app}"
    );
    let jwts = vec![
        Request::new("GET", &format!("{secrets}?show_secrets=true")).authorization(&bearer).to_bytes(),
        Request::new("POST", "/.well-known/macfly/3p").authorization(&bearer).json(&proof).to_bytes(),
        Request::new("POST", "/v1/token").body("application/x-www-form-urlencoded", form).to_bytes(),
    ];
    Ok(vec![Flood {
        name: "wide tokens and JWTs",
        door: Door::Tcp,
        messages: Arc::new([tokens, jwts].concat()),
        first: 0,
        at_once: extent.count(64),
        per_second: extent.rate(110.0),
        holds: HOLDS,
    }])
}

/// Requests with wide tokens that wait for the rest of their bodies.
pub(super) fn stalled(scene: &Scene, extent: &Extent) -> Result<Vec<Flood>, Failure> {
    let app = scene.apps(1).first().copied().unwrap_or(petsem_api::AppId::from_bytes([0; 16]));
    let messages = (0..STALLING).map(|_| {
        let (token, _) = wide(&scene.mint(&json!({"kind": "org", "org": ORG}))?);
        let set = Request::new("POST", &format!("/v1/apps/{app}/secrets")).authorization(&flyv1(&token));
        Ok(half(set.header("content-type", "application/json"), 256 * 1024))
    });
    Ok(vec![Flood {
        name: "wide tokens with half a body",
        door: Door::Tcp,
        messages: Arc::new(messages.collect::<Result<_, Failure>>()?),
        first: extent.count(600),
        at_once: 1,
        per_second: extent.rate(110.0),
        holds: HOLDS,
    }])
}
