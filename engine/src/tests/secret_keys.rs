//! Versions of a label: what a client that gives the label alone relies on.

use petsem_api::{ErrorCode, SecretKeyType};
use serde_json::json;

use crate::error::Failure;
use crate::lab::{Demo, app_ref, body, code};
use crate::secret_keys::KeyRequest;

/// Generates the key, or imports it; `true` if it replaced one.
async fn put(demo: &Demo, label: &str, kind: SecretKeyType, import: bool) -> Result<bool, Failure> {
    let (app, name) = (app_ref("shop"), label.parse().unwrap());
    let imported = body(json!({"type": kind, "value": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}));
    let generated = body(json!({"type": kind}));
    demo.call(&demo.tokens.owner, async |engine, audit, principal, now| {
        let request = KeyRequest { principal, app: &app, name: &name, min_version: None, now };
        match import {
            true => engine.import_secret_key(audit, &request, &imported).await,
            false => engine.generate_secret_key(audit, &request, &generated).await,
        }
    })
    .await
    .map(|answer| answer.replaced)
}

#[tokio::test]
async fn versions_of_a_label_have_one_type() {
    let demo = Demo::new().await;
    let (sealing, signing) = (SecretKeyType::Xaes256Gcm, SecretKeyType::NaclSign);
    assert_eq!(code(put(&demo, "mailv0", sealing, false).await), Ok(false));
    let (app, name) = (app_ref("shop"), "mailv0".parse().unwrap());
    let owner = &demo.tokens.owner;
    let message = body(json!({"plaintext": "bQ=="}));
    let sealed = demo
        .call(owner, async |engine, audit, principal, now| {
            let request = KeyRequest { principal, app: &app, name: &name, min_version: None, now };
            engine.encrypt(audit, &request, &message).await
        })
        .await
        .unwrap();

    for label in ["mailv1", "mailv0", "mail"] {
        for import in [false, true] {
            let refused = put(&demo, label, signing, import).await.unwrap_err();
            assert_eq!(refused.code(), ErrorCode::Conflict, "{label}");
            let fact =
                format!("{label} would be a key of type nacl_sign, but mail has a version of another type");
            assert!(refused.external().starts_with(&fact), "{}", refused.external());
        }
    }
    assert_eq!(code(put(&demo, "mailv1", sealing, false).await), Ok(false));
    assert_eq!(code(put(&demo, "mailv1", sealing, false).await), Ok(true));
    assert_eq!(code(put(&demo, "mailerv0", signing, false).await), Ok(false));
    // A label that is only a version has no others.
    assert_eq!(code(put(&demo, "v0", signing, false).await), Ok(false));
    assert_eq!(code(put(&demo, "v1", sealing, false).await), Ok(false));

    let ciphertext =
        body(json!({"ciphertext": data_encoding::BASE64.encode(sealed.ciphertext.expose_bytes())}));
    let opened = demo
        .call(owner, async |engine, audit, principal, now| {
            let request = KeyRequest { principal, app: &app, name: &name, min_version: None, now };
            engine.decrypt(audit, &request, &ciphertext).await
        })
        .await
        .unwrap();
    assert_eq!(opened.plaintext.expose_bytes(), b"m");
}
