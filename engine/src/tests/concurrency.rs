//! Concurrent changes are never reported as integrity faults. Each client is a thread.

use std::thread;

use petsem_api::{ErrorCode, PolicyDocument};
use petsem_store::{AppPart, RecordKind};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::error::Failure;
use crate::lab::{Demo, app_ref, code, policy};
use crate::tenancy::found::FoundApp;

const APPS: [&str; 3] = ["busy-a", "busy-b", "busy-c"];
const ROUNDS: u64 = 40;

/// Asserts that a request succeeds, or conflicts with a faster client.
fn fine<T>(what: &str, result: Result<T, Failure>) {
    let outcome = code(result.map(drop));
    let conflicts = [ErrorCode::Conflict, ErrorCode::Busy, ErrorCode::StaleVersion];
    assert!(outcome.is_ok() || conflicts.map(Err).contains(&outcome), "{what}: {outcome:?}");
}

/// Repeats a request until it is refused.
async fn until_gone<T>(mut ask: impl AsyncFnMut() -> Result<T, Failure>) {
    loop {
        if let Err(code) = code(ask().await) {
            assert_ne!(code, ErrorCode::Integrity);
            return;
        }
    }
}

async fn app_with_policy(demo: &Demo, name: &str) {
    demo.app("demo", name).await.unwrap();
    assert_eq!(demo.put_policy(name, policy()).await.unwrap(), 1);
}

async fn show_policy(demo: &Demo, app: &str) -> Result<PolicyDocument, Failure> {
    demo.call(&demo.tokens.operator, async |engine, audit, principal, _| {
        engine.show_policy(audit, principal, &app_ref(app)).await
    })
    .await
}

async fn show_history(demo: &Demo, app: &str) -> Result<(), Failure> {
    demo.call(&demo.tokens.operator, async |engine, audit, principal, _| {
        engine.secret_history(audit, principal, &app_ref(app), &"A".parse().unwrap()).await
    })
    .await
    .map(drop)
}

async fn renewal(demo: &Demo, app: &str) -> String {
    let discharge = demo.discharge(app, "m-1").await.unwrap();
    demo.boot(app, "m-1", &discharge).await.unwrap().renewal.unwrap()
}

#[test]
fn concurrent_readers_writers_and_policy_changes_of_an_app_never_get_integrity() {
    let runtime = Runtime::new().unwrap();
    let demo = runtime.block_on(Demo::new());
    let operator = &demo.tokens.operator;
    let renewals = APPS.map(|app| {
        runtime.block_on(async {
            app_with_policy(&demo, app).await;
            demo.set(operator, app, json!({"A": "0"})).await.unwrap();
            renewal(&demo, app).await
        })
    });
    thread::scope(|scope| {
        for (app, renewal) in APPS.into_iter().zip(&renewals) {
            let (demo, runtime) = (&demo, &runtime);
            for writer in 0..2 {
                scope.spawn(move || {
                    runtime.block_on(async {
                        for round in 0..ROUNDS {
                            let values = json!({"A": format!("{writer}-{round}"), "B": null});
                            fine("set", demo.set(operator, app, values).await);
                        }
                    });
                });
            }
            scope.spawn(move || {
                runtime.block_on(async {
                    for _ in 0..ROUNDS {
                        fine("policy", demo.put_policy(app, policy()).await);
                    }
                });
            });
            scope.spawn(move || {
                runtime.block_on(async {
                    for _ in 0..ROUNDS {
                        fine("boot", demo.boot(app, "m-1", renewal).await);
                        fine("history", show_history(demo, app).await);
                    }
                });
            });
            scope.spawn(move || {
                runtime.block_on(async {
                    for _ in 0..ROUNDS {
                        fine("read", demo.read(app).await);
                        fine("policy shown", show_policy(demo, app).await);
                    }
                });
            });
        }
    });
    for app in APPS {
        let version = runtime.block_on(demo.list(operator, app)).unwrap().version;
        let policy = runtime.block_on(show_policy(&demo, app)).unwrap().version;
        assert_eq!((version, policy), (1 + 2 * ROUNDS, 1 + ROUNDS));
    }
    assert_eq!(demo.lab.engine.problems(), Vec::<String>::new());
}

#[test]
fn readers_of_apps_and_orgs_deleted_meanwhile_are_refused_and_never_get_integrity() {
    let runtime = Runtime::new().unwrap();
    let demo = runtime.block_on(Demo::new());
    let (operator, owner) = (&demo.tokens.operator, &demo.tokens.owner);
    for round in 0..12 {
        let (org, app) = (format!("brief-{round}"), format!("fleeting-{round}"));
        let renewal = runtime.block_on(async {
            demo.org(&org).await.unwrap();
            app_with_policy(&demo, &app).await;
            demo.set(operator, &app, json!({"A": "1"})).await.unwrap();
            renewal(&demo, &app).await
        });
        let (app_ref, org_ref) = (app_ref(&app), org.parse().unwrap());
        let list_all = async || {
            demo.call(operator, async |engine, audit, principal, now| {
                engine.list_apps(audit, principal, &"demo".parse().unwrap(), None, now).await?;
                engine.list_orgs(audit, principal, now).await
            })
            .await
        };
        thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(until_gone(async || demo.boot(&app, "m-1", &renewal).await)));
            scope.spawn(|| runtime.block_on(until_gone(async || demo.read(&app).await)));
            scope.spawn(|| {
                runtime.block_on(until_gone(async || {
                    demo.call(owner, async |engine, audit, principal, _| {
                        engine.show_app(audit, principal, &app_ref).await
                    })
                    .await
                }));
            });
            scope.spawn(|| {
                runtime.block_on(until_gone(async || {
                    demo.call(operator, async |engine, audit, principal, now| {
                        engine.show_org(audit, principal, &org_ref, now).await
                    })
                    .await
                }));
            });
            scope.spawn(|| {
                for _ in 0..10 {
                    runtime.block_on(list_all()).unwrap();
                }
            });
            scope.spawn(|| {
                let deleted = demo.call(operator, async |engine, audit, principal, _| {
                    engine.delete_app(audit, principal, &app_ref).await
                });
                runtime.block_on(deleted).unwrap();
                let deleted = demo.call(operator, async |engine, audit, principal, now| {
                    engine.delete_org(audit, principal, &org_ref, now).await
                });
                runtime.block_on(deleted).unwrap();
            });
        });
    }
    assert_eq!(demo.lab.engine.problems(), Vec::<String>::new());
}

#[test]
fn concurrently_created_apps_of_one_org_are_all_created() {
    let runtime = Runtime::new().unwrap();
    let demo = runtime.block_on(Demo::new());
    thread::scope(|scope| {
        for maker in 0..16 {
            let (demo, runtime) = (&demo, &runtime);
            scope.spawn(move || {
                for app in 0..4 {
                    runtime.block_on(demo.app("demo", &format!("made-{maker}-{app}"))).unwrap();
                }
            });
        }
    });
    let listed = demo.call(&demo.tokens.operator, async |engine, audit, principal, now| {
        engine.list_apps(audit, principal, &"demo".parse().unwrap(), None, now).await
    });
    let mut names: Vec<_> =
        runtime.block_on(listed).unwrap().apps.iter().map(|app| app.name.to_string()).collect();
    let made = (0..16).flat_map(|maker| (0..4).map(move |app| format!("made-{maker}-{app}")));
    let mut expected: Vec<_> = made.chain(["shop".to_owned()]).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_app_that_changed_after_the_decision_is_read_in_its_current_state() {
    let demo = Demo::new().await;
    let (engine, owner) = (&demo.lab.engine, &demo.tokens.owner);
    let head = async || engine.find_app_with(&app_ref("shop"), AppPart::Head).await.unwrap().unwrap();
    let state = |app: &FoundApp| {
        let names: Vec<_> =
            engine.describe(app).unwrap().into_iter().map(|secret| secret.name.to_string()).collect();
        (app.head.app_version, names)
    };
    let first = demo.set(owner, "shop", json!({"OLD": "1"})).await.unwrap();
    let unchanged = engine.with_part(head().await, AppPart::Bundle).await.unwrap();
    let (before, names) = state(&unchanged);
    assert_eq!((before, names.contains(&"OLD".to_owned())), (first, true));

    let decided = head().await;
    let second = demo.set(owner, "shop", json!({"OLD": null, "NEW": "2"})).await.unwrap();
    let (version, names) = state(&engine.with_part(decided, AppPart::Bundle).await.unwrap());
    assert_eq!((version, names.contains(&"OLD".to_owned())), (second, false));
    assert!(names.contains(&"NEW".to_owned()), "{names:?}");

    let decided = head().await;
    let deleted = demo.call(&demo.tokens.operator, async |engine, audit, principal, _| {
        engine.delete_app(audit, principal, &app_ref("shop")).await
    });
    deleted.await.unwrap();
    let gone = engine.with_part(decided, AppPart::Bundle).await;
    assert_eq!(code(gone.map(drop)), Err(ErrorCode::NotFound));
}

#[tokio::test]
async fn what_a_change_replaces_or_deletes_is_no_longer_kept_in_memory() {
    let demo = Demo::new().await;
    let (engine, owner) = (&demo.lab.engine, &demo.tokens.owner);
    let find = async || engine.find_app(&app_ref("shop")).await.unwrap().unwrap();
    let id = find().await.id;
    let keeps = || engine.codec.keeps(RecordKind::AppHead, id.as_bytes());
    find().await;
    find().await;
    assert!(keeps());
    demo.set(owner, "shop", json!({"A": "1"})).await.unwrap();
    assert!(!keeps(), "it was replaced");
    let version = find().await.head_version;
    assert_eq!([find().await.head_version, find().await.head_version], [version; 2]);
    assert!(keeps());
    let deleted = demo.call(&demo.tokens.operator, async |engine, audit, principal, _| {
        engine.delete_app(audit, principal, &app_ref("shop")).await
    });
    deleted.await.unwrap();
    assert!(!keeps(), "it was deleted");
}
