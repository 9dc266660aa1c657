//! The server does what its OpenAPI document states, and the document states all that the server enforces. schemathesis
//! makes requests that the document allows and requests that it forbids, and compares each response with the document.

use std::path::{Path, PathBuf};
use std::process::Command;

use petsem_integration::dev::{Dev, flyv1};

/// Generated cases per route, about a minute in all. The soak sets `PETSEM_DESCRIPTION_SECONDS` instead.
const EXAMPLES: &str = "20";

#[test]
fn schemathesis_finds_no_difference_between_server_and_document() {
    let dev = Dev::start_in_memory();
    let soak = std::env::var("PETSEM_DESCRIPTION_SECONDS");
    // Chains of requests depend on random ids, so only the soak follows them.
    let extent = match &soak {
        Ok(seconds) => ["--phases", "examples,coverage,fuzzing,stateful", "--max-time", seconds],
        Err(_) => ["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES],
    };
    let report = tempfile::tempdir().unwrap();
    let output = Command::new(schemathesis())
        .current_dir(report.path())
        .arg("--config-file")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis.toml"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", dev.server.address()))
        .args(["--header", &format!("Authorization: {}", flyv1(&dev.operator))])
        .args(extent)
        // It would end the server.
        .args(["--exclude-path", "/v1/operator/seal"])
        .args(["--seed", "4711", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    // The failures come last, where a shortened log still shows them.
    let (_, failures) = said.split_once("= FAILURES =").unwrap_or(("", &said));
    let (failures, _) = failures.split_once("= WARNINGS =").unwrap_or((failures, ""));
    assert!(output.status.success(), "{}\n{failures}", String::from_utf8_lossy(&output.stderr));
}

fn schemathesis() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let schemathesis = target.join("python/bin/schemathesis");
    assert!(
        schemathesis.exists(),
        "{} does not exist: run ./test once, which installs it, or\n  python3 -m venv {target}/python && \
         {target}/python/bin/pip install -r integration/test-requirements.txt",
        schemathesis.display(),
        target = target.display()
    );
    schemathesis
}
