//! Answers that moto never gives, as AWS documents them (AWS KMS API reference, "Common errors" and the errors
//! of Encrypt and Decrypt), and invalid answers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::*;

/// A server that gives each connection the next of its answers, and keeps the requests.
pub(super) struct Answers {
    pub(super) port: u16,
    requests: Receiver<String>,
}

impl Answers {
    pub(super) fn serve(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut request = Vec::new();
                while !is_complete(&request) {
                    let mut part = [0; 4096];
                    match stream.read(&mut part) {
                        Ok(read) if read > 0 => request.extend_from_slice(&part[..read]),
                        _ => break,
                    }
                }
                let _ = sender.send(String::from_utf8_lossy(&request).into_owned());
                if answer.is_empty() {
                    // It never answers; the client closes the connection.
                    let _ = stream.read(&mut [0]);
                    continue;
                }
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { port, requests }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }

    fn seal(&self) -> AwsKms {
        let settings = AwsKmsSettings {
            key: "alias/store".to_owned(),
            region: Some("eu-central-1".to_owned()),
            endpoint: Some(self.endpoint()),
        };
        open(settings, &KEYS)
    }
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .to_ascii_lowercase()
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
    body.len() >= length
}

pub(super) fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn refusal_of(text: String) -> String {
    refusal(&Answers::serve(vec![text]).seal())
}

#[test]
fn each_error_of_kms_is_reported_with_a_hint() {
    for (status, body, expected) in [
        (
            "400 Bad Request",
            r#"{"__type":"DisabledException","message":"arn:aws:kms:x is disabled. canary"}"#,
            "AWS KMS key alias/store is disabled; enable it, or use another seal of the store",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"KMSInvalidStateException","message":"arn:aws:kms:x is pending deletion."}"#,
            "AWS KMS key alias/store is about to be deleted, and what it sealed would be lost; cancel the deletion \
             now and enable the key, or add another seal while one still opens",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"KMSInvalidStateException","message":"arn:aws:kms:x is pending import."}"#,
            "AWS KMS key alias/store cannot be used in its current state; check whether its material is \
             imported and its key store connected",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"com.amazonaws.kms#InvalidKeyUsageException"}"#,
            "AWS KMS key alias/store is not for encryption; give a symmetric key with the usage ENCRYPT_DECRYPT",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
            "AWS KMS in eu-central-1 throttles the requests of this account; try again later, or raise the \
             quota",
        ),
        (
            "429 Too Many Requests",
            "",
            "AWS KMS in eu-central-1 throttles the requests of this account; try again later, or raise the \
             quota",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}"#,
            "the AWS credentials of the environment have expired; set new ones, or give the machine a role",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"UnrecognizedClientException","message":"The security token ... is invalid."}"#,
            "AWS in eu-central-1 does not recognize the credentials of the environment; check whether the \
             access key was deleted and whether the session token belongs to it, or set others",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"InvalidSignatureException","message":"Signature expired: 20260101T000000Z is now earlier than"}"#,
            "AWS refused the signature because of its time; set this machine's clock: it may be off by at \
             most five minutes",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"InvalidSignatureException","message":"Signature not yet current: 20260101T000000Z"}"#,
            "AWS refused the signature because of its time; set this machine's clock: it may be off by at \
             most five minutes",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"InvalidSignatureException","message":"The request signature we calculated does not match"}"#,
            "AWS refused the signature made with the credentials of the environment: the secret access key \
             does not belong to the access key; set both again",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"AccessDeniedException","Message":"User: canary is not authorized to perform: kms:Encrypt"}"#,
            "AWS does not let the credentials of the environment use kms:Encrypt with key alias/store in \
             eu-central-1; allow it in the key's policy or in that identity's, or give the right key",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"NotFoundException","message":"Alias canary is not found."}"#,
            "AWS KMS has no key alias/store in eu-central-1; give the key that this store was sealed with, and its \
             region",
        ),
        (
            "500 Internal Server Error",
            r#"{"__type":"KMSInternalException"}"#,
            "AWS KMS in eu-central-1 has an internal error (HTTP 500); try again, check AWS's health page, \
             or use another seal of the store",
        ),
        (
            "503 Service Unavailable",
            "<html>canary</html>",
            "AWS KMS in eu-central-1 has an internal error (HTTP 503); try again, check AWS's health page, \
             or use another seal of the store",
        ),
        (
            "400 Bad Request",
            r#"{"__type":"DryRunOperationException"}"#,
            "AWS KMS refused kms:Encrypt with DryRunOperationException (HTTP 400); see AWS's list of KMS \
             errors",
        ),
        (
            "404 Not Found",
            r#"{"__type":"a canary\u001b[31m that is no code"}"#,
            "AWS KMS refused kms:Encrypt with HTTP 404; check whether the endpoint is one of KMS",
        ),
        (
            "200 OK",
            "canary",
            "AWS KMS gave a malformed answer to kms:Encrypt; check whether the endpoint is one of KMS",
        ),
    ] {
        assert_eq!(refusal_of(answer(status, body)), expected);
    }
    let server = Answers::serve(vec![answer(
        "400 Bad Request",
        r#"{"__type":"InvalidSignatureException","message":"Credential should be scoped to a valid region."}"#,
    )]);
    assert_eq!(
        refusal(&server.seal()),
        format!(
            "{} does not serve region eu-central-1; correct the endpoint or the region",
            server.endpoint()
        )
    );
}

#[test]
fn an_error_code_is_read_from_the_header_if_the_body_has_none() {
    let text = "HTTP/1.1 400 Bad Request\r\nx-amzn-errortype: DisabledException:http://internal/\r\n\
                Content-Length: 0\r\n\r\n";
    assert_eq!(
        refusal_of(text.to_owned()),
        "AWS KMS key alias/store is disabled; enable it, or use another seal of the store"
    );
}

#[test]
fn a_wrap_is_refused_if_the_alias_names_another_key() {
    let moto = moto::shared();
    let wrapped = wrap(&moto.seal(&moto.create_key()));
    let refused = answer("400 Bad Request", r#"{"__type":"IncorrectKeyException"}"#);
    let server = Answers::serve(vec![refused]);
    assert_eq!(not_its_wrap(&server.seal(), &wrapped, &CONTEXT), OpenError::NotAuthentic);
}

#[test]
fn nothing_is_sealed_if_kms_does_not_decrypt_its_own_ciphertext() {
    let encrypted = answer("200 OK", r#"{"CiphertextBlob":"AAECAw=="}"#);
    for given in [
        // Another key, too short, too long, invalid base64.
        answer("200 OK", &format!(r#"{{"Plaintext":"{}="}}"#, "A".repeat(43))),
        answer("200 OK", r#"{"Plaintext":"AAAA"}"#),
        answer("200 OK", &format!(r#"{{"Plaintext":"{}"}}"#, "A".repeat(4000))),
        answer("200 OK", &format!(r#"{{"Plaintext":"{}"}}"#, "*".repeat(44))),
        answer("400 Bad Request", r#"{"__type":"InvalidCiphertextException"}"#),
    ] {
        assert_eq!(
            refusal(&Answers::serve(vec![encrypted.clone(), given]).seal()),
            "AWS KMS did not decrypt its own ciphertext; nothing was sealed; check whether an alias was \
             moved meanwhile, and try again"
        );
    }
}

#[test]
fn redirects_and_oversized_invalid_or_missing_answers_are_refused_within_limits() {
    let redirect = Answers::serve(vec![
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/canary\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
    ]);
    assert_eq!(
        refusal(&redirect.seal()),
        format!(
            "AWS KMS gave no answer: {} answered HTTP 307, a redirect, which is not followed; give the final endpoint",
            redirect.endpoint()
        )
    );
    let flood = Answers::serve(vec![format!("HTTP/1.1 200 OK\r\n\r\n{}", "canary".repeat(100_000))]);
    assert_eq!(
        refusal(&flood.seal()),
        format!(
            "AWS KMS gave no answer: {} answers more than 65536 bytes; check the endpoint",
            flood.endpoint()
        )
    );
    let nonsense = Answers::serve(vec!["SSH-2.0-canary\r\n".to_owned()]);
    assert_eq!(
        refusal(&nonsense.seal()),
        format!(
            "AWS KMS gave no answer: {} gave no complete HTTP response (invalid HTTP version parsed); check the endpoint, \
             then try again",
            nonsense.endpoint()
        )
    );
    let silent = Answers::serve(vec![String::new()]);
    let mut seal = silent.seal();
    assert_eq!(seal.service.within, Duration::from_secs(10));
    seal.service.within = Duration::from_secs(1);
    assert_eq!(
        refusal(&seal),
        format!(
            "AWS KMS gave no answer: {} did not answer within 1 s; check the network and what filters it",
            silent.endpoint()
        )
    );
}

#[test]
fn a_request_has_the_documented_form_and_no_secret_access_key() {
    let server = Answers::serve(vec![answer("400 Bad Request", "")]);
    refusal(&server.seal());
    let [request] = <[String; 1]>::try_from(server.requests()).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    for line in [
        "content-type: application/x-amz-json-1.1",
        "x-amz-target: TrentService.Encrypt",
        "x-amz-date: 20260101T000000Z",
        "authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-central-1/kms/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=",
        &format!("host: 127.0.0.1:{}", server.port),
    ] {
        assert!(head.contains(&format!("\r\n{line}")), "{line} is not in {head}");
    }
    assert_eq!(request.find("canary"), None);
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["KeyId"], "alias/store");
    assert_eq!(
        body["EncryptionContext"],
        serde_json::json!({
            "petsem-store": "01010101010101010101010101010101",
            "petsem-seal": "02020202020202020202020202020202",
            "petsem-root-version": "3",
        })
    );
    assert_eq!(body["Plaintext"].as_str().unwrap().len(), 44);
}
