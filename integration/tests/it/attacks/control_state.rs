//! Write access to the stored control state: pages of two states, older states, heads from before a floor.

use petsem_server::Development;
use rusqlite::Connection;
use serde_json::json;

use super::tampering::{EVERY, Saved, Victim, kind, put, revoke_machine};

#[test]
fn an_older_head_is_refused_by_a_freshly_started_node_if_something_was_taken_away_since() {
    let victim = Victim::new();
    let rule = |name: &str| {
        let (claims, secrets) = (json!({"sub": "developer"}), json!({"prefixes": [""]}));
        json!({"name": name, "issuer": Development::ISSUER, "claims": claims, "actions": ["read_value"],
            "secrets": secrets})
    };
    let set = |rules: serde_json::Value| {
        let policy = json!({"policy": {"format": 1, "rules": rules}});
        assert_eq!(victim.dev.own("PUT", "/v1/apps/shop/policy", Some(&policy)).status, 200);
    };
    let changes = || -> i64 {
        victim.database().query_row("SELECT max(number) FROM feed", [], |row| row.get(0)).unwrap()
    };
    // A policy that keeps each rule takes nothing away, whatever their order.
    let start = changes();
    set(json!([rule("one")]));
    assert_eq!(changes(), start + 1, "the first rules are gone");
    set(json!([rule("two"), rule("one")]));
    assert_eq!(changes(), start + 1);
    let rows = [victim.row(kind::APP_HEAD, &victim.shop), victim.row(kind::POLICY, &victim.shop)];
    set(json!([rule("two")]));
    assert_eq!(changes(), start + 2);
    let put_back = |database: &Connection| rows.iter().for_each(|row| put(database, row));
    let Ok(victim) = victim.restart_changed(put_back) else { panic!("the rows of one app stop a start") };
    victim.notices("the head before", EVERY, "an older version of it was put back");
}

/// Saves the pages of the control state.
fn pages(victim: &Victim) -> Vec<Saved> {
    let database = victim.database();
    let mut ids = database.prepare("SELECT id FROM records WHERE kind = ?1").unwrap();
    let ids: Vec<Vec<u8>> =
        ids.query_map([kind::CONTROL_PAGE], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    ids.iter().map(|id| victim.row(kind::CONTROL_PAGE, id)).collect()
}

fn revoke_others(victim: &Victim, machines: std::ops::Range<u32>) {
    for number in machines {
        let what = json!({"machine": {"app": "shop", "machine": format!("other-{number}")}});
        assert_eq!(victim.dev.operate("POST", "/v1/revocations", Some(&what)).status, 201);
    }
}

#[test]
fn pages_of_two_control_states_are_not_mixed() {
    let victim = Victim::new();
    // So many that each page below the top has some.
    revoke_others(&victim, 0..300);
    let before = pages(&victim);
    assert!(before.len() > 2, "the state has several pages");
    revoke_machine(&victim);
    let after = pages(&victim);
    // The entry of the app, which counts its revoked Machines, may be in another page.
    let machines = |page: &Saved| String::from_utf8_lossy(&page.content).matches("\"machine\":").count();
    let lacks =
        |page: &&Saved| after.iter().any(|other| other.id == page.id && machines(other) > machines(page));
    let changed: Vec<_> = before.iter().filter(|page| !page.id.is_empty()).filter(lacks).collect();
    let [page] = changed.as_slice() else { panic!("{} pages below the top changed", changed.len()) };
    // The running node has the page in memory, under its MAC.
    victim.put(page);
    assert_eq!(victim.boot().outcome(), (401, "revoked".to_owned()));
    match victim.restart_changed(|database| put(database, page)) {
        // What needs an entry of that page is refused; a start needs one if the platform's signing key is there.
        Ok(victim) => {
            let refused = victim.boot();
            assert_eq!(refused.outcome(), (500, "integrity".to_owned()), "{}", refused.text());
            let line = victim.dev.server.printed_line(&refused.field("request_id"));
            assert!(line.contains("the control page row"), "{line}");
        }
        Err(ended) => assert!(ended.printed.contains("the control page row"), "{}", ended.printed),
    }
}

#[test]
fn a_server_does_not_start_on_an_older_control_state_or_a_forged_page() {
    for what in ["page", "page and directory", "floor"] {
        let victim = Victim::new();
        let (page, directory) =
            (victim.row(kind::CONTROL_PAGE, &[]), victim.row(kind::CONTROL_DIRECTORY, &[]));
        let none = json!({"policy": {"format": 1, "rules": []}});
        assert_eq!(victim.dev.own("PUT", "/v1/apps/shop/policy", Some(&none)).status, 200);
        let now = victim.row(kind::CONTROL_PAGE, &[]);
        let forged = String::from_utf8_lossy(&now.content).replace("\"floor\":", "\"floor\":0");
        let forged = Saved { content: forged.into_bytes(), ..now.clone() };
        let row = "the control page row";
        let tamper = |database: &Connection| match what {
            "page" => put(database, &page),
            "page and directory" => [&page, &directory].into_iter().for_each(|row| put(database, row)),
            _ => put(database, &forged),
        };
        victim.does_not_start(what, tamper, &[row, "restore it from a backup"]);
    }
}

#[test]
fn a_server_does_not_start_on_a_control_state_from_before_a_guard() {
    let victim = Victim::new();
    let before = [victim.row(kind::CONTROL_PAGE, &[]), victim.row(kind::CONTROL_DIRECTORY, &[])];
    let guard = json!({"guard_policies": true});
    assert_eq!(victim.dev.operate("PUT", "/v1/orgs/demo/guard", Some(&guard)).status, 200);
    let put_back = |database: &Connection| before.iter().for_each(|row| put(database, row));
    victim.does_not_start("a guard", put_back, &["the control page row", "restore it from a backup"]);
}
