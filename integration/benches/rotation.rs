//! The speed of a keyring rotation, and its effect on boots: many apps with ten secrets each, boots at an
//! even rate before and while all KEKs are re-wrapped, with the real binary.
//!
//! `--quick` uses few apps; the default is 100,000. `PETSEM_APPS` sets another number.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench: what it cannot do ends it"
)]
#![expect(clippy::print_stdout, reason = "what it found is printed")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use petsem_api::AppId;
use petsem_integration::dev::flyv1;
use petsem_integration::http::{Connection, Request};
use petsem_integration::platform::Platform;
use serde_json::{Value, json};

/// Secrets of each app.
const SECRETS: usize = 10;
/// Connections that create the apps.
const MAKERS: usize = 32;
/// Connections that boot, each at an even rate.
const BOOTERS: usize = 8;
/// The interval between two boots of a connection: 200 boots a second in all.
const EVERY: Duration = Duration::from_millis(40);
/// Apps that boot.
const BOOTED: usize = 64;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let named = std::env::var("PETSEM_APPS").ok().map(|text| text.parse().expect("PETSEM_APPS is a number"));
    let apps: usize = named.unwrap_or(if quick { 300 } else { 100_000 });
    let before = if quick { Duration::from_secs(1) } else { Duration::from_secs(20) };
    println!("{apps} apps with {SECRETS} secrets each, {} boots a second", 1000 * BOOTERS / 40);

    let mut platform = Platform::with(&bound(2000));
    let begun = now();
    let made = make(&platform, apps);
    println!("made in {:.1} s", begun.elapsed().as_secs_f64());
    let step = (apps / BOOTED).max(1);
    let booted: Vec<(AppId, usize, String)> = made
        .iter()
        .enumerate()
        .step_by(step)
        .map(|(number, app)| {
            let answer = platform.boot(*app, &platform.discharge(*app));
            assert_eq!(answer.status, 200, "{}", answer.text());
            (*app, number, answer.field("renewal"))
        })
        .collect();

    report("no rotation", &boot_during(&platform, &booted, || pause(before)));
    for (version, (what, rate)) in
        [("at the default bound", 2000), ("as fast as it goes", 1_000_000)].into_iter().enumerate()
    {
        assert!(platform.stop().status.success());
        platform.installation.configure(&format!(
            "{}{}",
            petsem_integration::installation::CONFIGURATION,
            bound(rate)
        ));
        platform.start();
        let mut took = Duration::ZERO;
        let latencies = boot_during(&platform, &booted, || took = rotate(&platform));
        let rewrapped = platform.metric("petsem_rewraps_total");
        assert!(rewrapped >= apps as u64, "{rewrapped} keys of {apps} apps were re-wrapped");
        assert_eq!(platform.metric("petsem_keyring_version"), version as u64 + 2);
        println!(
            "rotation {what} ({rate}/s): {rewrapped} keys in {:.2} s, {:.0} re-wraps/s",
            took.as_secs_f64(),
            rewrapped as f64 / took.as_secs_f64()
        );
        report(&format!("rotation {what}"), &latencies);
    }
    for (app, number, renewal) in &booted {
        let answer = platform.boot(*app, renewal);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["secrets"][0]["value"], value(*number, 0));
    }
    println!("all {} apps that were looked at boot with their values", booted.len());
    assert!(platform.stop().status.success());
}

fn bound(rate: u32) -> String {
    format!("[rotation]\nrewraps_per_second = {rate}\n")
}

/// Creates the apps with their secrets over the API, concurrently so that they share the disk's syncs.
fn make(platform: &Platform, apps: usize) -> Vec<AppId> {
    let next = AtomicUsize::new(0);
    let mut made: Vec<(usize, AppId)> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(platform.address()).unwrap();
                    let header = flyv1(&platform.operator);
                    let mut made = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= apps {
                            return made;
                        }
                        let app = json!({"org": Platform::ORG, "name": format!("app-{number}")});
                        let (status, app) = post(&mut connection, "/v1/apps", &header, &app);
                        assert_eq!(status, 201, "{app}");
                        let id: AppId = app["id"].as_str().unwrap().parse().unwrap();
                        let values: serde_json::Map<String, Value> = (0..SECRETS)
                            .map(|secret| (format!("SECRET_{secret}"), json!(value(number, secret))))
                            .collect();
                        let target = format!("/v1/apps/{id}/secrets");
                        let (status, set) =
                            post(&mut connection, &target, &header, &json!({ "values": values }));
                        assert_eq!(status, 200, "{set}");
                        made.push((number, id));
                    }
                })
            })
            .collect();
        makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
    });
    made.sort_unstable();
    made.into_iter().map(|(_, id)| id).collect()
}

fn value(app: usize, secret: usize) -> String {
    format!("value {secret} of app {app}, some 32 bytes")
}

/// Boots at an even rate while `work` runs; returns the time of each boot.
fn boot_during(platform: &Platform, booted: &[(AppId, usize, String)], work: impl FnOnce()) -> Vec<Duration> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let booters: Vec<_> = (0..BOOTERS)
            .map(|booter| {
                let over = &over;
                scope.spawn(move || {
                    let mut connection = Connection::open(platform.address()).unwrap();
                    let mut took = Vec::new();
                    let begun = now();
                    for (turn, (app, number, renewal)) in (0_u32..).zip(booted.iter().cycle().skip(booter)) {
                        if over.load(Ordering::Relaxed) {
                            return took;
                        }
                        // Measured from the due time, so that a delayed boot also counts for those after it.
                        let due = begun + EVERY * turn;
                        pause(due.saturating_duration_since(now()));
                        let header = platform.boot_header(renewal);
                        let body = json!({"machine": Platform::MACHINE});
                        let (status, answer) =
                            post(&mut connection, &format!("/v1/apps/{app}/boot"), &header, &body);
                        assert_eq!(status, 200, "{answer}");
                        assert_eq!(answer["secrets"][0]["value"], value(*number, 0));
                        took.push(due.elapsed());
                    }
                    took
                })
            })
            .collect();
        work();
        over.store(true, Ordering::Relaxed);
        booters.into_iter().flat_map(|booter| booter.join().unwrap()).collect()
    })
}

/// Rotates the keyring and waits for its end.
fn rotate(platform: &Platform) -> Duration {
    let begun = now();
    platform.rotate_keyring();
    loop {
        let list = platform.rotations();
        if list["keyring"]["versions"].as_array().unwrap().len() == 1 {
            return begun.elapsed();
        }
        assert_eq!(list["keyring"]["rotation"]["faults"], 0, "{list}");
        pause(Duration::from_millis(20));
    }
}

fn report(what: &str, latencies: &[Duration]) {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| {
        let place = (sorted.len() as f64 * share) as usize;
        sorted[place.min(sorted.len() - 1)].as_secs_f64() * 1000.0
    };
    println!(
        "boots, {what}: {} boots, p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        sorted.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Posts JSON and reads the answer.
fn post(connection: &mut Connection, target: &str, header: &str, body: &Value) -> (u16, Value) {
    let answer = connection.call(&Request::new("POST", target).authorization(header).json(body)).unwrap();
    (answer.status, answer.json())
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

fn pause(duration: Duration) {
    let (_alive, timer) = mpsc::channel::<()>();
    let _elapsed = timer.recv_timeout(duration);
}
