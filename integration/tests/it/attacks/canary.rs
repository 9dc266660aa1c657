//! A canary value is searched everywhere and found only in the answer to its reader.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use getrandom::SysRng;
use getrandom::rand_core::{Rng, UnwrapErr};
use petsem_api::{
    AppSecret, BatchBootItem, BootResponse, BootedSecret, BulkUpdate, Digest, DischargeAnswer,
    DischargeRequest, MintedToken, RenewResponse, SetSecret, Value as Secret,
};
use petsem_client::{Bundle, Credentials, Identity};
use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::http::Request;
use petsem_integration::server::{petsem, run};
use petsem_policy::{Header, MacaroonKey, SharedKey, UnverifiedToken};
use serde_json::json;

/// A random text, and the encodings in which it may appear.
pub(super) struct Canary {
    text: String,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new() -> Self {
        let mut bytes = [0; 18];
        UnwrapErr(SysRng).fill_bytes(&mut bytes);
        Self::of(&format!("canary+{}", HEXLOWER.encode(&bytes)))
    }

    fn of(text: &str) -> Self {
        let mut forms = forms(text.as_bytes());
        forms.push(text.replace('+', "%2B").into_bytes());
        Self { text: text.to_owned(), forms }
    }

    /// The same for bytes that are no text.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self { text: String::new(), forms: forms(bytes) }
    }

    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_slice()))
    }
}

fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![
        bytes.to_vec(),
        HEXLOWER.encode(bytes).into_bytes(),
        HEXUPPER.encode(bytes).into_bytes(),
        // A list of numbers, as serde writes bytes.
        bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",").into_bytes(),
        bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ").into_bytes(),
    ];
    // Base64 at each of the three alignments; the edges depend on the adjacent bytes.
    for skipped in 0..3 {
        let inner = &bytes[skipped..skipped + (bytes.len() - skipped) / 3 * 3];
        forms.push(BASE64.encode(inner).into_bytes());
        forms.push(BASE64URL.encode(inner).into_bytes());
    }
    forms
}

pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // Skips sockets.
        match (path.is_dir(), path.is_file()) {
            (true, _) => found.extend(files(&path)),
            (_, true) => found.push(path),
            _ => {}
        }
    }
    found
}

/// Where the canary is found in the files of these directories and in these texts.
pub(super) fn found_in(
    canary: &Canary,
    directories: &[PathBuf],
    texts: &BTreeMap<&str, Vec<u8>>,
) -> Vec<String> {
    let paths = directories.iter().flat_map(|directory| files(directory));
    let in_files = paths.filter(|path| canary.is_in(&std::fs::read(path).unwrap()));
    let in_texts = texts.iter().filter(|(_, text)| canary.is_in(text));
    in_files
        .map(|path| path.display().to_string())
        .chain(in_texts.map(|(name, _)| (*name).to_owned()))
        .collect()
}

fn every_command_line_and_environment() -> Vec<u8> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    // A process may end during the search, or belong to another user.
    processes
        .flat_map(|process| ["cmdline", "environ"].map(|file| std::fs::read(process.path().join(file))))
        .flat_map(Result::unwrap_or_default)
        .collect()
}

#[test]
fn the_search_finds_a_planted_canary_in_every_form() {
    let canary = Canary::new();
    let directory = tempfile::tempdir().unwrap();
    for (number, form) in canary.forms.iter().enumerate() {
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, [b"before", form.as_slice(), b"behind"].concat()).unwrap();
        let found = found_in(&canary, &[directory.path().to_owned()], &BTreeMap::new());
        assert_eq!(found, [path.display().to_string()]);
        std::fs::remove_file(&path).unwrap();
    }
    for skipped in 0..3 {
        let text = BASE64.encode(format!("{}{}xyz", "a".repeat(skipped), canary.text).as_bytes());
        assert!(canary.is_in(text.as_bytes()), "{skipped}");
    }
}

#[test]
fn the_search_of_processes_sees_their_arguments_and_environments() {
    let (argument, variable) = (Canary::new(), Canary::new());
    let mut process = Command::new("cat")
        .args(["-", &argument.text])
        .env("PLANTED", &variable.text)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // When it answers, it is running.
    let mut input = process.stdin.take().unwrap();
    input.write_all(b"x").unwrap();
    process.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let seen = every_command_line_and_environment();
    assert_eq!((argument.is_in(&seen), variable.is_in(&seen)), (true, true));
    drop(input);
    process.wait().unwrap();
    let seen = every_command_line_and_environment();
    assert_eq!((argument.is_in(&seen), variable.is_in(&seen)), (false, false));
}

#[test]
fn a_value_is_found_only_in_the_answer_to_its_reader() {
    let canary = Canary::new();
    let dev = Dev::start_with(&[("PETSEM_LOG", "trace")]);
    let value = &canary.text;
    let secrets = "/v1/apps/shop/secrets";
    let set = dev.operate("POST", &format!("{secrets}/ONE"), Some(&json!({ "value": value })));
    let bulk = json!({"values": {"TWO": {"value_b64": BASE64.encode(value.as_bytes())}, "THREE": value}});
    let bulk = dev.operate("POST", secrets, Some(&bulk));
    let back = dev.operate("POST", &format!("{secrets}/ONE/rollback"), Some(&json!({"to_version": 1})));
    let list = dev.operate("GET", secrets, None);
    let history = dev.operate("GET", &format!("{secrets}/ONE/history"), None);
    assert_eq!(
        (set.status, bulk.status, back.status, list.status, history.status),
        (201, 200, 200, 200, 200)
    );

    // A reader gets the value, so there is something to find.
    let discharge = dev.discharge("shop", "m-1");
    let boot = dev.boot("shop", "m-1", &discharge);
    let jwt = dev.reader_jwt();
    let read = dev.call("GET", &format!("{secrets}?show_secrets=true"), &jwt, None);
    assert!(canary.is_in(boot.text().as_bytes()), "boot: {}", boot.status);
    assert!(canary.is_in(read.text().as_bytes()), "read: {} {}", read.status, read.text());

    let mut texts = BTreeMap::new();
    for (name, answer) in
        [("set", &set), ("bulk", &bulk), ("rollback", &back), ("list", &list), ("history", &history)]
    {
        texts.insert(name, answer.text().into_bytes());
    }
    texts.insert("refusals", refusals(&dev, value));
    texts.insert("clients", clients(&dev, value));
    texts.insert("processes", every_command_line_and_environment());
    let directories = [dev.layout().audit(), dev.directory.path().join("data")];
    assert_eq!(found_in(&canary, &directories, &texts), Vec::<String>::new());

    // Tokens are secrets too.
    let renewal = boot.field("renewal");
    let jwt = jwt.trim_start_matches("Bearer ").to_owned();
    let tokens = [&dev.operator, &dev.host, &dev.owner(), &discharge, &renewal, &jwt].map(|token| {
        // Without the label and the location, which are not secret, and without the end, which base64 may
        // change.
        Canary::of(&token[token.len() / 2..token.len() - 4])
    });
    let log = dev.server.printed();
    assert!(log.contains("\"level\":\"TRACE\"") || log.contains("\"level\":\"DEBUG\""), "nothing was traced");
    texts.insert("server", log.into_bytes());
    let ended = dev.server.stop();
    texts.insert("server at its end", ended.printed.into_bytes());
    assert_eq!(found_in(&canary, &directories, &texts), Vec::<String>::new());
    for token in &tokens {
        let found = found_in(token, &directories, &texts);
        assert_eq!(found, Vec::<String>::new(), "a token");
    }
}

#[test]
fn an_imported_key_and_the_plaintext_it_decrypted_are_found_nowhere() {
    let (key, message) = (Canary::of(&Canary::new().text[..32]), Canary::new());
    let dev = Dev::start_with(&[("PETSEM_LOG", "trace")]);
    let user = flyv1(&dev.mint_as_owner());
    let mut texts = BTreeMap::new();
    let mut call = |name: &'static str, method: &str, path: &str, body: Option<serde_json::Value>| {
        let target = format!("/v1/apps/shop/secretkeys{path}");
        let answer = dev.call(method, &target, &user, body.as_ref());
        texts.insert(name, answer.text().into_bytes());
        answer
    };
    let bytes = |canary: &Canary| BASE64.encode(canary.text.as_bytes());
    let set = json!({"type": "xaes256gcm", "value": bytes(&key)});
    assert_eq!(call("set", "POST", "/k", Some(set)).status, 201);
    let sealed = call("encrypt", "POST", "/k/encrypt", Some(json!({"plaintext": bytes(&message)})));
    let opened =
        call("decrypt", "POST", "/k/decrypt", Some(json!({"ciphertext": sealed.field("ciphertext")})));
    assert_eq!(opened.field("plaintext"), bytes(&message));
    call("list", "GET", "", None);
    call("show", "GET", "/k", None);
    for (name, body) in [
        ("a wrong type", json!({"type": bytes(&key), "value": bytes(&key)})),
        ("a long key", json!({"type": "nacl_auth", "value": BASE64.encode(key.text.repeat(9).as_bytes())})),
        ("no base64", json!({"type": "nacl_auth", "value": key.text})),
        ("an unknown field", json!({"type": "nacl_auth", "value": bytes(&key), key.text.as_str(): 1})),
    ] {
        assert_eq!(call(name, "POST", "/k", Some(body)).status, 400, "{name}");
    }
    for (name, path) in [("signed", "/k/sign"), ("encrypted with what it has not", "/k/encrypt?x=1")] {
        assert_eq!(call(name, "POST", path, Some(json!({"plaintext": bytes(&message)}))).status, 400);
    }
    call("delete", "DELETE", "/k", None);
    // The only place where it belongs.
    assert!(message.is_in(&texts.remove("decrypt").unwrap()));
    texts.insert("processes", every_command_line_and_environment());
    texts.insert("server", dev.server.printed().into_bytes());
    let directories = [dev.layout().audit(), dev.directory.path().join("data")];
    for canary in [&key, &message] {
        assert_eq!(found_in(canary, &directories, &texts), Vec::<String>::new());
    }
    texts.insert("server at its end", dev.server.stop().printed.into_bytes());
    for canary in [&key, &message] {
        assert_eq!(found_in(canary, &directories, &texts), Vec::<String>::new());
    }
}

/// Invalid requests with the value in every field, and all their answers.
fn refusals(dev: &Dev, value: &str) -> Vec<u8> {
    let secrets = "/v1/apps/shop/secrets";
    let escaped = value.replace('+', "%2B");
    let bodies = [
        json!({ "value": [value] }).to_string(),
        json!({ "value": {"value": value} }).to_string(),
        json!({ "value": value, "value_b64": value }).to_string(),
        json!({ "value_b64": value }).to_string(),
        json!({ "value": "x", value: "x" }).to_string(),
        json!({ "value": "x", "expected_version": value }).to_string(),
        json!({ "values": value }).to_string(),
        json!({ "values": {value: value} }).to_string(),
        json!({ "values": {"A": [value]} }).to_string(),
        json!({ "values": {"A": {"value": value, "extra": value}} }).to_string(),
        json!([value]).to_string(),
        format!("{{\"value\":\"{value}"),
        format!("{{\"value\":{value}}}"),
        format!("{{\"values\":{{\"A\":\"{value}\",\"A\":\"{value}\"}}}}"),
        json!({ "value": format!("{value}{}", "x".repeat(65 * 1024)) }).to_string(),
        json!({"policy": {"format": 1, "rules": value}}).to_string(),
        json!({"policy": {"format": 1, "rules": [{"name": value}]}}).to_string(),
        json!({"kind": value, "org": value, "actions": [value]}).to_string(),
        json!({"machine": value}).to_string(),
        json!({"boots": [{"app": value, "machine": value, "discharge": value}]}).to_string(),
        json!({"ticket": value, "app": value, "machine": value}).to_string(),
        json!({"token": {"id": value}}).to_string(),
    ];
    let single = format!("{secrets}/A");
    let places = [
        ("POST", single.as_str()),
        ("POST", secrets),
        ("PUT", "/v1/apps/shop/policy"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/apps/shop/boot"),
        ("POST", "/v1/boot"),
        ("POST", "/.well-known/macfly/3p"),
        ("POST", "/v1/revocations"),
        ("POST", "/v1/orgs"),
        ("POST", "/v1/apps"),
    ];
    let mut answers = Vec::new();
    for (method, target) in places {
        for body in &bodies {
            for authorization in
                [flyv1(&dev.operator), flyv1(&dev.host), flyv1(value), format!("Bearer {value}.x.y")]
            {
                let request = Request::new(method, target).authorization(&authorization);
                let answer = request.body("application/json", body.clone()).send(dev.server.address());
                assert!(answer.status >= 400, "{method} {target} {body}: {}", answer.text());
                answers.extend(answer.text().into_bytes());
            }
        }
    }
    for target in [
        format!("{secrets}/{escaped}"),
        format!("/v1/apps/{escaped}/secrets"),
        format!("{secrets}?version={escaped}"),
        format!("{secrets}?{escaped}=1"),
        format!("/v1/{escaped}"),
        format!("/v1/orgs/{escaped}"),
        format!("/v1/apps?org={escaped}"),
    ] {
        let answer = dev.operate("GET", &target, None);
        assert!(answer.status >= 400, "{target}: {}", answer.text());
        answers.extend(answer.text().into_bytes());
    }
    answers
}

/// Output of the traced command line while it sets the value, reads and boots without showing it.
fn clients(dev: &Dev, value: &str) -> Vec<u8> {
    let mut printed = Vec::new();
    let context = dev.directory.path().join("context.toml");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), value).unwrap();
    for arguments in [
        &["secrets", "set", "FOUR", "--app", "shop", "--file", file.path().to_str().unwrap()][..],
        &["run", "--app", "shop", "--", "true"],
        &["boot", "--app", "shop", "--machine", "m-2", "--", "true"],
        &["boot", "--app", "shop", "--machine", "m-2", "--show"],
        &["secrets", "list", "--app", "shop"],
        &["secrets", "history", "ONE", "--app", "shop"],
        &["token", "list"],
    ] {
        let mut command = petsem(arguments);
        command.env("PETSEM_CONTEXT", &context).env("PETSEM_LOG", "trace").env("RUST_LOG", "trace");
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {}", ended.printed);
        printed.extend(ended.printed.into_bytes());
    }
    printed
}

#[test]
fn no_debug_output_of_a_public_type_contains_a_secret() {
    let canary = Canary::new();
    let secret = || Secret::new(canary.text.clone().into_bytes());
    let name = || "NAME".parse().unwrap();
    let shown = AppSecret {
        name: name(),
        value: Some(secret()),
        digest: Digest::from_bytes([1; 16]),
        created_at: String::new(),
        updated_at: String::new(),
        set_in_version: 1,
        author: String::new(),
        warnings: Vec::new(),
    };
    let booted = BootedSecret { name: name(), value: Some(secret()), digest: Digest::from_bytes([1; 16]) };
    let token = MintedToken {
        id: petsem_api::TokenUuid::from_bytes([1; 16]),
        token: canary.text.clone(),
        expires_at: String::new(),
    };
    let item = BatchBootItem {
        app: "shop".parse().unwrap(),
        machine: "m-1".parse().unwrap(),
        discharge: canary.text.clone(),
        min_version: None,
    };
    let identity = Identity::Workload { app: "shop".parse().unwrap() };
    let bundle = Bundle::new(identity, 1, [(name(), canary.text.clone().into_bytes())]);
    let key: [u8; 32] = canary.text.as_bytes()[..32].try_into().unwrap();
    let part = Canary::of(&canary.text[..32]);
    let key_texts = [format!("{:?}", MacaroonKey::new(&key)), format!("{:?}", SharedKey::new(key))];
    let dev_token = petsem_policy::Macaroon::mint(
        &MacaroonKey::new(&key),
        b"kid",
        "https://x",
        false,
        &mut UnwrapErr(SysRng),
    );
    let token_text = dev_token.to_text().to_string();
    let unverified = UnverifiedToken::parse(&token_text).unwrap();
    let header = Header::parse(&token_text, "https://x").unwrap();
    let tail = Canary::of(&token_text[token_text.len() - 40..token_text.len() - 2]);
    let credentials = Credentials::new(&token_text).unwrap();
    for text in [
        format!("{unverified:?}"),
        format!("{header:?}"),
        format!("{dev_token:?}"),
        format!("{credentials:?}"),
    ] {
        assert!(!tail.is_in(text.as_bytes()), "{text}");
    }
    for text in key_texts {
        assert!(!part.is_in(text.as_bytes()), "{text}");
    }
    let set = SetSecret { value: secret(), expected_version: None };
    let bulk = BulkUpdate { values: [(name(), Some(secret()))].into(), expected_version: None };
    let wire = |json: serde_json::Value| json.to_string();
    let answered = wire(json!({
        "app": "00000000-0000-7000-8000-000000000000", "app_name": "shop", "machine": "m-1", "version": 1,
        "secrets": [{"name": "NAME", "value": canary.text, "digest": "01".repeat(16)}], "renewal": canary.text,
    }));
    let renewed = wire(json!({"renewal": canary.text, "expires_at": ""}));
    let asked = wire(json!({"ticket": canary.text, "app": "shop", "machine": "m-1"}));
    for text in [
        format!("{:?}", serde_json::from_str::<BootResponse>(&answered).unwrap()),
        format!("{:?}", serde_json::from_str::<RenewResponse>(&renewed).unwrap()),
        format!("{:?}", serde_json::from_str::<DischargeRequest>(&asked).unwrap()),
        format!("{:?}", DischargeAnswer { discharge: Some(canary.text.clone()), ..Default::default() }),
        format!("{:?}", secret()),
        format!("{shown:?}"),
        format!("{booted:?}"),
        format!("{token:?}"),
        format!("{item:?}"),
        format!("{bundle:?}"),
        format!("{set:?}"),
        format!("{bulk:?}"),
    ] {
        assert!(!canary.is_in(text.as_bytes()), "{text}");
    }
}
