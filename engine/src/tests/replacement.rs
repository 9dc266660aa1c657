//! The replacement of all keys after a seal was compromised.

use petsem_api::{AppId, MachineId, OrgId, RotateSigningKey, SigningKeyId};
use petsem_keys::{DischargerKey, Keyring};
use petsem_store::{Record, RecordKind};

use crate::control::state::NoKey;
use crate::engine::Engine;
use crate::entropy;
use crate::keyring::replacement::audit_keys::nodes_with_old_keys;
use crate::keyring::replacement::row_macs::{RowMacs, check_control_state, replace_row_macs, row_macs};
use crate::keyring::state::owned;
use crate::lab::{Lab, StoppedLab};
use crate::records::{
    DischargerRow, FeedRow, OrgNameRow, ReplacementCause, ReplacementRow, SigningKeyRow, StoreRow, expect,
};
use crate::request::local_record;

/// An installation with an org, and a control state of several pages, whose removal of a seal has begun.
async fn begun() -> Lab {
    let lab = Lab::new().await;
    let engine = &lab.engine;
    let mut audit = local_record(engine.now(), "test");
    engine.make_org(&mut audit, &"acme".parse().unwrap()).await.unwrap();
    let at = engine.now().millis();
    for batch in 0..5_u32 {
        let host = |number| format!("host-{batch}-{number}").parse().unwrap();
        let revoked: Vec<FeedRow> =
            (0..64).map(|number| FeedRow::HostRevoked { host: host(number), at }).collect();
        engine.commit_control(&mut audit, &revoked, |_| {}).await.unwrap();
    }
    assert!(engine.store.count(RecordKind::ControlPage).await.unwrap() > 8);
    let store = engine.store_row().await.unwrap();
    let replacement = Some(ReplacementRow {
        cause: ReplacementCause::Seal { id: "00".repeat(16), description: "a lost seal".to_owned() },
        keyring_version: store.content.keyring_version,
        old_row_mac_key: Vec::new(),
        dischargers: Vec::new(),
    });
    let content = StoreRow { replacement, ..store.content };
    let feed = [FeedRow::StoreSet { version: store.version + 1, at }];
    engine
        .commit_control(&mut audit, &feed, |change| {
            change.expects.push(expect::<StoreRow>(&[], store.version));
            change.puts.push(engine.codec.write(&[], store.version + 1, &content));
        })
        .await
        .unwrap();
    lab
}

async fn is_revoked(engine: &Engine, host: &str) -> bool {
    let (app, machine): (_, MachineId) = (AppId::from_bytes([1; 16]), "m-1".parse().unwrap());
    engine.control().is_boot_revoked(&host.parse().unwrap(), app, &machine).await.unwrap()
}

async fn signing_keys(engine: &Engine) -> Vec<(SigningKeyId, Option<OrgId>)> {
    let rows = engine.rows::<SigningKeyRow>(100).await.unwrap();
    rows.into_iter().map(|(id, row)| (id, row.content.org)).collect()
}

/// Gives up after the work was polled this often, as a kill does.
async fn polled<T>(times: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut left = times;
    let end = std::future::poll_fn(move |_| {
        left = left.saturating_sub(1);
        if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    tokio::select! {
        biased;
        done = work => Some(done),
        () = end => None,
    }
}

async fn replaced_row_macs(lab: &StoppedLab) {
    let unlocked = lab.unlocked().await;
    assert_eq!(replace_row_macs(&*lab.store, &unlocked, lab.node, &|_, _, _| {}).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_has_a_mac_by_the_old_key_and_the_control_state_is_the_same() {
    let lab = begun().await;
    let before = signing_keys(&lab.engine).await;
    let lab = lab.stopped().await;
    let old = lab.unlocked().await.codec;
    check_control_state(&*lab.store, &lab.unlocked().await).await.unwrap();
    let lab = lab.started().await;
    lab.engine.begin_replacement().await.unwrap();
    let lab = lab.stopped().await;
    assert_eq!(row_macs(&*lab.store, &lab.unlocked().await).await.unwrap(), RowMacs::Begun);
    replaced_row_macs(&lab).await;
    let unlocked = lab.unlocked().await;
    assert_eq!(row_macs(&*lab.store, &unlocked).await.unwrap(), RowMacs::New);
    for kind in RecordKind::ALL {
        for record in lab.store.records(kind, &[], None, 1000).await.unwrap() {
            assert!(!old.has_new_mac(&record) && unlocked.codec.has_new_mac(&record), "{kind}");
        }
    }
    assert_eq!(nodes_with_old_keys(&*lab.store, &unlocked).await.unwrap(), [lab.node]);
    let lab = lab.with_new_chain().await;
    let engine = &lab.engine;
    assert!(is_revoked(engine, "host-4-63").await && !is_revoked(engine, "host-5-0").await);
    let done = engine.replace_keys(&|_, _, _| {}).await.unwrap();
    assert_eq!((done.keyring_version, done.rewrapped, done.dischargers.len()), (2, true, 0));
    for (key, _) in before {
        assert!(matches!(engine.control().signing_key(key.as_bytes()).await, Err(NoKey::Revoked)));
    }
    let left = engine.store_row().await.unwrap().content.replacement;
    assert_eq!(left.map(|row| row.cause), None);
    let report = lab.restarted().await.verified().await;
    assert!(report.is_good(), "{report:?}");
}

#[tokio::test]
async fn a_kill_while_rows_get_new_macs_is_continued() {
    let lab = begun().await;
    lab.engine.begin_replacement().await.unwrap();
    let lab = lab.stopped().await;
    let mut kills = 0;
    loop {
        let unlocked = lab.unlocked().await;
        let work = replace_row_macs(&*lab.store, &unlocked, lab.node, &|_, _, _| {});
        // A change that the kill left under way may still be committed, so that the next one is refused.
        match polled(3, work).await {
            Some(Ok(faults)) => {
                assert_eq!(faults, 0);
                break;
            }
            Some(Err(_)) | None => kills += 1,
        }
        // Each attempt does a part, as soon as the writer gets to it.
        assert!(kills < 100_000);
    }
    assert!(kills > 0);
    let lab = lab.with_new_chain().await;
    assert!(is_revoked(&lab.engine, "host-0-0").await);
    lab.engine.replace_keys(&|_, _, _| {}).await.unwrap();
    let report = lab.restarted().await.verified().await;
    assert!(report.is_good(), "{report:?}");
}

#[tokio::test]
async fn a_row_without_a_valid_mac_stays_refused() {
    let lab = begun().await;
    lab.engine.begin_replacement().await.unwrap();
    let mut change = lab.engine.change_without_line();
    let org = lab.store_record(RecordKind::OrgName, b"acme").await;
    change.puts.push(Record { mac: vec![7; 32], ..org.clone() });
    lab.engine.store.commit(change).await.unwrap();
    let lab = lab.stopped().await;
    let unlocked = lab.unlocked().await;
    assert_eq!(replace_row_macs(&*lab.store, &unlocked, lab.node, &|_, _, _| {}).await.unwrap(), 1);
    let unlocked = lab.unlocked().await;
    let record = lab.store.record(RecordKind::OrgName, b"acme").await.unwrap().unwrap();
    assert_eq!(record, Record { mac: vec![7; 32], ..org });
    let read = unlocked.codec.read::<OrgNameRow>(b"acme", &record);
    let error = read.map(drop).unwrap_err().to_string();
    assert!(
        error.contains("row 61636d65 does not hold") && error.contains("its MAC does not fit"),
        "{error}"
    );
}

#[tokio::test]
async fn a_change_that_the_feed_lacks_ends_the_replacement_with_its_number() {
    let lab = begun().await;
    lab.engine.begin_replacement().await.unwrap();
    let lab = lab.stopped().await;
    // As a thief of the store writes it: the last change is gone, and another one follows.
    let database = rusqlite::Connection::open(lab.database()).unwrap();
    let sql = "UPDATE feed SET number = number + 1 WHERE number = (SELECT max(number) FROM feed)";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    let last: u64 = database.query_row("SELECT max(number) FROM feed", [], |row| row.get(0)).unwrap();
    drop(database);
    let unlocked = lab.unlocked().await;
    let replaced = replace_row_macs(&*lab.store, &unlocked, lab.node, &|_, _, _| {}).await;
    let missing = last - 1;
    assert_eq!(
        replaced.unwrap_err().to_string(),
        format!(
            "the control change row {missing:016x} does not hold what was written to it (it is missing); restore it \
             from a backup, and check who can write to the database"
        )
    );
}

#[tokio::test]
async fn a_store_row_that_names_the_old_row_mac_key_does_not_open() {
    let lab = begun().await;
    let old = lab.engine.store_row().await.unwrap().content;
    lab.engine.begin_replacement().await.unwrap();
    let during = lab.engine.store_row().await.unwrap();
    // Under an older version of the keyring, and in the place of the current key.
    for key in [old.row_mac_key, during.content.replacement.as_ref().unwrap().old_row_mac_key.clone()] {
        let store = lab.engine.store_row().await.unwrap();
        let content = StoreRow { row_mac_key: key, replacement: None, ..store.content };
        let mut change = lab.engine.change_without_line();
        // Its MAC is by the old key, which the thief knows.
        change.puts.push(lab.engine.codec.write(&[], store.version, &content));
        lab.engine.store.commit(change).await.unwrap();
        let refused = lab.opens().await.unwrap_err();
        assert!(refused.contains("row-MAC key"), "{refused}");
        let mut change = lab.engine.change_without_line();
        change.puts.push(lab.engine.codec.write(&[], during.version, &during.content));
        lab.engine.store.commit(change).await.unwrap();
        assert_eq!(lab.opens().await, Ok(()));
    }
}

#[tokio::test]
async fn every_owner_has_one_new_signing_key_and_the_own_discharger_a_new_key() {
    let lab = begun().await;
    let engine = &lab.engine;
    let (now, mut audit) = (engine.now(), local_record(engine.now(), "test"));
    let subject = petsem_policy::Subject { issuer: "test".to_owned(), sub: "kim".to_owned() };
    let token = engine.mint_first_token(&mut audit, subject, 3600, now).await.unwrap();
    let header = format!("FlyV1 {}", token.token);
    let principal = engine.authenticate(Some(&header), &mut audit).await.unwrap();
    engine.rotate_signing_key(&mut audit, &principal, &RotateSigningKey { org: None }, now).await.unwrap();
    // An outside discharger of the platform.
    let (keyring, id) = (engine.keyring(), [9; 16]);
    let key = DischargerKey::generate(&mut entropy::rng());
    let wrapped = keyring.wrap(&mut entropy::rng(), &key, &owned(engine.store_id, id, None)).unwrap();
    let row = DischargerRow {
        location: "https://auth.example".to_owned(),
        org: None,
        wrapped,
        created_at: now.millis(),
    };
    let feed = [FeedRow::DischargerSet { discharger: "09".repeat(16), version: 1, at: now.millis() }];
    engine
        .commit_control(&mut audit, &feed, |change| change.puts.push(engine.codec.write(&id, 1, &row)))
        .await
        .unwrap();
    let before = signing_keys(engine).await;
    assert_eq!(before.len(), 3, "two of the platform, one of the org");
    engine.begin_replacement().await.unwrap();
    let lab = lab.stopped().await;
    replaced_row_macs(&lab).await;
    let lab = lab.with_new_chain().await;
    let engine = &lab.engine;
    let done = engine.replace_keys(&|_, _, _| {}).await.unwrap();
    let locations: Vec<_> = done.dischargers.iter().map(|ended| ended.location.as_str()).collect();
    assert_eq!(locations, ["https://auth.example"]);
    let control = engine.control();
    let mut owners = Vec::new();
    for (key, org) in signing_keys(engine).await {
        let is_old = before.iter().any(|(old, _)| *old == key);
        assert_eq!(control.is_key_revoked(key).await.unwrap(), is_old);
        if !is_old {
            assert!(control.is_current_key(key).await.unwrap());
            owners.push(org);
        }
    }
    owners.sort_unstable();
    assert!(matches!(owners.as_slice(), [None, Some(_)]), "{owners:?}");
    let [own] = control.dischargers() else { panic!("{} dischargers", control.dischargers().len()) };
    assert!(engine.is_own(own));
    let row = engine.row::<DischargerRow>(&own.id).await.unwrap().unwrap();
    assert_eq!(Keyring::version_of(&row.content.wrapped).unwrap(), 2);
    // Once more: nothing is left to replace.
    let keys = signing_keys(engine).await;
    let again = engine.replace_keys(&|_, _, _| {}).await.unwrap_err();
    assert_eq!(again.operator_text(), "no replacement of keys has begun; nothing was changed");
    assert_eq!(signing_keys(engine).await, keys);
}
