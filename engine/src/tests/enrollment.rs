//! Host tokens: a second person approves which hosts a party enrolls.

use petsem_api::{Approval, ApprovalState, Approve, ErrorCode, RevokeRequest, TokenUuid};
use petsem_policy::Subject;
use petsem_store::RecordKind;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::error::Failure;
use crate::lab::{Demo, body, code};
use crate::messages;
use crate::request::local_record;

const DAY: u64 = 24 * 60 * 60;

/// An installation with a second operator, whom the first one did not appoint.
struct Scene {
    demo: Demo,
    first: String,
    second: String,
    second_id: TokenUuid,
}

impl Scene {
    async fn new() -> Self {
        let demo = Demo::new().await;
        let first = demo.tokens.operator.clone();
        let engine = &demo.lab.engine;
        let mut audit = local_record(engine.now(), "test");
        let subject = Subject { issuer: "test".to_owned(), sub: "lee".to_owned() };
        let second = engine.mint_first_token(&mut audit, subject, DAY, engine.now()).await.unwrap();
        Self { demo, first, second_id: second.id, second: second.token.clone() }
    }

    async fn asked(&self, hosts: &[&str]) -> Approval {
        self.demo.request_enrollment(&self.first, hosts).await.unwrap()
    }

    async fn approve(&self, request: &Approval, token: &str) -> Result<ApprovalState, Failure> {
        let id = request.id;
        let approved = self.demo.call(token, async |engine, audit, principal, now| {
            engine.approve(audit, principal, id, &Approve::default(), now).await
        });
        approved.await.map(|approval| approval.state)
    }

    async fn deny(&self, request: &Approval, token: &str) -> Result<ApprovalState, Failure> {
        let id = request.id;
        let denied = self.demo.call(token, async |engine, audit, principal, now| {
            engine.deny_request(audit, principal, id, now).await
        });
        denied.await.map(|approval| approval.state)
    }

    async fn mint(&self, token: &str, host: &str) -> Result<(), ErrorCode> {
        code(self.demo.mint(token, json!({"kind": "host", "host": host})).await).map(drop)
    }

    async fn mint_later(&self, host: &str, seconds: u64) -> Result<(), ErrorCode> {
        let wanted = body(json!({"kind": "host", "host": host}));
        let minted = self.demo.call(&self.first, async |engine, audit, principal, now| {
            let later = Timestamp::from_millis(now.millis() + seconds * 1000);
            engine.create_token(audit, principal, &wanted, later).await
        });
        code(minted.await).map(drop)
    }
}

#[tokio::test]
async fn only_another_person_lets_a_party_mint_the_tokens_of_hosts() {
    let scene = Scene::new().await;
    assert_eq!(scene.mint(&scene.first, "h-1").await, Err(ErrorCode::Forbidden));
    let request = scene.asked(&["h-2", "h-1", "h-2"]).await;
    assert_eq!(request.summary, "mint the tokens of hosts h-1, h-2");
    assert_eq!(scene.mint(&scene.first, "h-1").await, Err(ErrorCode::Forbidden));
    let of_first = json!({"kind": "operator", "subject": "eve"});
    let eve = scene.demo.mint(&scene.first, of_first).await.unwrap().token.clone();
    for token in [&scene.first, &eve, &scene.demo.tokens.owner] {
        assert_eq!(code(scene.approve(&request, token).await), Err(ErrorCode::Forbidden));
    }
    assert_eq!(code(scene.approve(&request, &scene.second).await), Ok(ApprovalState::Approved));
    for (token, host, expected) in [
        (&scene.first, "h-1", Ok(())),
        (&scene.first, "h-2", Ok(())),
        (&scene.first, "h-1", Ok(())),
        (&scene.first, "h-3", Err(ErrorCode::Forbidden)),
        // The approval is for its requester alone.
        (&scene.second, "h-1", Err(ErrorCode::Forbidden)),
        (&eve, "h-1", Err(ErrorCode::Forbidden)),
    ] {
        assert_eq!(scene.mint(token, host).await, expected, "{host}");
    }
    // The record names the request.
    scene.mint(&scene.first, "h-1").await.unwrap();
    let detail = scene.demo.last_line()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("host:h-1") && detail.contains(&request.id.to_string()), "{detail}");
}

#[tokio::test]
async fn a_revoked_host_is_not_enrolled_again() {
    let scene = Scene::new().await;
    let request = scene.asked(&["h-1", "h-2"]).await;
    assert_eq!(code(scene.approve(&request, &scene.second).await), Ok(ApprovalState::Approved));
    assert_eq!(scene.mint(&scene.first, "h-1").await, Ok(()));
    let host = "h-1".parse().unwrap();
    scene.demo.revoke(&scene.first, &RevokeRequest::Host { host, unknown: false }).await.unwrap();
    assert_eq!(scene.mint(&scene.first, "h-1").await, Err(ErrorCode::Conflict));
    assert_eq!(scene.mint(&scene.first, "h-2").await, Ok(()));
    let refused = scene.demo.request_enrollment(&scene.first, &["h-3", "h-1"]).await.map(|_| ());
    let refused = refused.unwrap_err();
    let said = messages::host_revoked(&"h-1".parse().unwrap());
    assert_eq!((refused.code(), refused.external()), (ErrorCode::Conflict, said.external()));
}

#[tokio::test]
async fn an_enrollment_ends_after_a_day_when_it_is_withdrawn_and_with_the_approvers_token() {
    let scene = Scene::new().await;
    let request = scene.asked(&["h-1"]).await;
    assert_eq!(code(scene.approve(&request, &scene.second).await), Ok(ApprovalState::Approved));
    assert_eq!(scene.mint_later("h-1", DAY - 60).await, Ok(()));
    assert_eq!(scene.mint_later("h-1", DAY + 60).await, Err(ErrorCode::Forbidden));
    assert_eq!(scene.mint(&scene.first, "h-1").await, Ok(()));
    assert_eq!(code(scene.deny(&request, &scene.second).await), Ok(ApprovalState::Denied));
    assert_eq!(scene.mint(&scene.first, "h-1").await, Err(ErrorCode::Forbidden));

    // The approver's token was stolen.
    let request = scene.asked(&["h-1"]).await;
    assert_eq!(code(scene.approve(&request, &scene.second).await), Ok(ApprovalState::Approved));
    assert_eq!(scene.mint(&scene.first, "h-1").await, Ok(()));
    let id = scene.second_id;
    scene.demo.revoke(&scene.first, &RevokeRequest::Token { id, unknown: false }).await.unwrap();
    assert_eq!(scene.mint(&scene.first, "h-1").await, Err(ErrorCode::Forbidden));
}

#[tokio::test]
async fn an_approved_enrollment_that_is_put_back_after_its_end_is_refused() {
    let scene = Scene::new().await;
    let store = &scene.demo.lab.engine.store;
    let request = scene.asked(&["h-1"]).await;
    let row = async || store.record(RecordKind::Approval, request.id.as_bytes()).await.unwrap().unwrap();
    scene.approve(&request, &scene.second).await.unwrap();
    let approved = row().await;
    scene.deny(&request, &scene.first).await.unwrap();
    let mut put_back = scene.demo.lab.engine.change_without_line();
    put_back.puts.push(approved);
    store.commit(put_back).await.unwrap();
    assert_eq!(scene.mint(&scene.first, "h-1").await, Err(ErrorCode::Integrity));
}

#[tokio::test]
async fn who_may_only_enroll_requests_sees_and_withdraws_but_never_approves() {
    let scene = Scene::new().await;
    let enroller = json!({"kind": "operator", "actions": ["enroll"], "subject": "kim"});
    let enroller = scene.demo.mint(&scene.second, enroller).await.unwrap().token.clone();
    let request = scene.demo.request_enrollment(&enroller, &["h-1"]).await.unwrap();
    let shown = |token: String| {
        let (demo, id) = (&scene.demo, request.id);
        async move {
            demo.call(&token, async |engine, audit, principal, now| {
                engine.show_approval(audit, principal, id, now).await
            })
            .await
            .map(|approval| approval.wanted)
        }
    };
    assert_eq!(code(shown(enroller.clone()).await), Ok(Some(json!({"hosts": ["h-1"]}))));
    assert_eq!(code(shown(scene.first.clone()).await), Ok(Some(json!({"hosts": ["h-1"]}))));
    assert_eq!(code(scene.approve(&request, &enroller).await), Err(ErrorCode::Forbidden));
    let other = scene.asked(&["h-2"]).await;
    assert_eq!(code(scene.approve(&other, &enroller).await), Err(ErrorCode::Forbidden));
    // The second operator is behind the enroller's token; the first one is not.
    assert_eq!(code(scene.approve(&request, &scene.second).await), Err(ErrorCode::Forbidden));
    assert_eq!(code(scene.approve(&request, &scene.first).await), Ok(ApprovalState::Approved));
    assert_eq!(scene.mint(&enroller, "h-1").await, Ok(()));
    assert_eq!(code(scene.deny(&request, &enroller).await), Ok(ApprovalState::Denied));
    assert_eq!(scene.mint(&enroller, "h-1").await, Err(ErrorCode::Forbidden));
    let none: Value = json!([]);
    for hosts in [none, json!(vec!["h"; 257])] {
        let wanted = body(json!({"hosts": hosts, "reason": "x"}));
        let refused = scene.demo.call(&enroller, async |engine, audit, principal, now| {
            engine.request_enrollment(audit, principal, &wanted, now).await
        });
        assert_eq!(code(refused.await.map(drop)), Err(ErrorCode::BadRequest));
    }
}
