//! A batch whose answer exceeds the memory limit.

use petsem_api::MAX_BATCH;
use petsem_integration::dev::{Dev, flyv1};
use serde_json::{Value, json};

#[test]
fn a_batch_with_too_large_an_answer_boots_some_machines_and_tells_the_others_to_retry() {
    const MACHINES: usize = 70;
    const MOST: usize = 48 * 1024 * 1024;
    let dev = Dev::start();
    // The most that one app may have: 1 MiB.
    let names: serde_json::Map<_, _> =
        (0..15).map(|number| (format!("N{number}"), json!("x".repeat(64 * 1024)))).collect();
    dev.set("shop", &Value::Object(names));
    let ask = |machine: usize| {
        let machine = format!("m-{machine}");
        json!({"app": "shop", "machine": machine, "discharge": dev.discharge("shop", &machine)})
    };
    let batch = |machines: &mut dyn Iterator<Item = usize>| {
        let boots: Vec<_> = machines.map(ask).collect();
        let answer = dev.call("POST", "/v1/boot", &flyv1(&dev.host), Some(&json!({ "boots": boots })));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.body.len() < 2 * MOST, "{} bytes", answer.body.len());
        answer.json()["boots"].as_array().unwrap().clone()
    };
    let results = batch(&mut (0..MACHINES));
    assert_eq!(results.len(), MACHINES);
    let booted = results.iter().take_while(|result| result.get("booted").is_some()).count();
    assert!((1..MACHINES).contains(&booted), "{booted} of {MACHINES} booted");
    for (machine, result) in results.iter().enumerate().take(booted) {
        assert_eq!(result["booted"]["machine"], format!("m-{machine}"));
        assert_eq!(result["booted"]["secrets"].as_array().unwrap().len(), 15);
    }
    for result in &results[booted..] {
        assert_eq!(result["refused"]["status"], "busy");
        assert!(result["refused"]["error"].as_str().unwrap().contains("another batch"), "{result}");
    }
    let again = batch(&mut (booted..MACHINES));
    assert!(again.iter().all(|result| result.get("booted").is_some()));
}

#[test]
fn a_batch_without_a_host_token_is_refused_once_with_one_line() {
    let dev = Dev::start();
    let org = dev.mint(&json!({"kind": "org", "org": "demo"}));
    let boots = vec![json!({"app": "shop", "machine": "m-1", "discharge": org}); MAX_BATCH];
    for token in [&org, &dev.owner(), &dev.operator] {
        let before = dev.audit_lines().len();
        let answer = dev.call("POST", "/v1/boot", &flyv1(token), Some(&json!({ "boots": boots })));
        assert_eq!(answer.outcome(), (403, "forbidden".to_owned()), "{}", answer.text());
        assert!(answer.error().contains("not a host token"), "{}", answer.text());
        let lines = dev.audit_lines().split_off(before);
        let lines: Vec<_> = lines.iter().filter(|line| line["request_id"].is_string()).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(
            (&lines[0]["action"], &lines[0]["outcome"], &lines[0]["request_id"]),
            (&json!("boot.batch"), &json!("denied"), &json!(answer.field("request_id")))
        );
    }
}
