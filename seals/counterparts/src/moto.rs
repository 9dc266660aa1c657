//! moto's server: AWS KMS and IAM, as far as the tests need them.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ports::two_ports;

/// The region of its keys.
pub const REGION: &str = "eu-central-1";

/// The server ends when its standard input closes, and so with this process in any case. It saves its KMS
/// keys to a file and loads them from it: a restarted KMS has the same keys.
const SERVE: &str = "import json, os, sys, threading
from moto.kms.models import kms_backends
from moto.server import main
kept, region = sys.argv[1:3]
kms = kms_backends['123456789012'][region]
for identity, material in json.load(open(kept)).items() if os.path.exists(kept) else ():
    key = kms.create_key(None, 'ENCRYPT_DECRYPT', 'SYMMETRIC_DEFAULT', '', None)
    del kms.keys[key.id]
    key.arn = key.arn.replace(key.id, identity)
    key.id, key.key_material = identity, bytes.fromhex(material)
    kms.keys[identity] = key
def end():
    sys.stdin.read()
    with open(kept, 'w') as file:
        json.dump({key.id: key.key_material.hex() for key in kms.keys.values()}, file)
    os._exit(0)
threading.Thread(target=end, daemon=True).start()
main(sys.argv[3:])";

/// A running server.
#[derive(Debug)]
pub struct Moto {
    process: Option<(Child, ChildStdin)>,
    endpoint: String,
    kept: TempDir,
}

impl Moto {
    /// Starts it with these arguments in addition to the address.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(arguments: &[&str]) -> Self {
        let kept = tempfile::tempdir().expect("there is room for a directory");
        let (port, free) = two_ports();
        drop(free);
        let (process, endpoint) = serve(kept.path(), &port.to_string(), arguments);
        Self { process: Some(process), endpoint, kept }
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Stops it; its KMS keys are kept.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn stop(&mut self) {
        if let Some((mut process, stdin)) = self.process.take() {
            drop(stdin);
            process.wait().expect("a child can be waited for");
        }
    }

    /// Starts it again at the same address, with the earlier KMS keys.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.stop();
        let port = self.endpoint.rsplit(':').next().unwrap_or_default().to_owned();
        let (process, endpoint) = serve(self.kept.path(), &port, &[]);
        assert_eq!(endpoint, self.endpoint);
        self.process = Some(process);
    }

    /// Creates a key and returns its id.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn create_key(&self) -> String {
        let answer = self.kms("CreateKey", &json!({}));
        let id = answer.pointer("/KeyMetadata/KeyId").and_then(Value::as_str);
        id.expect("a key has an id").to_owned()
    }

    /// Names a key.
    ///
    /// # Panics
    /// If that is refused.
    pub fn create_alias(&self, key: &str, alias: &str) {
        self.kms("CreateAlias", &json!({ "TargetKeyId": key, "AliasName": alias }));
    }

    /// Creates a user that may do these actions with every key; returns its access key and secret.
    ///
    /// # Panics
    /// If that is refused.
    pub fn create_user(&self, name: &str, actions: &[&str]) -> (String, String) {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }],
        });
        self.iam(&format!("Action=CreateUser&UserName={name}"));
        self.iam(&format!("Action=PutUserPolicy&UserName={name}&PolicyName=p&PolicyDocument={policy}"));
        let answer = self.iam(&format!("Action=CreateAccessKey&UserName={name}"));
        let of = |element: &str| {
            let (_, rest) = answer.split_once(&format!("<{element}>")).expect("it is in the answer");
            rest.split('<').next().unwrap_or_default().to_owned()
        };
        (of("AccessKeyId"), of("SecretAccessKey"))
    }

    /// Moto loads a service at its first request, which takes longer than the seal waits for this one.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn load_metadata(&self) {
        self.request("POST", "/latest/api/token", "", "");
    }

    /// From now on moto refuses requests with a wrong signature or without permission.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn check_from_now_on(&self) {
        self.request("POST", "/moto-api/reset-auth", "", "0");
    }

    fn kms(&self, action: &str, asked: &Value) -> Value {
        let headers = format!(
            "{}x-amz-target: TrentService.{action}\r\ncontent-type: application/x-amz-json-1.1\r\n",
            unsigned("kms")
        );
        let answer = self.request("POST", "/", &headers, &asked.to_string());
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn iam(&self, form: &str) -> String {
        let headers = format!("{}content-type: application/x-www-form-urlencoded\r\n", unsigned("iam"));
        self.request("POST", "/", &headers, &format!("{form}&Version=2010-05-08"))
    }

    /// Sends a request and returns the body.
    fn request(&self, method: &str, target: &str, headers: &str, body: &str) -> String {
        let address = self.endpoint.strip_prefix("http://").expect("tests call it without TLS");
        let mut stream = TcpStream::connect(address).expect("moto can be reached");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket has time-outs");
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).expect("moto reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("moto answers in text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("moto speaks HTTP");
        assert_eq!(head.split(' ').nth(1), Some("200"), "{answer}");
        body.to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(kept: &Path, port: &str, arguments: &[&str]) -> ((Child, ChildStdin), String) {
    let mut process = Command::new(python())
        .args(["-c", SERVE])
        .arg(kept.join("keys.json"))
        .args([REGION, "--host", "127.0.0.1", "--port", port])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let stdin = process.stdin.take().expect("its standard input is piped");
    let stderr = process.stderr.take().expect("its standard error is piped");
    let mut lines = BufReader::new(stderr).lines();
    let mut said = Vec::new();
    let endpoint = loop {
        let line = lines.next().unwrap_or_else(|| panic!("moto did not start: {said:?}"));
        let line = line.expect("moto prints text");
        if let Some((_, address)) = line.split_once("Running on ") {
            break address.trim().to_owned();
        }
        said.push(line);
    };
    // Reads its log to the end: a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    ((process, stdin), endpoint)
}

/// The header by which moto finds the service and the region.
fn unsigned(service: &str) -> String {
    format!(
        "authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0\r\n"
    )
}

/// The Python that has moto installed.
///
/// # Panics
/// If there is none.
pub fn python() -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let found =
        test.ancestors().map(|directory| directory.join("python/bin/python")).find(|path| path.exists());
    found.expect(
        "there is no python/bin/python in the target directory with moto; run ./test once, which installs it",
    )
}
