//! Names that programs obey: refused when they are set, allowed by a setting, and left to readers to leave out.

use data_encoding::HEXLOWER;
use petsem_api::{App, Approval, ApprovalState, Approve, ErrorCode};
use petsem_store::RecordKind;
use serde_json::{Value, json};

use crate::approvals::request::Requested;
use crate::error::Failure;
use crate::lab::{Demo, app_ref, body, code};
use crate::request::local_record;

/// A token of the org `demo` that may only do this.
async fn only(demo: &Demo, actions: &[&str]) -> String {
    let wanted = json!({"kind": "org", "org": "demo", "actions": actions});
    demo.mint(&demo.tokens.owner, wanted).await.unwrap().token
}

async fn change(demo: &Demo, tokens: &str, change: Value) -> Result<Requested<App>, Failure> {
    demo.call(tokens, async |engine, audit, principal, now| {
        engine.change_app_settings(audit, principal, &app_ref("shop"), body(change), now).await
    })
    .await
}

/// A change that takes effect at once; returns the allowed names.
async fn done(demo: &Demo, tokens: &str, wanted: Value) -> Vec<String> {
    let Requested::Done(app) = change(demo, tokens, wanted).await.unwrap() else { panic!("it waits") };
    allowed(&app)
}

async fn pending(demo: &Demo, tokens: &str, wanted: Value) -> Approval {
    let Requested::Pending(approval) = change(demo, tokens, wanted).await.unwrap() else {
        panic!("it is done")
    };
    *approval
}

fn allowed(app: &App) -> Vec<String> {
    app.settings.allowed_reserved_names.iter().map(ToString::to_string).collect()
}

async fn shop(demo: &Demo) -> App {
    demo.call(&demo.tokens.owner, async |engine, audit, principal, _| {
        engine.show_app(audit, principal, &app_ref("shop")).await
    })
    .await
    .unwrap()
}

async fn create(demo: &Demo, tokens: &str, name: &str) -> Result<App, Failure> {
    let settings = json!({"allowed_reserved_names": ["NODE_OPTIONS"]});
    let wanted = body(json!({"org": "demo", "name": name, "settings": settings}));
    demo.call(tokens, async |engine, audit, principal, now| {
        engine.create_app(audit, principal, wanted, now).await
    })
    .await
}

async fn roll_back(demo: &Demo, tokens: &str, name: &str, to_version: u64) -> Result<u64, Failure> {
    let wanted = body(json!({ "to_version": to_version }));
    let name = name.parse().unwrap();
    demo.call(tokens, async |engine, audit, principal, now| {
        engine.roll_back_secret(audit, principal, &app_ref("shop"), name, &wanted, now).await
    })
    .await
    .map(|set| set.version)
}

/// The names of a boot's secrets, and those of them that the app allows.
async fn booted(demo: &Demo) -> (Vec<String>, Vec<String>) {
    let discharge = demo.discharge("shop", "m-1").await.unwrap();
    let booted = demo.boot("shop", "m-1", &discharge).await.unwrap();
    let names = booted.secrets.iter().map(|secret| secret.name.to_string()).collect();
    (names, booted.allowed_reserved_names.iter().map(ToString::to_string).collect())
}

async fn floor_and_head(demo: &Demo) -> (u64, u64) {
    let engine = &demo.lab.engine;
    let found = engine.find_app(&app_ref("shop")).await.unwrap().unwrap();
    (engine.control().app(found.id).await.unwrap().floor, found.head_version)
}

#[tokio::test]
async fn a_writer_sets_no_reserved_name_in_any_way() {
    let demo = Demo::new().await;
    let owner = &demo.tokens.owner;
    done(&demo, owner, json!({"allow_reserved_names": ["PATH"]})).await;
    demo.set(owner, "shop", json!({"A": "1", "PATH": "/first"})).await.unwrap();
    done(&demo, owner, json!({"withdraw_reserved_names": ["PATH"]})).await;
    let writer = only(&demo, &["write", "delete"]).await;
    for name in ["BASH_ENV", "PATH", "GCONV_PATH", "LOCPATH", "HOSTALIASES", "RES_OPTIONS", "NODE_OPTIONS"] {
        assert_eq!(code(demo.set_one(&writer, "shop", name).await.map(drop)), Err(ErrorCode::ReservedName));
    }
    let both = demo.set(&writer, "shop", json!({"B": "2", "PERL5OPT": "-e0", "bash_env": "x"})).await;
    let refused = both.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ReservedName);
    let text = refused.external();
    for part in [
        "PERL5OPT (by Perl), bash_env (by shells)",
        "allowed_reserved_names",
        "`petsem app set shop --allow-reserved-name PERL5OPT --allow-reserved-name bash_env`",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(code(roll_back(&demo, &writer, "PATH", 1).await), Err(ErrorCode::ReservedName));
    assert_eq!(shop(&demo).await.version, 1, "nothing was changed");
    // What is stored may always be deleted.
    demo.set(&writer, "shop", json!({"PATH": null})).await.unwrap();
    assert_eq!(booted(&demo).await, (vec!["A".to_owned()], Vec::new()));
}

#[tokio::test]
async fn allowing_a_reserved_name_needs_more_than_the_right_to_write() {
    let demo = Demo::new().await;
    let writer = only(&demo, &["write", "list", "delete"]).await;
    let wanted = json!({"allow_reserved_names": ["NODE_OPTIONS"]});
    assert_eq!(code(change(&demo, &writer, wanted.clone()).await.map(drop)), Err(ErrorCode::Forbidden));
    assert_eq!(code(create(&demo, &writer, "mine").await.map(drop)), Err(ErrorCode::Forbidden));
    let manager = only(&demo, &["manage_policy"]).await;
    assert_eq!(done(&demo, &manager, wanted).await, ["NODE_OPTIONS"]);
    assert_eq!(
        code(demo.set_one(&manager, "shop", "NODE_OPTIONS").await.map(drop)),
        Err(ErrorCode::Forbidden)
    );
    demo.set_one(&writer, "shop", "NODE_OPTIONS").await.unwrap();
    assert_eq!(allowed(&create(&demo, &demo.tokens.owner, "theirs").await.unwrap()), ["NODE_OPTIONS"]);
}

#[tokio::test]
async fn a_boot_and_a_read_name_what_the_app_allows_and_carry_the_rest_too() {
    let demo = Demo::new().await;
    let owner = &demo.tokens.owner;
    done(&demo, owner, json!({"allow_reserved_names": ["NODE_OPTIONS", "PATH", "PS4"]})).await;
    demo.set(owner, "shop", json!({"A": "1", "NODE_OPTIONS": "x", "PATH": "/x"})).await.unwrap();
    assert_eq!(
        done(&demo, owner, json!({"withdraw_reserved_names": ["PATH"]})).await,
        ["NODE_OPTIONS", "PS4"]
    );
    let demo = demo.restarted().await;
    let names = ["A", "NODE_OPTIONS", "PATH"].map(str::to_owned).to_vec();
    assert_eq!(booted(&demo).await, (names.clone(), vec!["NODE_OPTIONS".to_owned(), "PS4".to_owned()]));
    // A read reveals no name that it does not cover.
    let read = demo.read("shop").await.unwrap();
    let read_names: Vec<_> = read.secrets.iter().map(|secret| secret.name.to_string()).collect();
    let read_allowed: Vec<_> = read.allowed_reserved_names.iter().map(ToString::to_string).collect();
    assert_eq!((read_names, read_allowed), (names, vec!["NODE_OPTIONS".to_owned()]));
    let listed = demo.list(&demo.tokens.owner, "shop").await.unwrap();
    assert_eq!((listed.secrets.len(), listed.allowed_reserved_names.len()), (3, 0));
}

#[tokio::test]
async fn settings_that_allow_less_raise_the_floor_and_others_do_not() {
    let demo = Demo::new().await;
    let owner = &demo.tokens.owner;
    let (first, _) = floor_and_head(&demo).await;
    for (wanted, takes_away) in [
        (json!({"allow_reserved_names": ["PATH", "PS4"]}), false),
        (json!({"withdraw_reserved_names": ["PS4"]}), true),
        // It was not allowed.
        (json!({"withdraw_reserved_names": ["PS4"]}), false),
        (json!({"renewal_life": 90_000, "history": 1}), false),
        (json!({"renewal_life": 80_000, "allow_reserved_names": ["PS4"]}), true),
    ] {
        let (before, _) = floor_and_head(&demo).await;
        done(&demo, owner, wanted.clone()).await;
        let (floor, head) = floor_and_head(&demo).await;
        assert_eq!(floor, if takes_away { head } else { before }, "{wanted} {first}");
    }
    let settings = shop(&demo).await.settings;
    assert_eq!((settings.renewal_life, settings.history), (80_000, 1));
    let demo = demo.restarted().await;
    assert_eq!(shop(&demo).await.settings, settings);
}

#[tokio::test]
async fn a_token_of_the_platform_gives_no_consent_without_a_second_person() {
    let demo = Demo::new().await;
    let (owner, operator) = (&demo.tokens.owner, &demo.tokens.operator);
    let wanted = || json!({"allow_reserved_names": ["BASH_ENV"]});
    // The operator's own token, and the org's token that it mints for itself.
    let minted = demo.mint(operator, json!({"kind": "org", "org": "demo"})).await.unwrap().token;
    for token in [operator, &minted] {
        pending(&demo, token, wanted()).await;
        pending(&demo, token, json!({"renewal_life": 90_000})).await;
        assert_eq!(code(create(&demo, token, "new").await.map(drop)), Err(ErrorCode::Forbidden));
    }
    let approval = pending(&demo, operator, wanted()).await;
    assert!(approval.summary.ends_with(": allow BASH_ENV"), "{}", approval.summary);
    assert_eq!(allowed(&shop(&demo).await), Vec::<String>::new());
    let approve = async |tokens: &str| {
        demo.call(tokens, async |engine, audit, principal, now| {
            engine.approve(audit, principal, approval.id, &Approve::default(), now).await
        })
        .await
    };
    assert_eq!(code(approve(operator).await.map(drop)), Err(ErrorCode::Forbidden));
    approve(owner).await.unwrap();
    assert_eq!(allowed(&shop(&demo).await), ["BASH_ENV"]);
    // Taking away needs nobody else.
    assert_eq!(
        done(&demo, operator, json!({"withdraw_reserved_names": ["BASH_ENV"]})).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn an_org_that_guards_its_policies_guards_consent_too() {
    let demo = Demo::new().await;
    let owner = &demo.tokens.owner;
    let guard = body(json!({"guard_policies": true}));
    demo.call(owner, async |engine, audit, principal, now| {
        engine.put_guard(audit, principal, &"demo".parse().unwrap(), guard, now).await
    })
    .await
    .unwrap();
    pending(&demo, owner, json!({"allow_reserved_names": ["PATH"]})).await;
    assert_eq!(code(create(&demo, owner, "new").await.map(drop)), Err(ErrorCode::Forbidden));
    done(&demo, owner, json!({"history": 5})).await;
}

#[tokio::test]
async fn settings_that_no_app_may_have_are_refused() {
    let demo = Demo::new().await;
    let many: Vec<_> = (0..65).map(|number| format!("LD_{number}")).collect();
    for wanted in [
        json!({ "allow_reserved_names": many }),
        json!({"allow_reserved_names": ["PATH"], "withdraw_reserved_names": ["PATH"]}),
        json!({"renewal_life": 2_592_001}),
        json!({"history": 0}),
    ] {
        let refused = change(&demo, &demo.tokens.owner, wanted.clone()).await.map(drop);
        assert_eq!(code(refused), Err(ErrorCode::BadRequest), "{wanted}");
    }
}

#[tokio::test]
async fn a_change_that_gave_nothing_when_it_was_decided_does_not_undo_a_withdrawal() {
    let demo = Demo::new().await;
    let engine = &demo.lab.engine;
    assert_eq!(done(&demo, &demo.tokens.owner, json!({"allow_reserved_names": ["PATH"]})).await, ["PATH"]);
    let decided = engine.find_app(&app_ref("shop")).await.unwrap().unwrap();
    let none: [&str; 0] = [];
    assert_eq!(done(&demo, &demo.tokens.owner, json!({"withdraw_reserved_names": ["PATH"]})).await, none);
    let again = body(json!({"allow_reserved_names": ["PATH"]}));
    let mut audit = local_record(engine.now(), "app.settings");
    let refused = engine.set_settings(&mut audit, &decided, &again, false, None).await;
    assert_eq!(code(refused.map(drop)), Err(ErrorCode::Conflict));
    let current = engine.find_app(&app_ref("shop")).await.unwrap().unwrap();
    assert_eq!(current.head.settings.allowed_reserved_names.len(), 0);
}

#[tokio::test]
async fn consent_is_for_reserved_names_and_in_the_audit_log_whatever_their_number() {
    let demo = Demo::new().await;
    let owner = &demo.tokens.owner;
    let misspelled = change(&demo, owner, json!({"allow_reserved_names": ["NODE_OPTION"]})).await.map(drop);
    assert_eq!(code(misspelled), Err(ErrorCode::BadRequest));
    let withdrawn = change(&demo, owner, json!({"withdraw_reserved_names": ["NODE_OPTION"]})).await.map(drop);
    assert_eq!(code(withdrawn), Err(ErrorCode::BadRequest));
    assert_eq!(done(&demo, owner, json!({"withdraw_reserved_names": ["NODE_OPTIONS"]})).await, [""; 0]);
    let long = |number: usize| format!("GIT_TEST_{}{number}", "A".repeat(200));
    let mut names: Vec<String> = (0..9).map(long).collect();
    names.push("PATH".to_owned());
    done(&demo, owner, json!({"allow_reserved_names": names})).await;
    let line = demo.last_line();
    assert_eq!(line["secrets"]["count"], 10);
    assert!(line["secrets"]["names"].as_array().unwrap().contains(&json!("PATH")), "{line}");
    let many: Vec<String> = (0..65).map(|number| format!("GIT_TEST_{number}")).collect();
    let refused = change(&demo, owner, json!({"withdraw_reserved_names": many})).await.map(drop);
    assert_eq!(code(refused), Err(ErrorCode::BadRequest));
}

#[tokio::test]
async fn a_request_that_was_put_back_to_before_its_decision_is_named() {
    let demo = Demo::new().await;
    let wanted = json!({"allow_reserved_names": ["NODE_OPTIONS"]});
    let request = pending(&demo, &demo.tokens.operator, wanted).await.id;
    let store = &demo.lab.engine.store;
    let open = store.record(RecordKind::Approval, request.as_bytes()).await.unwrap().unwrap();
    let denied = demo
        .call(&demo.tokens.owner, async |engine, audit, principal, now| {
            engine.deny_request(audit, principal, request, now).await
        })
        .await
        .unwrap();
    assert_eq!(denied.state, ApprovalState::Denied);
    let mut put_back = demo.lab.engine.change_without_line();
    put_back.puts.push(open);
    store.commit(put_back).await.unwrap();
    let approved = demo
        .call(&demo.tokens.owner, async |engine, audit, principal, now| {
            engine.approve(audit, principal, request, &Approve::default(), now).await
        })
        .await;
    assert_eq!(code(approved.map(drop)), Err(ErrorCode::Integrity));
    assert_eq!(allowed(&shop(&demo).await), [""; 0]);
    let faults = demo.lab.verified().await.faults;
    let row = HEXLOWER.encode(request.as_bytes());
    let [fault] = faults.try_into().unwrap();
    assert!(fault.contains(&format!("the approval row {row}")), "{fault}");
    assert!(fault.contains("it was put back to before its decision"), "{fault}");
}
