//! moto's server, started and stopped by the tests.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::super::exchange::{self, Answer, AwsCallError, Call};
use super::super::origin::{Origin, PlainHttp};
use super::*;

pub(super) const REGION: &str = "eu-central-1";

/// The server ends with its standard input, so that it goes with this process however that ends.
const SERVE: &str = "import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(sys.argv[1:])";

pub(super) struct Moto {
    process: Child,
    _until_it_closes: ChildStdin,
    endpoint: String,
}

impl Moto {
    /// One server for all tests that leave it as it is.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    pub(super) fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(python())
            .args(["-c", SERVE, "--host", "127.0.0.1", "--port", "0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let endpoint = loop {
            let line = lines.next().unwrap_or_else(|| panic!("moto did not start: {said:?}")).unwrap();
            if let Some((_, address)) = line.split_once("Running on ") {
                break address.trim().to_owned();
            }
            said.push(line);
        };
        // Its log is read to the end: a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, _until_it_closes: stdin, endpoint }
    }

    /// Over TLS, for `127.0.0.1`; the CA is left in `ca.pem`.
    pub(super) fn start_tls(directory: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Not the name of the server's certificate, which would then look self-signed to OpenSSL.
        params.distinguished_name.push(DnType::CommonName, "petsem's test CA");
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&own, &issuer).unwrap();
        let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        for (name, content) in
            [("ca.pem", root.pem()), ("server.pem", certificate.pem()), ("server.key", own.serialize_pem())]
        {
            std::fs::File::create(path(name)).unwrap().write_all(content.as_bytes()).unwrap();
        }
        Self::start(&["--ssl-cert", &path("server.pem"), "--ssl-key", &path("server.key")])
    }

    pub(super) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    pub(super) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(super) fn seal(&self, key: &str) -> AwsKms {
        open(self.settings(key), &KEYS)
    }

    pub(super) fn seal_as(&self, key: &str, (access, secret): &(String, String)) -> AwsKms {
        open(self.settings(key), &[("AWS_ACCESS_KEY_ID", access), ("AWS_SECRET_ACCESS_KEY", secret)])
    }

    pub(super) fn settings(&self, key: &str) -> AwsKmsSettings {
        AwsKmsSettings {
            key: key.to_owned(),
            region: Some(REGION.to_owned()),
            endpoint: Some(self.endpoint()),
        }
    }

    pub(super) fn create_key(&self) -> String {
        let answer = self.kms("CreateKey", &json!({}));
        answer["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    pub(super) fn create_alias(&self, key: &str, alias: &str) {
        self.kms("CreateAlias", &json!({ "TargetKeyId": key, "AliasName": alias }));
    }

    /// A key, by a client that knows the test's CA.
    pub(super) fn create_key_by_tls(&self, directory: &Path) -> String {
        let create = "import boto3, sys
print(boto3.client('kms', endpoint_url=sys.argv[1], verify=sys.argv[2], region_name=sys.argv[3],
      aws_access_key_id='a', aws_secret_access_key='b').create_key()['KeyMetadata']['KeyId'])";
        let ca = directory.join("ca.pem");
        let output = Command::new(python())
            .args(["-c", create, &self.endpoint, ca.to_str().unwrap(), REGION])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A user who may do these actions with every key: his access key and its secret.
    pub(super) fn create_user(&self, name: &str, actions: &[&str]) -> (String, String) {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }],
        });
        self.iam(&format!("Action=CreateUser&UserName={name}"));
        self.iam(&format!("Action=PutUserPolicy&UserName={name}&PolicyName=p&PolicyDocument={policy}"));
        let answer = self.iam(&format!("Action=CreateAccessKey&UserName={name}"));
        let of = |element: &str| {
            let rest = answer.split_once(&format!("<{element}>")).unwrap().1;
            rest.split_once('<').unwrap().0.to_owned()
        };
        (of("AccessKeyId"), of("SecretAccessKey"))
    }

    /// Moto loads each of its services when it is asked first; the seal does not wait so long for this one.
    pub(super) fn load_metadata(&self) {
        let answer = self.post("/latest/api/token", HeaderMap::new(), String::new());
        assert_eq!(answer.status, 200);
    }

    /// From here on moto refuses what is signed wrongly or not allowed.
    pub(super) fn check_from_now_on(&self) {
        let answer = self.post("/moto-api/reset-auth", HeaderMap::new(), "0".to_owned());
        assert_eq!(answer.status, 200);
    }

    fn kms(&self, action: &str, asked: &Value) -> Value {
        let mut headers = unsigned("kms");
        let target = HeaderValue::from_str(&format!("TrentService.{action}")).unwrap();
        headers.insert("x-amz-target", target);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        let answer = self.post("/", headers, asked.to_string());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn iam(&self, form: &str) -> String {
        let mut headers = unsigned("iam");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let answer = self.post("/", headers, format!("{form}&Version=2010-05-08"));
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(answer.status, 200, "{text}");
        text
    }

    fn post(&self, target: &str, headers: HeaderMap, body: String) -> Answer {
        let (origin, _) = Origin::parse(&self.endpoint, PlainHttp::Loopback).unwrap();
        let call = Call {
            method: hyper::Method::POST,
            origin: &origin,
            target,
            headers,
            body: body.into_bytes().into(),
            within: Duration::from_secs(60),
        };
        let answer: Result<Answer, AwsCallError> = exchange::block_on(exchange::call(call));
        answer.unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What moto finds the service and the region in.
fn unsigned(service: &str) -> HeaderMap {
    let text = format!(
        "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, \
         Signature=0"
    );
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&text).unwrap())])
}

fn python() -> PathBuf {
    let test = env::current_exe().unwrap();
    let found =
        test.ancestors().map(|directory| directory.join("python/bin/python")).find(|path| path.exists());
    found.expect(
        "there is no python/bin/python in the target directory with moto; run ./test once, which installs it",
    )
}
