//! Arrows point inward: each crate depends on what the design lets it know, and on nothing else of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The last column of the design's table of crates. `policy` without `evaluate` is a row of its own below.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("petsem-keys", &[]),
    ("petsem-outbound", &[]),
    ("petsem-seals", &["petsem-keys", "petsem-outbound"]),
    ("petsem-policy", &[]),
    ("petsem-api", &[]),
    ("petsem-store", &["petsem-api"]),
    ("petsem-client", &["petsem-api", "petsem-keys", "petsem-policy", "petsem-outbound"]),
    ("petsem-audit", &["petsem-keys", "petsem-api"]),
    ("petsem-engine", &["petsem-keys", "petsem-policy", "petsem-store", "petsem-audit", "petsem-api"]),
    (
        "petsem-server",
        &[
            "petsem-engine",
            "petsem-audit",
            "petsem-seals",
            "petsem-store",
            "petsem-api",
            "petsem-policy",
            "petsem-outbound",
        ],
    ),
    ("petsem", ALL),
    ("petsem-integration", ALL),
];
const ALL: &[&str] = &[
    "petsem-keys",
    "petsem-outbound",
    "petsem-seals",
    "petsem-policy",
    "petsem-store",
    "petsem-audit",
    "petsem-engine",
    "petsem-api",
    "petsem-client",
    "petsem-server",
];
/// Parts of tests. The init inside test VMs stands where a Machine's own code does: it links the client alone. What
/// the seals are tested against knows nothing of petsem.
const TESTS: [(&str, &[&str]); 2] = [("petsem-guest", &["petsem-client"]), ("petsem-counterparts", &[])];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The normal dependencies of every package on packages of ours, with the features that they ask for.
fn dependencies() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let metadata = metadata();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |package: &Value| {
        package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            // `kind` is null for normal dependencies, and `path` there for ours alone.
            .filter(|dependency| dependency["kind"].is_null() && dependency["path"].is_string())
            .map(|dependency| {
                let features = dependency["features"].as_array().unwrap().iter().map(text).collect();
                (text(&dependency["name"]), features)
            })
            .collect()
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["name"]), of(package)))
        .collect()
}

#[test]
fn each_crate_uses_only_what_the_design_lets_it_know() {
    let dependencies = dependencies();
    let may_use: BTreeMap<_, _> = MAY_USE.into_iter().chain(TESTS).collect();
    let known: BTreeSet<_> = may_use.keys().copied().collect();
    let there: BTreeSet<_> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(there, known, "a crate without a row in the design's table, or a row without a crate");
    for (package, uses) in &dependencies {
        let may: BTreeSet<&str> = may_use[package.as_str()].iter().copied().collect();
        let uses: BTreeSet<&str> = uses.keys().map(String::as_str).collect();
        assert_eq!(uses.difference(&may).collect::<Vec<_>>(), Vec::<&&str>::new(), "{package}");
    }
}

/// ring wipes nothing that it holds, so no key may reach it (design §5). Other crates may hash and verify with it.
#[test]
fn keys_does_not_depend_on_ring() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "petsem-keys", "--edges", "normal", "--all-features", "--target", "all"])
        .args(["--prefix", "none", "--format", "{p}", "--offline", "--locked"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(packages.contains("aes-gcm"), "the tree has none of the known dependencies: {packages:?}");
    assert!(!packages.contains("ring"), "{packages:?}");
}

#[test]
fn the_client_links_no_policy_evaluation() {
    let dependencies = dependencies();
    assert_eq!(dependencies["petsem-client"]["petsem-policy"], Vec::<String>::new());
    let metadata = metadata();
    let policy = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == "petsem-policy")
        .unwrap();
    let default = policy["features"]["default"].as_array().cloned().unwrap_or_default();
    assert_eq!(default, Vec::<Value>::new(), "`evaluate` must not be on by default");
}
