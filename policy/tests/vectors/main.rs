//! Every case of the published macaroon vectors, through the public API.
//!
//! `PETSEM_MACAROON_VECTORS` names another file of the same schema.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic; lints treat helper functions as production code"
)]

use std::collections::BTreeMap;
use std::io::Write as _;

use data_encoding::{BASE64, HEXLOWER};
use petsem_policy::{
    Caveat, CaveatSet, Content, Header, Macaroon, MacaroonKey, Nonce, SharedKey, Ticket, Token,
    TrustedDischarger, UnverifiedToken,
};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};

use crate::fly::{FlyAccess, FlyClass, FlyIdentity};

mod fly;

/// The outcome of a case: the fields of the vector file that petsem produces. `Err` is a refusal.
type Outcome = Result<BTreeMap<&'static str, Value>, String>;

#[test]
fn every_vector_has_the_outcome_that_its_policy_requires() {
    let named = std::env::var("PETSEM_MACAROON_VECTORS").ok();
    let path =
        named.as_deref().unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/macaroon.json"));
    let counted = check_file(path);
    if named.is_none() {
        assert_eq!(counted, (838, 1572));
    }
}

/// Cases of `IfPresent` that the published file lacks: what it nests is not evaluated for an access without an action.
#[test]
fn an_access_without_an_action_is_invalid_for_if_present_whatever_it_nests() {
    assert_eq!(check_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/if_present.json")), (10, 40));
}

/// Checks every case of a file; returns how many cases, and how many access checks of verify cases, it has.
fn check_file(path: &str) -> (usize, usize) {
    let read = std::fs::read_to_string(path).unwrap_or_else(|error| {
        panic!("{path} cannot be read ({error}); PETSEM_MACAROON_VECTORS names a file by its absolute path, or nothing")
    });
    let file: Value =
        serde_json::from_str(&read).unwrap_or_else(|error| panic!("{path} is not JSON: {error}"));
    assert_eq!(file["schema"], "petsem-macaroon-vectors/1");
    let reference_now = file["reference_now"].as_i64().unwrap();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let mut access_checks = 0;
    let mut failures = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let (kind, policy) = (text(case, "kind"), text(case, "policy"));
        *counts.entry((kind.to_owned(), policy.to_owned())).or_default() += 1;
        if kind == "verify" {
            access_checks += case["clear"].as_array().map_or(0, Vec::len);
        }
        let outcome = match kind {
            "nonce" => nonce(case),
            "caveat_codec" => caveat_codec(case),
            "aead" => aead(case),
            "mint" => mint(case),
            "add" => add(case),
            "add_3p" => add_third_party(case),
            "bind" => bind(case),
            "ticket" => ticket(case),
            "tickets" => tickets(case),
            "verify" => verify(case, reference_now),
            "header" => Ok(header(case)),
            "bundle" => Ok(bundle(case, reference_now)),
            unknown => panic!("vectors of an unknown kind: {unknown}"),
        };
        if outcome.is_err() {
            *refused.entry(policy.to_owned()).or_default() += 1;
        }
        if let Err(difference) = check_outcome(case, policy, &outcome) {
            failures.push(format!("{}: {difference}", text(case, "id")));
        }
    }
    // Not by println!, which the harness captures.
    let mut out = std::io::stdout().lock();
    for ((kind, policy), count) in &counts {
        writeln!(out, "{kind:14} {policy:8} {count}").unwrap();
    }
    let total: usize = counts.values().sum();
    writeln!(out, "total {total} cases, {access_checks} access checks of verify cases").unwrap();
    writeln!(out, "refused, by policy: {refused:?}").unwrap();
    drop(out);
    assert_eq!(failures, Vec::<String>::new(), "{} cases differ", failures.len());
    (total, access_checks)
}

/// Compares the outcome with the recorded one, as the policy of the case requires.
fn check_outcome(case: &Value, policy: &str, outcome: &Outcome) -> Result<(), String> {
    let recorded_ok = match case["kind"].as_str() {
        Some("verify") => case["result"] == "ok",
        Some("header" | "bundle") => true,
        _ if case.get("decode").is_some() => case["decode"] == "ok",
        Some("mint" | "tickets") => true,
        _ => case["result"] == "ok",
    };
    match policy {
        "free" => Ok(()),
        "deny" => match outcome {
            Err(_) => Ok(()),
            Ok(_) if case["kind"] == "caveat_codec" => Err("decoded".to_owned()),
            Ok(fields) => {
                let granted = fields
                    .get("clear")
                    .and_then(Value::as_array)
                    .is_some_and(|list| list.iter().any(|answer| answer["result"] == "ok"));
                if granted { Err("granted".to_owned()) } else { Ok(()) }
            }
        },
        "lenient" if outcome.is_err() => Ok(()),
        // An element of a header may be refused: it is then malformed.
        "lenient" if outcome.as_ref().is_ok_and(|fields| refuses_an_element(fields, &case["bundle"])) => {
            Ok(())
        }
        _ => match outcome {
            Err(_) if !recorded_ok => Ok(()),
            Err(error) => Err(format!("refused: {error}")),
            Ok(_) if !recorded_ok => Err("accepted".to_owned()),
            Ok(fields) => {
                let expected =
                    if case["kind"] == "header" || case["kind"] == "bundle" { &case["bundle"] } else { case };
                fields.iter().try_for_each(|(name, value)| {
                    differing(name, value, expected.get(*name).unwrap_or(&Value::Null))
                })
            }
        },
    }
}

/// Whether a recorded token is malformed here.
fn refuses_an_element(fields: &BTreeMap<&'static str, Value>, recorded: &Value) -> bool {
    let (ours, theirs) = (fields.get("all").and_then(Value::as_array), recorded["all"].as_array());
    let pairs = ours.into_iter().flatten().zip(theirs.into_iter().flatten());
    pairs.into_iter().any(|(our, their)| our["class"] == "malformed" && their["class"] == "macaroon")
}

/// For lists of equal length, only the first different entry is shown.
fn differing(name: &str, value: &Value, recorded: &Value) -> Result<(), String> {
    match (value, recorded) {
        _ if value == recorded => Ok(()),
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => ours
            .iter()
            .zip(theirs)
            .enumerate()
            .try_for_each(|(index, (our, their))| differing(&format!("{name}[{index}]"), our, their)),
        _ => Err(format!("{name}: {value} is not {recorded}")),
    }
}

fn nonce(case: &Value) -> Outcome {
    let nonce = Nonce::decode(&bytes(case, "wire")).map_err(|error| error.to_string())?;
    Ok(BTreeMap::from([
        ("kid", hex_value(nonce.kid())),
        ("rnd", hex_value(nonce.rnd())),
        ("proof", json!(nonce.proof())),
        ("version", json!(nonce.version())),
        ("canonical", hex_value(&nonce.encode())),
        ("uuid", json!(nonce.token_id().to_string())),
    ]))
}

fn caveat_codec(case: &Value) -> Outcome {
    let set = CaveatSet::decode(&bytes(case, "wire")).map_err(|error| error.to_string())?;
    Ok(BTreeMap::from([("canonical", hex_value(&set.encode())), ("caveats", listed(set.as_slice()))]))
}

fn aead(case: &Value) -> Outcome {
    let key = SharedKey::from_slice(&bytes(case, "key")).map_err(|error| error.to_string())?;
    let plaintext = key.open(&bytes(case, "sealed")).map_err(|error| error.to_string())?;
    let sealed = key.seal(&plaintext, &mut Scripted::new([bytes(case, "seal_nonce")]));
    Ok(BTreeMap::from([("plaintext", hex_value(&plaintext)), ("sealed", hex_value(&sealed))]))
}

fn mint(case: &Value) -> Outcome {
    let key = MacaroonKey::new(&bytes(case, "key"));
    let mut rng = Scripted::new([bytes(case, "rnd")]);
    let proof = case["proof"].as_bool().unwrap_or_default();
    let mut token = Macaroon::mint(&key, &bytes(case, "kid"), text(case, "location"), proof, &mut rng);
    let nonce_tail = hex_value(token.expose_tail());
    let mut steps = Vec::new();
    for step in case["steps"].as_array().into_iter().flatten() {
        let caveat = caveat(&step["add"])?;
        token.add([caveat]).map_err(|error| error.to_string())?;
        steps.push(json!({"add": step["add"], "tail": hex_value(token.expose_tail())}));
    }
    let steps = if steps.is_empty() { Value::Null } else { Value::Array(steps) };
    Ok(BTreeMap::from([
        ("nonce_tail", nonce_tail),
        ("steps", steps),
        ("token", hex_value(&token.encode())),
        ("text", json!(token.to_text().as_str())),
    ]))
}

fn add(case: &Value) -> Outcome {
    let before = bytes(case, "token");
    let mut token = macaroon(&before)?;
    let caveats = case["add"].as_array().into_iter().flatten().map(caveat).collect::<Result<Vec<_>, _>>()?;
    token.add(caveats).map_err(|error| {
        assert_eq!(*token.encode(), before, "{}: refused, and changed", text(case, "id"));
        error.to_string()
    })?;
    Ok(BTreeMap::from([("token_out", hex_value(&token.encode()))]))
}

fn add_third_party(case: &Value) -> Outcome {
    let mut token = macaroon(&bytes(case, "token"))?;
    let conditions =
        case["add"].as_array().into_iter().flatten().map(caveat).collect::<Result<Vec<_>, _>>()?;
    let nonce_of = |name| bytes(case, name).into_iter().take(12).collect::<Vec<_>>();
    let mut rng = Scripted::new([bytes(case, "discharge_key"), nonce_of("ticket"), nonce_of("sealed")]);
    let key = SharedKey::from_slice(&bytes(case, "ticket_key")).map_err(|error| error.to_string())?;
    token
        .add_third_party(text(case, "location"), &key, &CaveatSet::new(conditions), &mut rng)
        .map_err(|error| error.to_string())?;
    let Some(Caveat::ThirdParty(added)) = token.caveats().last() else { panic!("no third party was added") };
    Ok(BTreeMap::from([
        ("ticket", hex_value(&added.ticket)),
        ("sealed", hex_value(added.verifier_key.as_deref().unwrap())),
        ("token_out", hex_value(&token.encode())),
    ]))
}

fn bind(case: &Value) -> Outcome {
    let mut token = macaroon(&bytes(case, "token"))?;
    let parent = UnverifiedToken::decode(&bytes(case, "parent")).map_err(|error| error.to_string())?;
    token.bind_to_parent(&parent).map_err(|error| error.to_string())?;
    Ok(BTreeMap::from([("caveats", listed(token.caveats())), ("token_out", hex_value(&token.encode()))]))
}

fn ticket(case: &Value) -> Outcome {
    let key = SharedKey::from_slice(&bytes(case, "ticket_key")).map_err(|error| error.to_string())?;
    let sealed = bytes(case, "ticket");
    let ticket = Ticket::open(&sealed, &key).map_err(|error| error.to_string())?;
    let plaintext = key.open(&sealed).map_err(|error| error.to_string())?;
    Ok(BTreeMap::from([
        ("plaintext", hex_value(&plaintext)),
        ("discharge_key", hex_value(ticket.expose_discharge_key())),
        ("caveats", listed(ticket.caveats())),
    ]))
}

fn tickets(case: &Value) -> Outcome {
    let token = UnverifiedToken::decode(&bytes(case, "token")).map_err(|error| error.to_string())?;
    let discharges = decodable(case);
    let missing = token.undischarged(&discharges.iter().collect::<Vec<_>>());
    let missing = by_location(&missing);
    Ok(BTreeMap::from([("tickets", missing)]))
}

fn verify(case: &Value, reference_now: i64) -> Outcome {
    let token = UnverifiedToken::decode(&bytes(case, "token")).map_err(|error| error.to_string())?;
    let discharges = decodable(case);
    let keys = trusted_keys(case);
    let verified = token
        .verify(
            &MacaroonKey::new(&bytes(case, "key")),
            &discharges.iter().collect::<Vec<_>>(),
            &trusted(&keys),
        )
        .map_err(|error| error.to_string())?;
    let caveats: Vec<Caveat> = verified.caveats().map(|placed| placed.caveat.clone()).collect();
    let mut fields = BTreeMap::from([("caveats", listed(&caveats))]);
    let expiration = token.expires_at().filter(|end| end.unsigned_abs() <= 1 << 62);
    fields.insert("expiration", json!(expiration));
    if let Some(clear) = case["clear"].as_array() {
        let answers = clear.iter().map(|check| answer(&verified, &check["access"], reference_now)).collect();
        fields.insert("clear", Value::Array(answers));
    }
    Ok(fields)
}

fn header(case: &Value) -> BTreeMap<&'static str, Value> {
    elements(&Header::parse(text(case, "header"), text(case, "location")).unwrap())
}

fn bundle(case: &Value, reference_now: i64) -> BTreeMap<&'static str, Value> {
    let header = Header::parse(text(case, "header"), text(case, "location")).unwrap();
    let mut fields = elements(&header);
    let keys = trusted_keys(case);
    let mut good = Vec::new();
    let mut verified = Vec::new();
    for element in header.elements() {
        let Some(token) = element.token().filter(|token| token.location() == text(case, "location")) else {
            continue;
        };
        let key = case["keys_by_kid"].get(HEXLOWER.encode(token.kid())).and_then(Value::as_str);
        let result = key.ok_or("unknown key id".to_owned()).and_then(|key| {
            let key = MacaroonKey::new(&HEXLOWER.decode(key.as_bytes()).unwrap());
            token.verify(&key, &header.discharges(), &trusted(&keys)).map_err(|error| error.to_string())
        });
        let mut entry =
            json!({"str": element.expose_text(), "result": if result.is_ok() { "ok" } else { "err" }});
        if let Ok(token) = result {
            let caveats: Vec<Caveat> = token.caveats().map(|placed| placed.caveat.clone()).collect();
            entry["caveats"] = listed(&caveats);
            good.push(token);
        }
        verified.push(entry);
    }
    fields.insert("verified", if verified.is_empty() { Value::Null } else { Value::Array(verified) });
    fields.insert("verify_result", json!(if good.is_empty() { "err" } else { "ok" }));
    let clear = case["bundle"]["clear"].as_array().unwrap().iter().map(|check| {
        let allowed = good.iter().any(|token| {
            let result = &answer(token, &check["access"], reference_now)["result"];
            result == "ok"
        });
        json!({"access": check["access"], "result": if allowed { "ok" } else { "err" }})
    });
    fields.insert("clear", clear.collect());
    fields
}

fn elements(header: &Header<'_>) -> BTreeMap<&'static str, Value> {
    let all = header.elements().iter().map(|element| {
        let class = match element.content() {
            Content::Token(_) => "macaroon",
            Content::Malformed => "malformed",
            _ => "non_macaroon",
        };
        json!({"str": element.expose_text(), "class": class})
    });
    let kept: Vec<&str> = header.forwardable().collect();
    let mut fields = BTreeMap::from([("all", all.collect())]);
    fields.insert("kept", if kept.is_empty() { json!([]) } else { json!(kept) });
    fields.insert("undischarged", by_location(&header.undischarged()));
    fields
}

/// One entry of `clear`, in the form of the file.
fn answer(token: &Token, access: &Value, reference_now: i64) -> Value {
    let now = access["now"]["s"].as_i64().unwrap_or(reference_now);
    let optional = |name: &str| access.get(name).and_then(Value::as_str);
    let users = access["flyio"].as_array().into_iter().flatten();
    let github = access["github_org_ids"].as_array().into_iter().flatten();
    let class = match text(access, "class") {
        "flyio" => FlyClass::Full,
        "resset" => FlyClass::ActionOnly,
        "basic" => FlyClass::TimeOnly,
        "discharge" => FlyClass::Discharge,
        unknown => panic!("access of an unknown class: {unknown}"),
    };
    let command = match access.get("command") {
        Some(words) => Some(words.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()),
        None if access["command_empty"] == true => Some(Vec::new()),
        None => None,
    };
    let fly = FlyAccess {
        class,
        now_unix_seconds: now,
        now_nanos: access["now"]["ns"].as_u64().unwrap_or_default() as u32,
        action: access.get("action").and_then(Value::as_u64).map(|bits| bits as u16),
        organization: access.get("org_id").and_then(Value::as_u64),
        app: access.get("app_id").and_then(Value::as_u64),
        app_feature: optional("app_feature"),
        feature: optional("feature"),
        volume: optional("volume"),
        machine: optional("machine"),
        machine_feature: optional("machine_feature"),
        mutation: optional("mutation"),
        command,
        cluster: optional("cluster"),
        storage_object: optional("storage_object"),
        source_machine: optional("source_machine"),
        source_app: optional("source_app"),
        source_organization: optional("source_organization"),
        identity: FlyIdentity {
            users: users.map(|user| (user["user_id"].as_u64().unwrap(), numbers(&user["org_ids"]))).collect(),
            google_domains: access["google_hds"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|domain| domain.as_str().unwrap())
                .collect(),
            github_organizations: github.flat_map(numbers).collect(),
        },
        expires_unix_seconds: now.saturating_add(access["expiry_in"].as_i64().unwrap_or_default()),
    };
    let valid = if access["validate"] == true { fly.validate() } else { Ok(()) };
    match valid.and_then(|()| fly::clear(token, &fly)) {
        Ok(()) => json!({"access": access, "result": "ok"}),
        Err(errors) => {
            let mut names: Vec<_> = errors.names().collect();
            names.sort_unstable();
            json!({"access": access, "result": "err", "errors": names})
        }
    }
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().into_iter().flatten().map(|number| number.as_u64().unwrap()).collect()
}

fn macaroon(wire: &[u8]) -> Result<Macaroon, String> {
    let token = UnverifiedToken::decode(wire).map_err(|error| error.to_string())?;
    Macaroon::from_token(&token).map_err(|error| error.to_string())
}

fn caveat(value: &Value) -> Result<Caveat, String> {
    Caveat::from_wire(value["type"].as_u64().unwrap(), &bytes(value, "body"))
        .map_err(|error| error.to_string())
}

fn listed(caveats: &[Caveat]) -> Value {
    caveats.iter().map(|caveat| json!({"type": caveat.kind(), "body": hex_value(&caveat.body())})).collect()
}

/// Discharges that do not decode are dropped before verification.
fn decodable(case: &Value) -> Vec<UnverifiedToken> {
    let list = case["discharges"].as_array().into_iter().flatten();
    list.filter_map(|wire| UnverifiedToken::decode(&HEXLOWER.decode(wire.as_str()?.as_bytes()).unwrap()).ok())
        .collect()
}

fn trusted_keys(case: &Value) -> Vec<(String, SharedKey)> {
    let mut keys = Vec::new();
    for (location, list) in case["trusted"].as_object().into_iter().flatten() {
        for key in list.as_array().into_iter().flatten() {
            let key = HEXLOWER.decode(key.as_str().unwrap().as_bytes()).unwrap();
            // A key of the wrong length opens nothing.
            keys.extend(SharedKey::from_slice(&key).ok().map(|key| (location.clone(), key)));
        }
    }
    keys
}

fn trusted(keys: &[(String, SharedKey)]) -> Vec<TrustedDischarger<'_>> {
    keys.iter().map(|(location, key)| TrustedDischarger { location, key, discharger: [7; 16] }).collect()
}

fn by_location(missing: &[(&str, &[u8])]) -> Value {
    let mut map: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (location, ticket) in missing {
        map.entry(location).or_default().push(hex_value(ticket));
    }
    if map.is_empty() { Value::Null } else { json!(map) }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    HEXLOWER.decode(text(value, name).as_bytes()).unwrap()
}

fn hex_value(bytes: &[u8]) -> Value {
    json!(HEXLOWER.encode(bytes))
}

/// Returns the randomness that a vector recorded, in order.
struct Scripted(std::collections::VecDeque<u8>);

impl Scripted {
    fn new<const N: usize>(parts: [Vec<u8>; N]) -> Self {
        Self(parts.into_iter().flatten().collect())
    }
}

impl TryRng for Scripted {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut word = [0; 4];
        self.try_fill_bytes(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut word = [0; 8];
        self.try_fill_bytes(&mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for byte in bytes {
            *byte = self.0.pop_front().expect("more randomness was requested than recorded");
        }
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}

#[test]
fn the_worked_example_decodes_and_verifies() {
    let text = "fm2_lJPEBGtpZDHEEBAREhMUFRYXGBkaGxwdHh/Ctmh0dHBzOi8vcGV0c2VtLmV4YW1wbGWUAJLNEnEfzgABAACBpHJlYWTDxCDBgM5HrCEYOhxC0MdxtZZP4HyKwiEF/HRogWLAWMy5iA==";
    let token = UnverifiedToken::parse(text).unwrap();
    assert_eq!(token.id().to_string(), "c5ad1097-07c7-5db3-b181-a6187ee029ea");
    assert_eq!(BASE64.encode(token.expose_wire()), text.trim_start_matches("fm2_"));
    let key: [u8; 32] = std::array::from_fn(|index| index as u8);
    assert_eq!(token.verify(&MacaroonKey::new(&key), &[], &[]).unwrap().id(), token.id());
}
