//! Disks that fill up are reported before writes fail.

use petsem_integration::installation::{CONFIGURATION, Installation};
use petsem_integration::seals::{assert_open, done, get, operator, status};
use serde_json::Value;

/// What is said of each directory.
const SAID: [(&str, &str); 2] = [
    ("the disk of the data directory ", "changes are refused with `store_full`"),
    ("the disk of the audit log ", "every request and boot is refused with `audit_full`"),
];

fn assert_warns(texts: &[Value]) {
    for (disk, consequence) in SAID {
        let text = texts.iter().filter_map(Value::as_str).find(|text| text.contains(disk));
        assert!(text.is_some_and(|text| text.contains(consequence)), "{texts:?}");
    }
}

#[test]
fn a_disk_with_little_space_is_reported_everywhere_and_is_no_reason_not_to_be_ready() {
    let installation = Installation::made();
    let quiet = format!("{CONFIGURATION}\n[disk]\nwarn_below_mib = 0\n");
    installation.configure(&quiet);
    let server = installation.start().unwrap();
    let seen = status(&installation);
    let disks = seen["disks"].as_array().unwrap();
    let holds: Vec<_> =
        disks.iter().map(|disk| (disk["holds"].as_str().unwrap(), &disk["is_short"])).collect();
    assert_eq!(holds, [("data", &Value::Bool(false)), ("audit", &Value::Bool(false))]);
    assert!(disks.iter().all(|disk| disk["free_bytes"].as_u64().is_some_and(|free| free > 0)), "{seen}");
    assert!(!seen["problems"].to_string().contains("the disk of"), "{seen}");
    assert_eq!(get(&server, "/readyz").json().get("warnings"), None);
    assert!(server.stop().status.success());

    installation.configure(&quiet.replace("mib = 0", "mib = 1073741824"));
    let stopped = status(&installation);
    assert_warns(stopped["problems"].as_array().unwrap());
    let server = installation.start().unwrap();
    assert_open(&installation, &server);
    let ready = get(&server, "/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert_warns(ready.json()["warnings"].as_array().unwrap());
    for (disk, consequence) in SAID {
        assert!(server.printed_line(disk).contains(consequence), "{}", server.printed());
    }
    let metrics = get(&server, "/metrics").text();
    for holds in ["data", "audit"] {
        assert!(metrics.contains(&format!("petsem_disk_free_bytes{{holds=\"{holds}\"}} ")), "{metrics}");
    }
    let seen = status(&installation);
    assert_eq!((&seen["state"], &seen["ready"]), (&Value::from("open"), &Value::Bool(true)));
    assert_warns(seen["problems"].as_array().unwrap());
    let shown = operator(&installation, &["status"], &[]);
    assert!(done(&shown).contains(" MiB free: SHORT"), "{}", shown.printed);
}
