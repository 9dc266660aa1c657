//! Other software signs with the key that `petsem dev` writes, and petsem accepts what it signed.

use std::path::PathBuf;
use std::process::Command;

use data_encoding::BASE64URL_NOPAD;
use petsem_integration::dev::{Dev, now};
use petsem_integration::server::binary;
use petsem_server::Development;
use serde_json::json;

/// What each program is given: the key's file, and the JWT's head and body, which are JSON.
const NODE: &str = r#"
const { createPrivateKey, sign } = require("crypto");
const [key, signed] = process.argv.slice(1);
const signature = sign(null, Buffer.from(signed), createPrivateKey(require("fs").readFileSync(key)));
process.stdout.write(signature.toString("base64url"));
"#;
const PYJWT: &str = "
import json, sys, jwt
print(jwt.encode(json.loads(sys.argv[2]), open(sys.argv[1]).read(), algorithm='EdDSA'), end='')
";

fn printed(program: &mut Command) -> Vec<u8> {
    let output = program.output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Where `./test` installs packages of Python.
fn python() -> PathBuf {
    let target = binary().parent().unwrap().parent().unwrap();
    let python = target.join("python/bin/python");
    assert!(python.exists(), "{} does not exist: run ./test once, which installs it", python.display());
    python
}

#[test]
fn openssl_node_and_pyjwt_sign_with_the_key_of_petsem_dev() {
    let dev = Dev::start();
    dev.set("shop", &json!({"V": "x"}));
    let key = dev.layout().issuer_key();
    let body = json!({
        "iss": Development::ISSUER, "aud": Development::AUDIENCE, "sub": "developer",
        "iat": now(), "exp": now() + 300,
    })
    .to_string();
    let encoded = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", encoded(r#"{"alg":"EdDSA","typ":"JWT"}"#), encoded(&body));

    let input = dev.directory.path().join("signed");
    std::fs::write(&input, &signed).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(&key).arg("-in").arg(&input);
    let by_openssl = format!("{signed}.{}", BASE64URL_NOPAD.encode(&printed(&mut openssl)));

    let by_node = printed(Command::new("node").args(["-e", NODE, "--"]).arg(&key).arg(&signed));
    let by_node = format!("{signed}.{}", String::from_utf8(by_node).unwrap());

    let by_pyjwt = printed(Command::new(python()).args(["-c", PYJWT]).arg(&key).arg(&body));
    let by_pyjwt = String::from_utf8(by_pyjwt).unwrap();

    for (who, jwt) in [("openssl", by_openssl), ("node", by_node), ("PyJWT", by_pyjwt)] {
        let read =
            dev.call("GET", "/v1/apps/shop/secrets/V?show_secrets=true", &format!("Bearer {jwt}"), None);
        assert_eq!((read.status, read.field("value")), (200, "x".to_owned()), "{who}: {}", read.text());
    }
}

#[test]
fn the_key_of_petsem_dev_is_version_1_without_the_public_key() {
    let dev = Dev::start();
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"]).arg(dev.layout().issuer_key());
    let as_openssl_writes_it = printed(&mut openssl);
    let pem = std::fs::read_to_string(dev.layout().issuer_key()).unwrap();
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let written = data_encoding::BASE64.decode(lines.as_bytes()).unwrap();
    assert_eq!((written.len(), &written[..5]), (48, &[0x30, 0x2e, 2, 1, 0][..]));
    assert_eq!(written, as_openssl_writes_it);
}
