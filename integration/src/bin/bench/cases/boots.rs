//! Boots of one Machine: its app's 20 secrets, after their release is on record.

use petsem_api::AppId;
use petsem_integration::http::Request;

use crate::cases::{Case, Span};
use crate::failure::Failure;
use crate::peer::Peer;
use crate::scene::{MACHINE, Scene};

pub(super) const CASES: &[Case] = &[
    Case { peer: Some(Peer::reads), ..boot("boot", "boot, by renewal, of all apps", 64) },
    boot("boot-1", "the same, 1 connection", 1),
    boot("boot-8", "the same, 8 connections", 8),
    boot("boot-512", "the same, 512 connections", 512),
    Case {
        slow_clients: 512,
        ..boot("boot-slow", "the same, beside 512 clients that send a byte a second", 64)
    },
    Case { prepare: of_one_app, ..boot("boot-hot", "boot, by renewal, of 100 Machines of one app", 64) },
    Case {
        prepare: first,
        span: Span::FreshRounds,
        ..boot("boot-first", "first boot, with a fresh discharge, of up to 5,000 apps", 64)
    },
];

const fn boot(name: &'static str, about: &'static str, connections: u32) -> Case {
    Case { connections, ..Case::new(name, about, of_all_apps) }
}

pub(crate) fn of_all_apps(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let boots = scene.store.apps.iter().zip(scene.renewals()?);
    Ok(boots.map(|(app, renewal)| scene.boot(*app, MACHINE, renewal)).collect())
}

fn of_one_app(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let app = scene.apps(1);
    let boots: Vec<(AppId, String)> =
        app.iter().cycle().zip(0..100).map(|(app, number)| (*app, format!("hot-{number}"))).collect();
    Ok(requests(scene, &boots, &scene.renewals_of(&boots)?))
}

fn first(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let boots: Vec<_> = scene.apps(5_000).into_iter().map(|app| (app, MACHINE.to_owned())).collect();
    Ok(requests(scene, &boots, &scene.discharges(&boots)?))
}

fn requests(scene: &Scene, boots: &[(AppId, String)], discharges: &[String]) -> Vec<Request> {
    boots.iter().zip(discharges).map(|((app, machine), text)| scene.boot(*app, machine, text)).collect()
}
