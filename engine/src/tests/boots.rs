//! Boots and their renewals.

use petsem_api::ErrorCode;
use serde_json::json;

use crate::development::development_policy;
use crate::lab::{Demo, ISSUER, code};

const DAY: u64 = 24 * 60 * 60;

#[tokio::test]
async fn a_boot_by_a_renewal_returns_a_new_one_only_past_half_of_its_life() {
    let demo = Demo::new().await;
    demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
    let discharge = demo.discharge("shop", "m-1").await.unwrap();
    let first = demo.boot("shop", "m-1", &discharge).await.unwrap().renewal.unwrap();
    for later in [0, DAY / 2 - 60] {
        let boot = demo.boot_later("shop", "m-1", &first, later).await.unwrap();
        assert_eq!((boot.renewal, boot.renewal_expires_at, boot.secrets.len()), (None, None, 1));
    }
    let boot = demo.boot_later("shop", "m-1", &first, DAY / 2 + 60).await.unwrap();
    let second = boot.renewal.unwrap();
    // It is valid after the first one has expired.
    let late = demo.boot_later("shop", "m-1", &first, DAY + 60).await;
    assert_eq!(code(late.map(drop)), Err(ErrorCode::TokenExpired));
    demo.boot_later("shop", "m-1", &second, DAY + 60).await.unwrap();
}

#[tokio::test]
async fn a_shorter_longest_life_in_the_policy_holds_for_renewals_too() {
    let demo = Demo::new().await;
    demo.set(&demo.tokens.operator, "shop", json!({"A": "1"})).await.unwrap();
    let now = demo.lab.engine.now().seconds();
    let discharge = demo.discharge_with("shop", "m-1", json!({"iat": now, "exp": now + 200})).await.unwrap();
    let renewal = demo.boot("shop", "m-1", &discharge).await.unwrap().renewal.unwrap();
    let mut policy = development_policy(ISSUER);
    for (longest, booted) in [(200, Ok(())), (199, Err(ErrorCode::PolicyDenied)), (200, Ok(()))] {
        policy["rules"][0]["max_life_seconds"] = json!(longest);
        demo.put_policy("shop", policy.clone()).await.unwrap();
        assert_eq!(code(demo.boot("shop", "m-1", &renewal).await.map(drop)), booted, "{longest}");
    }
}
