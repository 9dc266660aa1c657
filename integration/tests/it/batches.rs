//! A batch whose answers would be larger than a node wants to hold.

use petsem_integration::dev::{Dev, flyv1};
use serde_json::{Value, json};

#[test]
fn a_batch_that_would_be_too_large_is_answered_in_part_and_the_rest_is_told_to_come_again() {
    const MACHINES: usize = 70;
    const MOST: usize = 48 * 1024 * 1024;
    let dev = Dev::start();
    // As much as one app may have: 1 MiB.
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
