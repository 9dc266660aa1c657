//! The AWS KMS seal against moto's server, which checks signatures and policies on demand; and against a
//! server with answers that AWS documents but moto never gives.

mod answers;
mod credentials;
mod moto;

use std::env;
use std::process::Command;
use std::time::{Duration, SystemTime};

use getrandom::SysRng;
use petsem_counterparts::{Moto, REGION};
use petsem_keys::{KeyringKey, OpenError, RootKey, Seal as _, SealContext, SealError, SealExt as _};
use rand_core::{CryptoRng, UnwrapErr};

use super::*;
use moto::MotoSeals;

const CONTEXT: SealContext = SealContext::root_key([1; 16], [2; 16], 3);

#[test]
fn a_root_key_is_opened_by_the_kms_key_that_wrapped_it() {
    let moto = moto::shared();
    let key = moto.create_key();
    let seal = moto.seal(&key);
    let root = RootKey::generate(&mut rng(), 3);
    let keyring_key = KeyringKey::generate(&mut rng(), 1);
    let keyring_wrap = root.wrap_keyring_key(&mut rng(), &keyring_key, [1; 16]).unwrap();
    let wrapped = seal.wrap(&mut rng(), &root, &CONTEXT).unwrap();
    let again = moto.seal(&key).unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap();
    assert_eq!(again.unwrap_keyring_key(&keyring_wrap, [1; 16], 1).unwrap().version(), 1);
    assert_eq!(seal.kind(), AWS_KMS_KIND);
    assert_eq!(seal.describe(), format!("AWS KMS key {key} in {REGION}"));
}

#[test]
fn an_alias_and_an_arn_name_the_same_key() {
    let moto = moto::shared();
    let key = moto.create_key();
    moto.create_alias(&key, "alias/of-the-store");
    let wrapped = wrap(&moto.seal(&key));
    assert_eq!(moto.seal("alias/of-the-store").unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
    let by_arn = AwsKmsSettings {
        key: format!("arn:aws:kms:{REGION}:123456789012:key/{key}"),
        region: None,
        endpoint: Some(moto.endpoint()),
    };
    assert_eq!(open(by_arn, &KEYS).unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
}

#[test]
fn store_seal_and_root_version_are_the_encryption_context_that_kms_authenticates() {
    let moto = moto::shared();
    let seal = moto.seal(&moto.create_key());
    let wrapped = wrap(&seal);
    for context in [
        SealContext::root_key([9; 16], [2; 16], 3),
        SealContext::root_key([1; 16], [9; 16], 3),
        SealContext::root_key([1; 16], [2; 16], 4),
    ] {
        // KMS itself refuses, before the wrap of the root key is checked.
        let length = usize::from(u16::from_be_bytes([wrapped[1], wrapped[2]]));
        let error = seal.service.decrypt(&wrapped[3..3 + length], &context).unwrap_err();
        assert!(matches!(error, AwsKmsError::NotItsCiphertext), "{error:?}");
        assert_eq!(not_its_wrap(&seal, &wrapped, &context), OpenError::NotAuthentic);
    }
    let error = seal.unwrap::<RootKey>(&wrapped, &SealContext::root_key([9; 16], [2; 16], 3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} does not open the root key of this store; give the seal that this store was made with, or \
             restore the store that belongs to it",
            seal.describe()
        )
    );
}

#[test]
fn a_wrap_with_a_byte_changed_or_missing_is_refused() {
    let moto = moto::shared();
    let seal = moto.seal(&moto.create_key());
    let wrapped = wrap(&seal);
    // Moto's ciphertext starts with the key's name, 36 bytes; each byte after it is authenticated.
    for position in (0..3).chain((39..wrapped.len()).step_by(7)).chain([wrapped.len() - 1]) {
        let mut changed = wrapped.clone();
        changed[position] ^= 1;
        not_its_wrap(&seal, &changed, &CONTEXT);
        not_its_wrap(&seal, &wrapped[..position], &CONTEXT);
    }
    assert_eq!(seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
}

#[test]
fn a_missing_key_is_named_with_its_region() {
    let moto = moto::shared();
    let absent = "11111111-2222-3333-4444-555555555555";
    assert_eq!(
        refusal(&moto.seal(absent)),
        format!(
            "AWS KMS has no key {absent} in {REGION}; give the key that this store was sealed with, and its region"
        )
    );
    // A key exists only in its region.
    let elsewhere = AwsKmsSettings {
        key: moto.create_key(),
        region: Some("us-west-2".to_owned()),
        endpoint: Some(moto.endpoint()),
    };
    let key = elsewhere.key.clone();
    assert_eq!(
        refusal(&open(elsewhere, &KEYS)),
        format!(
            "AWS KMS has no key {key} in us-west-2; give the key that this store was sealed with, and its region"
        )
    );
}

#[test]
fn an_unreachable_kms_is_named_by_its_endpoint() {
    let mut moto = Moto::start(&[]);
    let seal = moto.seal(&moto.create_key());
    let wrapped = wrap(&seal);
    let endpoint = moto.endpoint();
    moto.stop();
    assert_eq!(
        seal.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap_err().to_string(),
        format!(
            "AWS KMS gave no answer: {endpoint} cannot be reached (Connection refused (os error 111)); check the \
             network and what filters it"
        )
    );
}

#[test]
fn a_wrong_signature_and_a_missing_permission_are_refused() {
    let moto = Moto::start(&[]);
    let key = moto.create_key();
    let both = moto.create_user("both", &["kms:Encrypt", "kms:Decrypt"]);
    let half = moto.create_user("half", &["kms:Encrypt"]);
    moto.check_from_now_on();

    let may_both = moto.seal_as(&key, &both);
    let wrapped = wrap(&may_both);
    assert_eq!(may_both.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);

    // Moto answers in XML, which KMS never does; the answers of KMS are in `answers`.
    let refused = |action: &str| {
        format!("AWS KMS refused {action} with HTTP 403; check whether the endpoint is one of KMS")
    };
    // Credentials that may encrypt but not decrypt are refused before anything is sealed.
    assert_eq!(refusal(&moto.seal_as(&key, &half)), refused("kms:Decrypt"));
    let wrong_secret = (both.0.clone(), "canary-of-a-wrong-secret".to_owned());
    assert_eq!(refusal(&moto.seal_as(&key, &wrong_secret)), refused("kms:Encrypt"));
    let unknown = ("AKIAIOSFODNN7EXAMPLE".to_owned(), both.1.clone());
    assert_eq!(refusal(&moto.seal_as(&key, &unknown)), refused("kms:Encrypt"));
    assert_eq!(moto.seal_as(&key, &both).unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap().version(), 3);
}

#[test]
fn a_ciphertext_of_another_key_is_refused() {
    let moto = moto::shared();
    let wrapped = wrap(&moto.seal(&moto.create_key()));
    let other = moto.create_key();
    // Moto's code; that of KMS is IncorrectKeyException (in `answers`).
    assert_eq!(
        moto.seal(&other).unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap_err().to_string(),
        format!(
            "AWS does not let the credentials of the environment use kms:Decrypt with key {other} in {REGION}; allow \
             it in the key's policy or in that identity's, or give the right key"
        )
    );
}

#[test]
fn https_uses_the_cas_of_the_system_and_credentials_of_the_process_environment() {
    const NAME: &str =
        "aws_kms::tests::https_uses_the_cas_of_the_system_and_credentials_of_the_process_environment";
    const ENDPOINT: &str = "PETSEM_TEST_KMS_ENDPOINT";
    if let (Ok(endpoint), Ok(key)) = (env::var(ENDPOINT), env::var("PETSEM_TEST_KMS_KEY")) {
        let settings = AwsKmsSettings { key, region: Some(REGION.to_owned()), endpoint: Some(endpoint) };
        let seal = AwsKms::open(settings, clock).unwrap();
        assert_eq!(seal.unwrap::<RootKey>(&wrap(&seal), &CONTEXT).unwrap().version(), 3);
        return;
    }
    let certificates = tempfile::tempdir().unwrap();
    let moto = moto::start_tls(certificates.path());
    let key = moto::create_key_by_tls(&moto, certificates.path());
    let output = Command::new(env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(ENDPOINT, moto.endpoint())
        .env("PETSEM_TEST_KMS_KEY", &key)
        .env("SSL_CERT_FILE", certificates.path().join("ca.pem"))
        .env("AWS_ACCESS_KEY_ID", KEYS[0].1)
        .env("AWS_SECRET_ACCESS_KEY", KEYS[1].1)
        .output()
        .unwrap();
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");

    // This process trusts only the system's CAs.
    let settings = AwsKmsSettings { key, region: Some(REGION.to_owned()), endpoint: Some(moto.endpoint()) };
    assert_eq!(
        refusal(&open(settings, &KEYS)),
        format!(
            "AWS KMS gave no answer: the TLS handshake with {} failed (invalid peer certificate: UnknownIssuer); \
             check the endpoint and the system's CAs",
            moto.endpoint()
        )
    );
}

#[test]
fn invalid_settings_are_refused_before_any_request() {
    let outcome = |key: &str, region: Option<&str>, endpoint: Option<&str>| {
        let settings = AwsKmsSettings {
            key: key.to_owned(),
            region: region.map(str::to_owned),
            endpoint: endpoint.map(str::to_owned),
        };
        AwsKms::open(settings, clock)
            .map(|seal| seal.service.endpoint.origin())
            .map_err(|error| error.to_string())
    };
    let (id, arn) = ("1234abcd", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd");
    let https = |text: &str| Ok(text.to_owned());
    assert_eq!(outcome(arn, None, None), https("https://kms.eu-west-1.amazonaws.com"));
    assert_eq!(outcome(id, Some("cn-north-1"), None), https("https://kms.cn-north-1.amazonaws.com.cn"));
    assert_eq!(
        outcome(id, Some("eu-west-1"), Some("https://kms.internal:8443")),
        https("https://kms.internal:8443")
    );
    for key in ["", "has space", "new\nline", "ünicode", &"x".repeat(2049)] {
        assert_eq!(
            outcome(key, Some("eu-west-1"), None),
            Err("invalid name of an AWS KMS key; give the key's id, its ARN, `alias/NAME` or the ARN of an \
                 alias"
                .to_owned())
        );
    }
    assert_eq!(
        outcome(id, None, None),
        Err("no AWS region given; give the region of the key, or the key's ARN".to_owned())
    );
    assert_eq!(
        outcome(id, Some("evil.example/"), None),
        Err("invalid AWS region `evil.example/`; give one such as eu-central-1".to_owned())
    );
    assert_eq!(
        outcome(arn, Some("eu-central-1"), None),
        Err("the region is eu-central-1, but the key's ARN is of eu-west-1; omit the region, or give the \
             right key"
            .to_owned())
    );
    for endpoint in ["http://kms.example", "http://10.1.2.3", "kms.example", "https://kms.example/path", ""] {
        assert_eq!(
            outcome(id, Some("eu-west-1"), Some(endpoint)),
            Err(format!(
                "invalid AWS KMS endpoint `{endpoint}`; give https://HOST[:PORT] without a path; http only \
                 for loopback"
            ))
        );
    }
}

#[test]
fn the_seal_works_within_an_async_runtime() {
    let moto = moto::shared();
    let seal = moto.seal(&moto.create_key());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let opened = runtime.block_on(async { seal.unwrap::<RootKey>(&wrap(&seal), &CONTEXT) });
    assert_eq!(opened.unwrap().version(), 3);
}

/// Credentials in the environment that moto accepts before it checks them.
const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "canary-secret")];

fn open(settings: AwsKmsSettings, variables: &[(&str, &str)]) -> AwsKms {
    AwsKms::with_environment(settings, clock, environment(variables)).unwrap()
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(move |name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.into()))
}

/// 2026-01-01: moto does not check the time.
fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

fn wrap(seal: &AwsKms) -> Vec<u8> {
    seal.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap()
}

/// The error of sealing; it contains no credential.
fn refusal(seal: &AwsKms) -> String {
    let error = seal.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap_err();
    let all = format!("{error} {error:?} {seal:?}");
    assert_eq!(all.find("canary"), None, "{all}");
    error.to_string()
}

fn not_its_wrap(seal: &AwsKms, wrapped: &[u8], context: &SealContext) -> OpenError {
    match seal.unwrap::<RootKey>(wrapped, context) {
        Err(SealError::NotItsWrap { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}
