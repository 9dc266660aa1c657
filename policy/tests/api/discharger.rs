//! The worked example of docs/discharger.md, whose bytes are in docs/discharger.json.
//!
//! `PETSEM_BLESS=1` writes them again.

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use petsem_policy::{
    Access, Action, ActionSet, Actions, BootGrant, Caveat, CaveatSet, DischargeRequest, Hosts, Macaroon,
    MacaroonKey, SharedKey, Ticket, TrustedDischarger, UnverifiedToken,
};
use serde_json::{Value, json};

use crate::counting::Counting;

const PETSEM: &str = "https://petsem.example";
const AUTH: &str = "https://auth.example";
const HOST: &str = "host-1";
const MACHINE: &str = "machine-1";
const NOW: i64 = 1_800_000_000;
const ORG: [u8; 16] = [0x0a; 16];
const APP: [u8; 16] = [0x0b; 16];

fn root_key() -> MacaroonKey {
    MacaroonKey::new(&std::array::from_fn::<u8, 32, _>(|index| index as u8))
}

fn shared_key() -> SharedKey {
    SharedKey::new(std::array::from_fn(|index| 0x20 + index as u8))
}

fn conditions() -> [Caveat; 2] {
    [Hosts::new([HOST.to_owned()]).into(), Actions(ActionSet::from_iter([Action::Boot])).into()]
}

fn host_token() -> Macaroon {
    let mut token = Macaroon::mint(&root_key(), b"example root key", PETSEM, false, &mut Counting(0x10));
    token.add(conditions()).unwrap();
    token.add([Caveat::ValidityWindow { not_before: NOW - 30, not_after: NOW + 86_400 }]).unwrap();
    let conditions = CaveatSet::new(conditions().to_vec());
    token.add_third_party(AUTH, &shared_key(), &conditions, &mut Counting(0x40)).unwrap();
    token
}

fn grant() -> BootGrant {
    BootGrant {
        org: ORG,
        app: APP,
        machine: MACHINE.to_owned(),
        host: HOST.to_owned(),
        expires: NOW + 60,
        provenance: format!(r#"{{"proof":{{"subject":{{"sub":"ann@example.com","proved_at":{NOW}}}}}}}"#),
    }
}

fn window() -> Caveat {
    Caveat::ValidityWindow { not_before: NOW - 30, not_after: NOW + 60 }
}

fn access<'a>() -> Access<'a> {
    Access {
        org: Some(ORG),
        app: Some(APP),
        machine: Some(MACHINE),
        host: Some(HOST),
        ..Access::new(Action::Boot, NOW, 0)
    }
}

fn bodies(caveats: &[Caveat]) -> Value {
    caveats
        .iter()
        .map(|caveat| json!({"type": caveat.kind(), "body": HEXLOWER.encode(&caveat.body())}))
        .collect()
}

/// What the discharger does with the ticket, as the document describes it.
fn example() -> Value {
    let token = host_token().to_text();
    let host = UnverifiedToken::parse(&token).unwrap();
    let &[(AUTH, sealed)] = host.undischarged(&[]).as_slice() else { panic!("one third-party caveat") };
    let plaintext = shared_key().open(sealed).unwrap();
    let ticket = Ticket::open(sealed, &shared_key()).unwrap();
    let wanted = DischargeRequest { access: access(), expires_unix_seconds: NOW + 60, approved: None };
    ticket.clear(&wanted).unwrap();
    let mut discharge = ticket.discharge(AUTH, &mut Counting(0xc8));
    discharge.add([window(), grant().into()]).unwrap();
    json!({
        "now": NOW,
        "shared_key": HEXLOWER.encode(shared_key().expose_bytes()),
        "host_token": {
            "root_key": HEXLOWER.encode(root_key().expose_bytes()),
            "text": token.as_str(),
        },
        "request": {
            "path": "/.well-known/macfly/3p",
            "body": {"ticket": BASE64.encode(sealed), "app": uuid(APP), "machine": MACHINE},
        },
        "ticket": {
            "sealed": HEXLOWER.encode(sealed),
            "plaintext": HEXLOWER.encode(&plaintext),
            "discharge_key": HEXLOWER.encode(ticket.expose_discharge_key()),
            "conditions": bodies(ticket.caveats()),
        },
        "grant": {
            "org": uuid(ORG), "app": uuid(APP), "machine": MACHINE, "host": HOST, "expires": NOW + 60,
            "provenance": grant().provenance,
        },
        "discharge": {
            "rnd": HEXLOWER.encode(&std::array::from_fn::<u8, 16, _>(|index| 0xc8 + index as u8)),
            "caveats": bodies(&[window(), grant().into()]),
            "token": HEXLOWER.encode(UnverifiedToken::parse(&discharge.to_text()).unwrap().expose_wire()),
            "text": discharge.to_text().as_str(),
        },
    })
}

fn uuid(id: [u8; 16]) -> String {
    let hex = HEXLOWER.encode(&id);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn documents() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn the_vectors_of_an_outside_discharger_are_those_of_this_build() {
    let path = documents().join("discharger.json");
    let mut vectors: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    if std::env::var_os("PETSEM_BLESS").is_some() {
        let object = vectors.as_object_mut().unwrap();
        object.extend(example().as_object().unwrap().clone());
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&vectors).unwrap())).unwrap();
    }
    for (name, value) in example().as_object().unwrap() {
        assert_eq!(&vectors[name], value, "{name}: PETSEM_BLESS=1 writes docs/discharger.json again");
    }
}

#[test]
fn the_discharge_of_the_vectors_grants_this_boot_and_no_other() {
    let text = std::fs::read_to_string(documents().join("discharger.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let token = |name: &str| UnverifiedToken::parse(vectors[name]["text"].as_str().unwrap()).unwrap();
    let (host, discharge) = (token("host_token"), token("discharge"));
    let key = shared_key();
    let trusted = TrustedDischarger { location: AUTH, key: &key, discharger: [9; 16] };
    let verified = host.verify(&root_key(), &[&discharge], &[trusted]).unwrap();
    let access = access();
    let evidence = verified.clear_boot(&access).unwrap();
    assert_eq!((evidence.grant, evidence.discharger), (&grant(), [9; 16]));
    let other = Access { machine: Some("machine-2"), ..access };
    assert!(verified.clear_boot(&other).unwrap_err().to_string().contains("Machine"));
}

/// All blocks of the document with bytes, without the line breaks that make them readable, in order.
#[test]
fn the_document_shows_the_bytes_of_the_vectors() {
    let vectors = std::fs::read_to_string(documents().join("discharger.json")).unwrap();
    let vectors: Value = serde_json::from_str(&vectors).unwrap();
    let document = std::fs::read_to_string(documents().join("discharger.md")).unwrap();
    let blocks = document.split("```text\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let shown: Vec<String> = blocks.flat_map(|block| block.split("\n\n")).map(dense).collect();
    let wanted = [
        "/shared_key",
        "/request/body/ticket",
        "/ticket/plaintext",
        "/ticket/discharge_key",
        "/discharge/rnd",
        "/discharge/caveats/0/body",
        "/discharge/caveats/1/body",
        "/discharge/text",
    ];
    assert_eq!(shown, wanted.map(|pointer| vectors.pointer(pointer).unwrap().as_str().unwrap().to_owned()));
    let provenance = vectors.pointer("/grant/provenance").and_then(Value::as_str).unwrap();
    assert!(document.contains(&format!("```json\n{provenance}\n```")), "{provenance}");
}

fn dense(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}
