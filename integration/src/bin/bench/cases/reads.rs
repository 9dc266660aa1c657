//! Reads without a boot: the list of an app's secrets, a workload's read of their values, and its exchange of a JWT.

use petsem_integration::http::Request;

use crate::cases::Case;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("list", "list the 20 secrets of an app, without values, of all apps", list),
    Case {
        peer: Some(Peer::reads),
        ..Case::new("read", "read the 20 secrets of an app with a JWT, of up to 5,000 apps", read)
    },
    Case::new("exchange", "exchange a JWT for a token, of up to 5,000 apps", exchange),
];

pub(super) fn list(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let request = |app| Request::new("GET", &format!("/v1/apps/{app}/secrets")).authorization(&scene.user);
    Ok(scene.store.apps.iter().map(request).collect())
}

pub(super) fn read(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let request = |(number, app)| {
        Request::new("GET", &format!("/v1/apps/{app}/secrets?show_secrets=true"))
            .authorization(&format!("Bearer {}", scene.reader_jwt(number)))
    };
    Ok(scene.apps(5_000).into_iter().enumerate().map(request).collect())
}

fn exchange(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let request = |(number, app)| {
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
             &audience={app}&subject_token={}",
            scene.reader_jwt(number)
        );
        Request::new("POST", "/v1/token").body("application/x-www-form-urlencoded", form)
    };
    Ok(scene.apps(5_000).into_iter().enumerate().map(request).collect())
}
