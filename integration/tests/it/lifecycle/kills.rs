//! `kill -9` while several clients set secrets: acknowledged changes survive complete, with their audit
//! lines.
//!
//! `PETSEM_KILLS` is the number of kills (default 50); `PETSEM_SEED` repeats a run.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use getrandom::rand_core::{Rng, UnwrapErr};
use petsem_integration::dev::{Dev, flyv1};
use petsem_integration::http::{Answer, Request, exchange};
use petsem_integration::server::Server;
use petsem_server::Development;
use serde_json::{Value, json};

/// Two writers share the last app.
const WRITERS: [&str; 4] = ["kill-a", "kill-b", "kill-c", "kill-c"];
const APPS: [&str; 3] = ["kill-a", "kill-b", "kill-c"];
/// Set together, always to the same value.
const NAMES: [&str; 3] = ["FIRST", "SECOND", "THIRD"];
/// The longest life of the server in a round, in milliseconds.
const LONGEST: u64 = 400;

/// An acknowledged set.
struct Acknowledged {
    app: &'static str,
    version: u64,
    value: String,
    /// By name.
    digests: BTreeMap<String, String>,
}

#[test]
fn acknowledged_changes_survive_kills_complete_and_with_their_audit_lines() {
    let kills = from_environment("PETSEM_KILLS").unwrap_or(50);
    let seed = from_environment("PETSEM_SEED").unwrap_or_else(|| UnwrapErr(getrandom::SysRng).next_u64());
    println!("{kills} kills, seed {seed}");
    let mut random = SplitMix(seed);
    let mut dev = Dev::start();
    for app in APPS {
        dev.app(app, &json!({"history": 100}));
    }
    let mut newest: BTreeMap<&str, u64> = APPS.into_iter().map(|app| (app, 0)).collect();
    let mut acknowledged = 0;
    for round in 0..kills {
        let moment = Duration::from_millis(random.next() % LONGEST);
        let (sender, acknowledgements) = mpsc::channel();
        let writers: Vec<_> = WRITERS
            .into_iter()
            .enumerate()
            .map(|(writer, app)| {
                let (address, header, sender) = (dev.server.address(), flyv1(&dev.operator), sender.clone());
                std::thread::spawn(move || {
                    let send = |request: &Request| exchange(address, &request.to_bytes()).ok();
                    write_until_killed(app, &format!("{round}-{writer}"), &header, send, &sender);
                })
            })
            .collect();
        drop(sender);
        dev = dev.restart(|server| kill_after(server, moment)).unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        let sets: Vec<_> = acknowledgements.into_iter().collect();
        acknowledged += sets.len();
        for app in APPS {
            let version = check_app(&dev, app, sets.iter().filter(|set| set.app == app));
            assert!(version >= newest[app], "{app} went back from {} to {version}", newest[app]);
            newest.insert(app, version);
        }
        check_lines(&dev, &newest);
    }
    assert!(acknowledged > 0, "no set was acknowledged between the kills");
    let recovered = dev.audit_lines().iter().filter(|line| line["outcome"] == "recovered").count();
    println!("{acknowledged} sets acknowledged, {newest:?}, {recovered} lines recovered");
    let Dev { server, directory, .. } = dev;
    assert!(server.stop().status.success());
    assert_eq!(verified_lines(directory.path()).recovered.len(), recovered);
}

#[test]
fn a_committed_change_whose_line_was_lost_gets_a_line_marked_recovered() {
    let mut started = Some(Dev::start());
    // A checkpoint written after a set may remove its line from `unaudited`; then try again.
    let last = (1..50).find_map(|version| {
        let dev = started.take().unwrap();
        dev.set("shop", &json!({"A": version.to_string(), "B": "2"}));
        let lines = dev.audit_lines();
        let last = lines.into_iter().rfind(|line| line["action"] == "secret.update").unwrap();
        assert_eq!(last["version"], version);
        let request_id = last["request_id"].as_str().unwrap();
        let (database, audit) = (dev.database(), dev.layout().audit());
        let mut waits = false;
        let restarted = dev.restart(|server| {
            let ended = server.kill();
            waits = waits_for_its_line(&database, request_id);
            if waits {
                cut(&audit.join("audit-00000001.log"), request_id);
            }
            ended
        });
        started = Some(restarted.unwrap());
        waits.then_some(last)
    });
    let (dev, last) = (started.unwrap(), last.unwrap());
    assert_eq!(json!(dev.version("shop")), last["version"]);
    let lines = dev.audit_lines();
    let recovered: Vec<_> = lines.iter().filter(|line| line["outcome"] == "recovered").collect();
    assert_eq!(recovered.len(), 1, "{recovered:?}");
    for field in ["action", "request_id", "token", "subject", "app", "version", "secrets"] {
        assert_eq!(recovered[0][field], last[field], "{field}");
    }
    // Only once: the next start finds nothing to recover.
    let dev = dev.restart(Server::kill).unwrap();
    let again = dev.audit_lines().iter().filter(|line| line["outcome"] == "recovered").count();
    assert_eq!(again, 1);
    let Dev { server, directory, .. } = dev;
    assert!(server.stop().status.success());
    assert_eq!(verified_lines(directory.path()).recovered.len(), 1);
}

#[test]
fn a_forged_line_among_the_unaudited_ones_is_not_written_to_the_log() {
    let dev = Dev::start();
    let open = |dev: &Dev| {
        let database = rusqlite::Connection::open(dev.database()).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        database
    };
    // An authentic kept line, copied to another revision.
    let kept = (1..50).find_map(|value: u32| {
        dev.set("shop", &json!({"A": value.to_string()}));
        let query = "SELECT line FROM unaudited WHERE length(line) > 32 ORDER BY revision DESC LIMIT 1";
        open(&dev).query_row(query, [], |row| row.get::<_, Vec<u8>>(0)).ok()
    });
    let kept = kept.unwrap();
    let node = std::fs::read_to_string(dev.database().with_file_name("node.id")).unwrap();
    let node = data_encoding::HEXLOWER.decode(node.trim().as_bytes()).unwrap();
    let forged = br#"{"time_ms":1,"request_id":"x","action":"forged.action","source":null,"token":null,"ancestors":[],"subject":["forged-issuer","forged-subject"],"jti":null,"org":null,"app":null,"app_name":null,"names":null,"version":7,"machine":null,"host":null,"detail":null}"#;
    let lines = [
        forged.to_vec(),
        [&[0; 32], &forged[..]].concat(),
        [&kept[..32], &forged[..]].concat(),
        kept,
        Vec::new(),
    ];
    let ids: Vec<_> = (0..lines.len()).map(|number| [0xa0 + u8::try_from(number).unwrap(); 16]).collect();
    let dev = dev.restart(Server::stop).unwrap();
    let before = dev.audit_lines().iter().filter(|line| line["action"] == "secret.update").count();
    let database = open(&dev);
    for (number, (id, line)) in ids.iter().zip(&lines).enumerate() {
        let insert = "INSERT INTO unaudited (revision, node, request_id, line) VALUES (?1, ?2, ?3, ?4)";
        database.execute(insert, rusqlite::params![1_000_000 + number, node, id, line]).unwrap();
    }
    drop(database);
    let dev = dev.restart(Server::kill).unwrap();
    let log = dev.audit_lines();
    assert!(!dev.audit_log().contains("forged"), "a forged line is in the log");
    assert_eq!(log.iter().filter(|line| line["action"] == "secret.update").count(), before);
    for id in ids {
        let id = data_encoding::HEXLOWER.encode(&id);
        let id = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
        let line = log.iter().find(|line| line["request_id"] == id).unwrap();
        assert_eq!((&line["action"], &line["outcome"]), (&json!("unknown"), &json!("recovered")), "{line}");
        assert!(text(&line["detail"]).contains("altered in the store"), "{line}");
    }
}

/// Kills the server after `moment`, whatever it does.
fn kill_after(server: Server, moment: Duration) -> petsem_integration::server::Ended {
    let (_alive, timer) = mpsc::channel::<()>();
    let _elapsed = timer.recv_timeout(moment);
    server.kill()
}

fn write_until_killed(
    app: &'static str,
    tag: &str,
    header: &str,
    send: impl Fn(&Request) -> Option<Vec<u8>>,
    sender: &Sender<Acknowledged>,
) {
    for number in 0.. {
        let value = format!("{tag}-{number}");
        let values: serde_json::Map<_, _> =
            NAMES.iter().map(|name| ((*name).to_owned(), json!(value))).collect();
        let request = Request::new("POST", &format!("/v1/apps/{app}/secrets"))
            .authorization(header)
            .json(&json!({ "values": values }));
        let Some(answer) = send(&request).and_then(|received| Answer::parse(&received)) else { return };
        // An incomplete answer acknowledges nothing.
        let json = answer.json();
        let Some(version) = json["version"].as_u64() else { return };
        assert_eq!(answer.status, 200, "{}", answer.text());
        let digests = json["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|secret| (text(&secret["name"]), text(&secret["digest"])))
            .collect();
        if sender.send(Acknowledged { app, version, value, digests }).is_err() {
            return;
        }
    }
}

/// Checks that every acknowledged set exists and that no version is incomplete; returns the app's version.
fn check_app<'a>(dev: &Dev, app: &str, sets: impl Iterator<Item = &'a Acknowledged>) -> u64 {
    let target = format!("/v1/apps/{app}/secrets");
    let read = dev.call("GET", &format!("{target}?show_secrets=true"), &dev.reader_jwt(), None);
    assert_eq!(read.status, 200, "{}", read.text());
    let version = read.number("version");
    let json = read.json();
    let current: Vec<_> =
        json["secrets"].as_array().unwrap().iter().map(|secret| text(&secret["value"])).collect();
    assert!(current.is_empty() || current.len() == NAMES.len(), "{app}: {current:?}");
    assert!(current.iter().all(|value| *value == current[0]), "{app} is half applied: {current:?}");

    let histories: Vec<BTreeMap<u64, String>> =
        NAMES.iter().map(|name| history(dev, &target, name)).collect();
    let versions: Vec<_> = histories[0].keys().copied().collect();
    for other in &histories {
        assert_eq!(other.keys().copied().collect::<Vec<_>>(), versions, "{app}: a set is half there");
    }
    assert_eq!(versions.last().copied().unwrap_or(0), version, "{app}");
    let gapless = versions.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    assert!(gapless, "{app}: {versions:?}");
    let oldest = versions.first().copied().unwrap_or(0);
    let mut seen = BTreeMap::new();
    for set in sets {
        assert!(set.version <= version, "{app}: version {} was acknowledged and is missing", set.version);
        assert_eq!(seen.insert(set.version, &set.value), None, "{app}: version {} is two sets", set.version);
        if set.version >= oldest {
            for (name, history) in NAMES.iter().zip(&histories) {
                assert_eq!(history[&set.version], set.digests[*name], "{app} {name} {}", set.version);
            }
        }
        if set.version == version {
            assert_eq!(current[0], set.value, "{app}");
        }
    }
    version
}

fn history(dev: &Dev, target: &str, name: &str) -> BTreeMap<u64, String> {
    let answer = dev.operate("GET", &format!("{target}/{name}/history"), None);
    if answer.status == 404 {
        return BTreeMap::new();
    }
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let entries = json["history"].as_array().unwrap();
    entries.iter().map(|entry| (entry["version"].as_u64().unwrap(), text(&entry["digest"]))).collect()
}

/// Every app version has exactly one line, written when it was set, or recovered.
fn check_lines(dev: &Dev, newest: &BTreeMap<&str, u64>) {
    let mut lines: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for line in dev.audit_lines() {
        if line["action"] == "secret.update"
            && ["allowed", "recovered"].contains(&text(&line["outcome"]).as_str())
        {
            let version = line["version"].as_u64().unwrap();
            *lines.entry((text(&line["app_name"]), version)).or_default() += 1;
        }
    }
    for (app, newest) in newest {
        for version in 1..=*newest {
            let count = lines.remove(&((*app).to_owned(), version)).unwrap_or(0);
            assert_eq!(count, 1, "lines of version {version} of {app}");
        }
    }
    assert_eq!(lines, BTreeMap::new(), "lines of versions that are not there");
}

/// Whether the store still has the line of this request, which it keeps until a later commit.
fn waits_for_its_line(database: &std::path::Path, request_id: &str) -> bool {
    let database = rusqlite::Connection::open(database).unwrap();
    let kept: u64 = database
        .query_row(
            "SELECT count(*) FROM unaudited WHERE hex(request_id) = ?1",
            [request_id.replace('-', "").to_uppercase()],
            |row| row.get(0),
        )
        .unwrap();
    kept == 1
}

/// Simulates a kill between the commit and the log's fsync: removes the line of this request and everything
/// after it.
fn cut(segment: &std::path::Path, request_id: &str) {
    let mut bytes = std::fs::read(segment).unwrap();
    let at = bytes.windows(request_id.len()).position(|part| part == request_id.as_bytes()).unwrap();
    let begin = bytes[..at].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    bytes[begin..].fill(0);
    std::fs::write(segment, bytes).unwrap();
}

/// Verifies the audit log of a stopped development server.
fn verified_lines(directory: &std::path::Path) -> petsem_server::audit::Report {
    let settings = Development::at(directory).settings("127.0.0.1:0").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(petsem_server::verify_audit(&settings)).unwrap()
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// SplitMix64: the same seed repeats the moments of a run.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
