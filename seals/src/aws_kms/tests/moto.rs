//! The seal with moto's server.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use petsem_counterparts::{Moto, REGION, python};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

/// One server for all tests that do not change its settings.
pub(super) fn shared() -> &'static Moto {
    static SHARED: OnceLock<Moto> = OnceLock::new();
    SHARED.get_or_init(|| Moto::start(&[]))
}

/// The seals of a server that the tests started.
pub(super) trait MotoSeals {
    fn settings(&self, key: &str) -> AwsKmsSettings;
    fn seal(&self, key: &str) -> AwsKms;
    fn seal_as(&self, key: &str, user: &(String, String)) -> AwsKms;
}

impl MotoSeals for Moto {
    fn settings(&self, key: &str) -> AwsKmsSettings {
        AwsKmsSettings {
            key: key.to_owned(),
            region: Some(REGION.to_owned()),
            endpoint: Some(self.endpoint()),
        }
    }

    fn seal(&self, key: &str) -> AwsKms {
        open(self.settings(key), &KEYS)
    }

    fn seal_as(&self, key: &str, (access, secret): &(String, String)) -> AwsKms {
        open(self.settings(key), &[("AWS_ACCESS_KEY_ID", access), ("AWS_SECRET_ACCESS_KEY", secret)])
    }
}

/// Over TLS, for `127.0.0.1`; writes the CA to `ca.pem`.
pub(super) fn start_tls(directory: &Path) -> Moto {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Not the name of the server's certificate, which OpenSSL would then take for self-signed.
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
    Moto::start(&["--ssl-cert", &path("server.pem"), "--ssl-key", &path("server.key")])
}

/// Creates a key with a client that trusts the test's CA.
pub(super) fn create_key_by_tls(moto: &Moto, directory: &Path) -> String {
    let create = "import boto3, sys
print(boto3.client('kms', endpoint_url=sys.argv[1], verify=sys.argv[2], region_name=sys.argv[3],
      aws_access_key_id='a', aws_secret_access_key='b').create_key()['KeyMetadata']['KeyId'])";
    let ca = directory.join("ca.pem");
    let output = Command::new(python())
        .args(["-c", create, &moto.endpoint(), ca.to_str().unwrap(), REGION])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
