//! Tokens in one header are not combined; an attenuated token cannot revoke its original; lists of tokens are complete.

use petsem_api::{ErrorCode, OrgId, RevokeRequest, TokenInfo, TokenKind, TokenList, TokenUuid};
use petsem_policy::{
    Action, ActionSet, Actions, Apps, Caveat, Macaroon, MacaroonKey, SecretNames, UnverifiedToken,
};
use serde_json::{Value, json};

use crate::authn::token_id::token_uuid;
use crate::entropy;
use crate::error::Failure;
use crate::lab::{Demo, HOST, app_ref, appended, code};
use crate::request::local_record;
use crate::tokens::mint::{NewToken, window};

fn id_of(token: &str) -> TokenUuid {
    token_uuid(UnverifiedToken::parse(token).unwrap().id())
}

/// A token of an org, minted with this one.
async fn minted(demo: &Demo, parent: &str, wanted: Value) -> String {
    demo.mint(parent, wanted).await.unwrap().token
}

/// The tokens of an org, as the operator lists them.
async fn listed(demo: &Demo, org: &str) -> TokenList {
    let org = org.parse().unwrap();
    demo.call(&demo.tokens.operator, async |engine, audit, principal, now| {
        engine.list_tokens(audit, principal, Some(&org), now).await
    })
    .await
    .unwrap()
}

/// The token and the subject in the audit line of the last request.
fn named(demo: &Demo) -> (String, String) {
    let line = demo.last_line();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&line["token"]), text(&line["subject"]["sub"]))
}

async fn version(demo: &Demo, app: &str) -> u64 {
    demo.call(&demo.tokens.operator, async |engine, audit, principal, _| {
        engine.show_app(audit, principal, &app_ref(app)).await
    })
    .await
    .unwrap()
    .version
}

#[tokio::test]
async fn two_tokens_in_one_header_allow_no_more_than_one_of_them_alone() {
    let demo = Demo::new().await;
    let operator = &demo.tokens.operator;
    demo.app("demo", "first").await.unwrap();
    demo.app("demo", "second").await.unwrap();
    demo.set(operator, "first", json!({"A": "1", "B": "2"})).await.unwrap();
    demo.set(operator, "second", json!({"A": "1"})).await.unwrap();
    let of =
        |app: &str, action: &str| json!({"kind": "org", "org": "demo", "apps": [app], "actions": [action]});
    // The first is the owner's, the others are the operator's.
    let writer = minted(&demo, &demo.tokens.owner, of("first", "write")).await;
    let lister = minted(&demo, operator, of("second", "list")).await;
    let deleter = minted(&demo, operator, of("first", "delete")).await;
    for (number, header) in
        [format!("{writer},{lister},{deleter}"), format!("{deleter},{lister},{writer}")].iter().enumerate()
    {
        let both = json!({"A": "x", "B": null});
        let mint = json!({"kind": "org", "org": "demo"});
        for (what, outcome) in [
            ("write where it may list", code(demo.set_one(header, "second", "A").await.map(drop))),
            ("list where it may write", code(demo.list(header, "first").await.map(drop))),
            ("write by one and delete by the other", code(demo.set(header, "first", both).await.map(drop))),
            ("mint", code(demo.mint(header, mint).await.map(drop))),
        ] {
            assert_eq!(outcome, Err(ErrorCode::Forbidden), "{what}");
        }
        assert_eq!(
            (version(&demo, "first").await, version(&demo, "second").await),
            (1 + 2 * number as u64, 1)
        );

        let set = demo.set_one(header, "first", "A").await.unwrap();
        assert_eq!(set.secret.author, "owner (petsem.test)");
        assert_eq!(named(&demo), (id_of(&writer).to_string(), "owner".to_owned()));
        demo.set(header, "first", json!({"A": null})).await.unwrap();
        assert_eq!(named(&demo), (id_of(&deleter).to_string(), "developer".to_owned()));
        demo.list(header, "second").await.unwrap();
        assert_eq!(named(&demo), (id_of(&lister).to_string(), "developer".to_owned()));
    }
    let history = demo
        .call(operator, async |engine, audit, principal, _| {
            engine.secret_history(audit, principal, &app_ref("first"), &"A".parse().unwrap()).await
        })
        .await
        .unwrap();
    let authors: Vec<_> = history.history.iter().map(|entry| entry.author.as_str()).collect();
    let (developer, owner) = ("developer (petsem.test)", "owner (petsem.test)");
    assert_eq!(authors, [developer, owner, developer, owner, developer]);
}

#[tokio::test]
async fn a_token_of_another_installation_is_refused_with_its_name() {
    let demo = Demo::new().await;
    let from = |location: &str| {
        let key = MacaroonKey::new(&[7; 32]);
        Macaroon::mint(&key, b"kid", location, false, &mut entropy::rng()).to_text().to_string()
    };
    let own = &demo.lab.engine.settings;
    let elsewhere = from("https://petsem.other.example");
    let refused = demo.list(&elsewhere, "shop").await.unwrap_err();
    let text = "the token is from https://petsem.other.example, not from this installation; send a token of this one, or \
                call the other one";
    assert_eq!((refused.code(), refused.external()), (ErrorCode::TokenMalformed, text));
    // A discharge of this installation, and what is no token, are of no other one.
    for other in [from(&own.discharger_location), from(""), "fm2_AAAA".to_owned(), "eyJ.e.s".to_owned()] {
        let refused = demo.list(&other, "shop").await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::TokenMalformed);
        assert!(refused.external().contains("has no valid petsem token"), "{}", refused.external());
    }
}

#[tokio::test]
async fn tokens_of_two_orgs_in_one_header_each_authorize_only_their_own_org() {
    let demo = Demo::new().await;
    let operator = &demo.tokens.operator;
    demo.org("rivals").await.unwrap();
    demo.app("rivals", "theirs").await.unwrap();
    let ours = minted(&demo, operator, json!({"kind": "org", "org": "demo"})).await;
    let theirs = minted(&demo, operator, json!({"kind": "org", "org": "rivals"})).await;
    for header in [format!("{ours},{theirs}"), format!("{theirs},{ours}")] {
        for (app, token) in [("shop", &ours), ("theirs", &theirs)] {
            demo.set_one(&header, app, "A").await.unwrap();
            assert_eq!(named(&demo).0, id_of(token).to_string(), "{app}");
        }
        for (org, token, other) in [("demo", &ours, &theirs), ("rivals", &theirs, &ours)] {
            let child = demo.mint(&header, json!({"kind": "org", "org": org})).await.unwrap().id;
            let TokenList { tokens, .. } = listed(&demo, org).await;
            let TokenInfo { ancestors, .. } = tokens.iter().find(|entry| entry.id == child).unwrap();
            assert!(ancestors.contains(&id_of(token)), "{ancestors:?}");
            assert!(!ancestors.contains(&id_of(other)), "{ancestors:?}");
        }
        // A token of one org, narrowed to an app of the other.
        let wanted = json!({"kind": "org", "org": "rivals", "apps": ["shop"]});
        assert_eq!(code(demo.mint(&header, wanted).await.map(drop)), Err(ErrorCode::NotFound));
        let all = demo
            .call(&header, async |engine, audit, principal, now| {
                engine.list_tokens(audit, principal, None, now).await
            })
            .await;
        assert_eq!(code(all), Err(ErrorCode::Forbidden));
        let issuers = demo
            .call(&header, async |engine, audit, principal, now| engine.list_issuers(audit, principal, now))
            .await;
        assert_eq!(code(issuers), Err(ErrorCode::Forbidden));
        // One of the two tokens authorizes the whole request: only its org is visible.
        let orgs = demo
            .call(&header, async |engine, audit, principal, now| {
                engine.list_orgs(audit, principal, now).await
            })
            .await
            .unwrap();
        let names: Vec<_> = orgs.orgs.iter().map(|org| org.name.to_string()).collect();
        assert_eq!(names, ["demo"]);
    }
}

#[tokio::test]
async fn a_narrowed_token_revokes_neither_its_root_nor_a_sibling_nor_itself() {
    let demo = Demo::new().await;
    let (operator, owner) = (&demo.tokens.operator, &demo.tokens.owner);
    demo.set(operator, "shop", json!({"A": "1"})).await.unwrap();
    let shop = demo.lab.engine.find_app(&app_ref("shop")).await.unwrap().unwrap().id;
    let root = minted(&demo, owner, json!({"kind": "org", "org": "demo"})).await;
    let sibling = minted(&demo, &root, json!({"kind": "org", "org": "demo"})).await;
    let child = async |field: &str, value: &str| {
        minted(&demo, &root, json!({"kind": "org", "org": "demo", field: [value]})).await
    };
    let only_list = Actions(ActionSet::from_iter([Action::List]));
    let narrowed = [
        ("to listing", child("actions", "list").await),
        ("to an app", child("apps", "shop").await),
        ("to a secret", child("secrets", "A").await),
        ("to a Machine", child("machines", "m-1").await),
        ("to listing, by its holder", appended(&root, [only_list.into()])),
        ("to an app, by its holder", appended(&root, [Apps::new([*shop.as_bytes()]).into()])),
        ("to a secret, by its holder", appended(&root, [SecretNames::new(["A".to_owned()], []).into()])),
    ];
    let revoke = async |token: &str, what: RevokeRequest| code(demo.revoke(token, &what).await.map(drop));
    for (what, token) in &narrowed {
        for other in [&root, owner, &sibling, token, operator, &demo.tokens.host] {
            let outcome = revoke(token, RevokeRequest::Token { id: id_of(other), unknown: false }).await;
            assert_eq!(outcome, Err(ErrorCode::Forbidden), "{what}");
        }
        let host = RevokeRequest::Host { host: "dev".parse().unwrap(), unknown: true };
        assert_eq!(revoke(token, host).await, Err(ErrorCode::Forbidden), "{what}: the host");
        if !what.contains("app") {
            let machine = RevokeRequest::Machine { app: app_ref("shop"), machine: "m-1".parse().unwrap() };
            assert_eq!(revoke(token, machine).await, Err(ErrorCode::Forbidden), "{what}: a Machine");
        }
    }
    for token in [&root, &sibling, operator] {
        assert_eq!(demo.list(token, "shop").await.unwrap().secrets.len(), 1);
    }
    // An operator may revoke it.
    assert_eq!(revoke(operator, RevokeRequest::Token { id: id_of(&root), unknown: false }).await, Ok(()));
    assert_eq!(code(demo.list(&sibling, "shop").await.map(drop)), Err(ErrorCode::Revoked));
}

/// Mints this many tokens of an org in one change.
async fn mint_many(demo: &Demo, org: OrgId, count: usize) -> Result<(), Failure> {
    let engine = &demo.lab.engine;
    let (now, control) = (engine.now(), engine.control());
    let mut audit = local_record(now, "test");
    let mut change = engine.change(&audit);
    for _ in 0..count {
        let expires = now.seconds_after(60);
        let new = NewToken {
            kind: TokenKind::Org,
            key: &*control.key_for_new_tokens(Some(org)).await?,
            subject: "rival".to_owned(),
            ancestors: Vec::new(),
            caveats: vec![window(now, expires)],
            expires,
        };
        let (token, row) = engine.mint(new, now).map_err(Failure::internal)?;
        change.puts.push(engine.codec.write(token_uuid(token.id()).as_bytes(), 1, &row));
    }
    engine.commit(&mut audit, change).await?;
    engine.record(&audit).await
}

#[tokio::test]
async fn an_orgs_tokens_are_all_listed_regardless_of_the_number_of_another_org() {
    const THEIRS: usize = 12_000;
    const OURS: usize = 40;
    let demo = Demo::new().await;
    let rivals = demo.org("rivals").await.unwrap().id;
    let mut ours = vec![id_of(&demo.tokens.owner)];
    for _ in 0..OURS {
        ours.push(demo.mint(&demo.tokens.operator, json!({"kind": "org", "org": "demo"})).await.unwrap().id);
    }
    for _ in 0..12 {
        mint_many(&demo, rivals, THEIRS / 12).await.unwrap();
    }
    // More than one response holds.
    assert!(listed(&demo, "rivals").await.truncated);
    let listed = listed(&demo, "demo").await;
    let mut found: Vec<_> = listed.tokens.iter().map(|token| token.id.to_string()).collect();
    let mut ours: Vec<_> = ours.iter().map(ToString::to_string).collect();
    ours.sort_unstable();
    found.sort_unstable();
    assert_eq!((found, listed.truncated), (ours, false));
}

#[tokio::test]
async fn a_token_too_long_for_a_header_is_not_minted_and_lists_of_long_ones_are_truncated() {
    let demo = Demo::new().await;
    let with = async |prefix: String| {
        let wanted = json!({"kind": "org", "org": "demo", "secret_prefixes": [prefix]});
        demo.mint(&demo.tokens.operator, wanted).await.map(drop)
    };
    let endless = with("A".repeat(240_000)).await.unwrap_err();
    assert_eq!(endless.code(), ErrorCode::BadRequest);
    assert!(endless.external().contains("over the limit of 16384"), "{}", endless.external());
    for number in 0..400 {
        with(format!("{number}{}", "A".repeat(11_000))).await.unwrap();
    }
    let listed = listed(&demo, "demo").await;
    let bytes = serde_json::to_vec(&listed).unwrap().len();
    assert!(bytes < 5 * 1024 * 1024, "{bytes}");
    assert!(listed.truncated);
    assert!(listed.tokens.len() > 300, "{}", listed.tokens.len());
}

#[tokio::test]
async fn a_token_with_many_caveats_decides_on_fewer_names_in_one_request() {
    let demo = Demo::new().await;
    let operator = &demo.tokens.operator;
    let mut values = serde_json::Map::new();
    for number in 0..2000 {
        values.insert(format!("NAME_{number:04}"), json!("x"));
    }
    let version = demo.set(operator, "shop", values.clone().into()).await.unwrap();

    let distinct = |number| SecretNames::new([format!("OTHER_{number}")], ["NAME_".to_owned()]);
    let token = appended(operator, (0..60).map(|number| distinct(number).into()));
    let refused = demo.set(&token, "shop", values.clone().into()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::BadRequest);
    assert!(refused.external().starts_with("there are too many names for the caveats"), "{refused:?}");
    let refused = demo.list(&token, "shop").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::BadRequest);
    assert_eq!(version, self::version(&demo, "shop").await);

    let fewer = values.into_iter().take(1000).collect::<serde_json::Map<_, _>>();
    assert_eq!(demo.set(&token, "shop", fewer.into()).await.unwrap(), version + 1);
}

#[tokio::test]
async fn expired_tokens_are_counted_like_strangers_and_get_no_lines_of_their_own() {
    let demo = Demo::new().await;
    let now = demo.lab.engine.now().seconds();
    let ended = Caveat::ValidityWindow { not_before: now - 60, not_after: now - 1 };
    let later = Caveat::ValidityWindow { not_before: now + 60, not_after: now + 120 };
    demo.list(&demo.tokens.operator, "shop").await.unwrap();
    let mut last = demo.last_line()["request_id"].clone();
    for window in [ended, later] {
        let token = appended(&demo.tokens.operator, [window]);
        assert_eq!(code(demo.list(&token, "shop").await.map(drop)), Err(ErrorCode::TokenExpired));
        assert_eq!(demo.last_line()["request_id"], last);
        // Beside a valid token it is only not used.
        demo.list(&format!("{token},{}", demo.tokens.operator), "shop").await.unwrap();
        let next = demo.last_line()["request_id"].clone();
        assert_ne!(std::mem::replace(&mut last, next.clone()), next);
    }
}

#[tokio::test]
async fn the_token_of_a_revoked_host_is_listed_as_revoked() {
    let demo = Demo::new().await;
    let hosts = async || {
        let all = demo.call(&demo.tokens.operator, async |engine, audit, principal, now| {
            engine.list_tokens(audit, principal, None, now).await
        });
        let tokens = all.await.unwrap().tokens;
        let of_hosts = tokens.into_iter().filter(|token| token.kind == TokenKind::Host);
        of_hosts.map(|token| token.revoked).collect::<Vec<_>>()
    };
    assert_eq!(hosts().await, [false]);
    let revoked = RevokeRequest::Host { host: HOST.parse().unwrap(), unknown: false };
    demo.call(&demo.tokens.operator, async |engine, audit, principal, now| {
        engine.revoke(audit, principal, &revoked, now).await
    })
    .await
    .unwrap();
    assert_eq!(hosts().await, [true]);
}
