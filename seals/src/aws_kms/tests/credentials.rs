//! The sources of credentials, their order, and the errors without credentials.

use super::answers::{Answers, answer};
use super::*;

const ROLE_CREDENTIALS: &str = r#"{"AccessKeyId":"AKIAROLE","SecretAccessKey":"canary\/secret",
                                   "Token":"canary+token==","Expiration":"2026-01-01T06:00:00Z","Code":"Success"}"#;

#[test]
fn the_role_of_an_instance_is_taken_from_the_metadata_service() {
    let moto = moto::shared();
    moto.load_metadata();
    let key = moto.create_key();
    let seal = open(moto.settings(&key), &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &moto.endpoint())]);
    assert_eq!(seal.unwrap::<RootKey>(&wrap(&seal), &CONTEXT).unwrap().version(), 3);
}

#[test]
fn the_metadata_service_is_called_with_version_2_and_its_session_token_is_signed() {
    let roles = answer("200 OK", "app-role\n");
    let metadata =
        Answers::serve(vec![answer("200 OK", "a-token"), roles, answer("200 OK", ROLE_CREDENTIALS)]);
    let kms = Answers::serve(vec![answer("400 Bad Request", r#"{"__type":"ExpiredTokenException"}"#)]);
    assert_eq!(
        refusal_with(&kms, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.endpoint())]),
        "the AWS credentials of the instance's role have expired; wait for the role's next ones, and check this \
         machine's clock"
    );
    let requests = metadata.requests();
    assert!(requests[0].starts_with("PUT /latest/api/token HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains("\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\n"), "{requests:?}");
    assert!(
        requests[1].starts_with("GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n"),
        "{requests:?}"
    );
    assert!(requests[2].starts_with("GET /latest/meta-data/iam/security-credentials/app-role HTTP/1.1\r\n"));
    assert!(
        requests[1..].iter().all(|request| request.contains("\r\nx-aws-ec2-metadata-token: a-token\r\n")),
        "{requests:?}"
    );
    let [signed] = <[String; 1]>::try_from(kms.requests()).unwrap();
    assert!(signed.contains("\r\nx-amz-security-token: canary+token==\r\n"), "{signed}");
    assert!(signed.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target"));
}

#[test]
fn a_container_gets_its_credentials_with_the_token_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "pod-token\n").unwrap();
    let container = Answers::serve(vec![answer("200 OK", ROLE_CREDENTIALS)]);
    let kms = Answers::serve(vec![answer("400 Bad Request", r#"{"__type":"ExpiredTokenException"}"#)]);
    let url = format!("{}/v1/credentials?x=y", container.endpoint());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
    ];
    assert_eq!(
        refusal_with(&kms, &variables),
        "the AWS credentials of the container have expired; wait for the role's next ones, and check this \
         machine's clock"
    );
    let requests = container.requests();
    assert!(requests[0].starts_with("GET /v1/credentials?x=y HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains("\r\nauthorization: pod-token\r\n"), "{requests:?}");

    std::fs::remove_file(&token).unwrap();
    assert_eq!(
        refusal_with(&kms, &variables),
        format!(
            "the token file {} of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read; make it readable \
             for the user that runs petsem",
            token.display()
        )
    );
}

#[test]
fn the_environment_comes_before_the_container_and_the_container_before_the_instance() {
    let kms = Answers::serve(vec![answer("400 Bad Request", r#"{"__type":"ExpiredTokenException"}"#)]);
    let unreachable = "http://127.0.0.1:1";
    assert_eq!(
        refusal_with(&kms, &[KEYS[0], KEYS[1], ("AWS_CONTAINER_CREDENTIALS_FULL_URI", unreachable)]),
        "the AWS credentials of the environment have expired; set new ones, or give the machine a role"
    );
    let container = Answers::serve(vec![answer("403 Forbidden", "canary")]);
    assert_eq!(
        refusal_with(
            &kms,
            &[
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container.endpoint()),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", unreachable)
            ]
        ),
        format!(
            "{} gave no AWS credentials (HTTP 403); check whether the container has a role and whether its \
             token is the right one",
            container.endpoint()
        )
    );
}

#[test]
fn missing_credentials_are_reported_with_every_source_that_was_tried() {
    let kms = Answers::serve(Vec::new());
    assert_eq!(
        refusal_with(&kms, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")]),
        "there are no AWS credentials: AWS_ACCESS_KEY_ID is not set, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and \
         AWS_CONTAINER_CREDENTIALS_FULL_URI are not set, and the instance metadata service did not answer \
         (http://127.0.0.1:1 cannot be reached (Connection refused (os error 111)); check the network and what \
         filters it); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
    );
    assert_eq!(
        refusal_with(&kms, &[("AWS_EC2_METADATA_DISABLED", "true")]),
        "there are no AWS credentials: AWS_ACCESS_KEY_ID is not set, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and \
         AWS_CONTAINER_CREDENTIALS_FULL_URI are not set, and AWS_EC2_METADATA_DISABLED is set; set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
    );
}

#[test]
fn each_fault_of_a_credential_source_is_reported_with_a_hint() {
    let kms = Answers::serve(Vec::new());
    for (variables, expected) in [
        (vec![KEYS[0]], "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not; set both or none"),
        (vec![KEYS[1]], "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not; set both or none"),
        (
            vec![KEYS[0], ("AWS_SECRET_ACCESS_KEY", "canary with space")],
            "the AWS credentials of the environment are malformed; give complete ones, without spaces",
        ),
        (
            vec![KEYS[0], KEYS[1], ("AWS_SESSION_TOKEN", "canary\r\nheader: x")],
            "the AWS credentials of the environment are malformed; give complete ones, without spaces",
        ),
        (
            vec![("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token")],
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, but petsem does not support web identities; give the pod \
             its role by EKS Pod Identity, or unset it",
        ),
        (
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://canary.example/")],
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is not an allowed address; give an https URL, a loopback \
             address, or an address of ECS or EKS",
        ),
        (
            vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://10.0.0.1/")],
            "AWS_EC2_METADATA_SERVICE_ENDPOINT is not the address of an instance metadata service; unset it, \
             or give https, loopback or the service's own address, without a path",
        ),
    ] {
        assert_eq!(refusal_with(&kms, &variables), expected);
    }
    for (answers, expected) in [
        (
            vec![answer("403 Forbidden", "")],
            "the instance metadata service at {} answered HTTP 403; enable its version 2 for the instance, \
             with a hop limit that reaches petsem",
        ),
        (
            vec![answer("200 OK", "t"), answer("404 Not Found", "canary")],
            "this instance has no role, and no other AWS credentials were found; give it a role that may use \
             the key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            vec![answer("200 OK", "t"), answer("200 OK", "../../canary?")],
            "this instance has no role, and no other AWS credentials were found; give it a role that may use \
             the key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            vec![answer("200 OK", "t"), answer("200 OK", "role"), answer("200 OK", r#"{"Code":"canary"}"#)],
            "the AWS credentials of the instance's role are malformed; give complete ones, without spaces",
        ),
    ] {
        let metadata = Answers::serve(answers);
        let refusal = refusal_with(&kms, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.endpoint())]);
        assert_eq!(refusal, expected.replace("{}", &metadata.endpoint()));
    }
}

#[test]
fn plain_http_is_allowed_only_to_loopback_and_the_services_own_addresses() {
    use crate::aws_kms::credentials::{CONTAINER, METADATA};
    let origin = |text: &str, plain| OutboundUrl::parse_with(text, plain).ok().map(|url| url.origin());
    for (text, container, metadata) in [
        ("http://127.0.0.1:5000", true, true),
        ("http://169.254.170.2", true, false),
        ("http://169.254.170.23", true, false),
        ("http://[fd00:ec2::23]", true, false),
        ("http://169.254.169.254", false, true),
        ("http://[fd00:ec2::254]", false, true),
        ("http://10.0.0.1", false, false),
        ("http://kms.example", false, false),
    ] {
        let expected = |allowed: bool| allowed.then(|| text.to_owned());
        assert_eq!(origin(text, CONTAINER), expected(container), "{text}");
        assert_eq!(origin(text, METADATA), expected(metadata), "{text}");
    }
}

fn refusal_with(kms: &Answers, variables: &[(&str, &str)]) -> String {
    let settings = AwsKmsSettings {
        key: "alias/store".to_owned(),
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(kms.endpoint()),
    };
    refusal(&open(settings, variables))
}
