//! The result of Prometheus' own linter for `/metrics`, and the values on the page.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::http::Request;

#[test]
fn promtool_accepts_the_metrics_and_each_answered_route_has_its_latencies() {
    let dev = Dev::start_in_memory();
    let address = dev.server.address();
    let listed = Request::new("GET", "/v1/orgs").authorization(&flyv1(&dev.operator)).send(address);
    assert_eq!(listed.status, 200);
    assert_eq!(Request::new("GET", "/v1/apps/shop").send(address).status, 401);
    let page = Request::new("GET", "/metrics").send(address).text();

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let promtool = target.join("tools/promtool");
    assert!(promtool.exists(), "{} does not exist: run ./test once, which fetches it", promtool.display());
    let mut linter = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    linter.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = linter.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&said).as_ref()), (Some(0), ""), "{page}");

    for line in [
        "petsem_request_duration_seconds_count{method=\"GET\",route=\"/v1/orgs\"} 1",
        "petsem_request_duration_seconds_count{method=\"GET\",route=\"/v1/apps/{app}\"} 1",
        "petsem_refused_total{status=\"token_missing\"} 1",
        concat!("petsem_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "petsem_ready 1",
        "petsem_sealed 0",
    ] {
        assert!(page.lines().any(|had| had == line), "{line} is missing in:\n{page}");
    }
}
