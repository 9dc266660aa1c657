//! Several people give the shares of a seal, one at a time, from several terminals on the node.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use petsem_integration::dev::flyv1;
use petsem_integration::http::Request;
use petsem_integration::installation::Installation;
use petsem_integration::pause;
use petsem_integration::seals::{KEY_FILE, configured};
use petsem_integration::seals::{done, id_of, init, operator, private, refused, seal_the_server, status};
use petsem_integration::server::{Ended, Server, run};

use super::seals::{BY_SHARES, by_shares};

/// A command that gathers shares, in its own terminal.
struct Gathering {
    child: Child,
    printed: PathBuf,
}

impl Gathering {
    /// Starts the command, and waits until it gathers.
    fn start(installation: &Installation, arguments: &[&str]) -> Self {
        Self::start_with(installation, arguments, "gathering.log")
    }

    fn start_with(installation: &Installation, arguments: &[&str], log: &str) -> Self {
        let arguments: Vec<&str> = ["operator"].into_iter().chain(arguments.iter().copied()).collect();
        Self::run(installation.with_configuration(&arguments), installation.path(log))
    }

    fn run(mut command: Command, printed: PathBuf) -> Self {
        let file = File::create(&printed).unwrap();
        command.arg("--gather-shares").stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let gathering = Self { child: command.spawn().unwrap(), printed };
        gathering.wait_for("gathers shares");
        gathering
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.printed).unwrap()
    }

    fn wait_for(&self, text: &str) {
        for _ in 0..600 {
            if self.printed().contains(text) {
                return;
            }
            pause(Duration::from_millis(50));
        }
        panic!("no {text:?} in {}", self.printed());
    }

    /// Its output, after it ended well.
    fn done(mut self) -> String {
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{}", self.printed());
        self.printed()
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        // It has ended already or ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn give(installation: &Installation, share: &Path) -> Ended {
    operator(installation, &["share"], &[("--share-file", share)])
}

/// An installation with a key file and shares, and its shares.
fn with_shares() -> (Installation, Vec<PathBuf>) {
    let installation = configured(&format!("{KEY_FILE}{BY_SHARES}"));
    let directory = installation.path("shares");
    std::fs::create_dir(&directory).unwrap();
    done(&init(&installation, &[("--shares-directory", &directory)]));
    let shares = (1..=3).map(|number| directory.join(format!("share-{number}"))).collect();
    (installation, shares)
}

/// Moves the key file away: only shares open the store then.
fn without_key_file(installation: &Installation) {
    std::fs::rename(installation.path("seal.key"), installation.path("away.key")).unwrap();
}

fn lists_orgs(server: &Server, token: &Path) -> u16 {
    let token = std::fs::read_to_string(token).unwrap();
    Request::new("GET", "/v1/orgs").authorization(&flyv1(token.trim())).send(server.address()).status
}

#[test]
fn two_people_give_their_shares_for_a_token_while_the_server_runs() {
    let (installation, shares) = with_shares();
    let server = installation.start().unwrap();
    without_key_file(&installation);
    let token = installation.path("second.token");
    let out = token.to_str().unwrap();
    let gathering =
        Gathering::start(&installation, &["recover", "--operator", "lee@example.com", "--out", out]);
    // Whoever is asked sees which command it is, who runs it, and how long it waits.
    let shown = operator(&installation, &["share", "--show"], &[]);
    for text in [
        "operator recover --operator lee@example.com",
        "(user ",
        "any 2 of the 3 shares",
        "2 more are missing",
        "open until 2",
    ] {
        assert!(done(&shown).contains(text), "{text}: {}", shown.printed);
    }
    assert!(done(&give(&installation, &shares[2])).contains("1 more is missing"));
    gathering.wait_for("share 3 was given at");
    // What is no share, was given already, or is another store's changes nothing, and ends nothing.
    let (_other, others) = by_shares();
    let nonsense = private(&installation, "nonsense", "hello\n");
    for (share, text) in
        [(&nonsense, "a share has 90"), (&shares[2], "share 3 was given already"), (&others[0], "set")]
    {
        refused(&give(&installation, share), &[text]);
    }
    gathering.wait_for("a share was refused: share 3 was given already");
    let shown = operator(&installation, &["share", "--show"], &[]);
    assert!(done(&shown).contains("share 3 was given at") && shown.printed.contains("1 more is missing"));
    assert!(done(&give(&installation, &shares[0])).contains("was the last one"));
    let printed = gathering.done();
    assert!(printed.contains("the operator's token is in"), "{printed}");
    assert_eq!(lists_orgs(&server, &token), 200);
    // Nothing of it is left.
    assert!(operator(&installation, &["share", "--show"], &[]).printed.contains("no command gathers shares"));
    let log = petsem_integration::dev::audit_log(&installation.path("data/audit"));
    let stopped = server.stop();
    for share in shares.iter().map(|share| std::fs::read_to_string(share).unwrap()) {
        for text in [&printed, &log, &stopped.printed] {
            assert!(!text.contains(share.trim()));
        }
    }
}

#[test]
fn shares_are_gathered_for_an_owner_an_approval_and_an_unsealing() {
    let (installation, shares) = with_shares();
    let server = installation.start().unwrap();
    without_key_file(&installation);
    let call = |target: &str, body: serde_json::Value| {
        let request =
            Request::new("POST", target).authorization(&flyv1(&installation.operator())).json(&body);
        request.send(server.address())
    };
    assert_eq!(call("/v1/orgs", serde_json::json!({"name": "acme"})).status, 201);
    let asked = call("/v1/enrollments", serde_json::json!({"hosts": ["h-1"], "reason": "new"}));
    assert_eq!(asked.status, 202, "{}", asked.text());
    let owner = installation.path("acme.token");
    let owner = owner.to_str().unwrap();
    let owns = ["owner", "--org", "acme", "--owner", "grace@example.com", "--out", owner];
    for (arguments, text) in
        [(&owns[..], "the owner's token is in"), (&["approve", &asked.field("id")], "approved")]
    {
        let gathering = Gathering::start(&installation, arguments);
        done(&give(&installation, &shares[0]));
        done(&give(&installation, &shares[1]));
        let printed = gathering.done();
        assert!(printed.contains(text), "{printed}");
    }
    done(&seal_the_server(&installation, &server));
    let gathering = Gathering::start(&installation, &["unseal"]);
    done(&give(&installation, &shares[1]));
    done(&give(&installation, &shares[2]));
    assert!(gathering.done().starts_with("note: petsem operator unseal"));
    assert_eq!(status(&installation)["state"], "open");
}

#[test]
fn attempts_do_not_occupy_each_other_and_other_users_reach_none() {
    let (installation, shares) = with_shares();
    let server = installation.start().unwrap();
    let seal = id_of(&installation, "seal.key");
    without_key_file(&installation);
    let first = Gathering::start_with(&installation, &["audit", "verify"], "first.log");
    let second = Gathering::start_with(&installation, &["seal", "list"], "second.log");
    // With two, one must be named.
    refused(&give(&installation, &shares[0]), &["attempt ", "--attempt ID"]);
    let shown = operator(&installation, &["share", "--show"], &[]).printed;
    let ids: Vec<&str> =
        shown.lines().filter_map(|line| line.strip_prefix("attempt ")?.split(':').next()).collect();
    assert_eq!(ids.len(), 2, "{shown}");
    // Another user of the machine: the directory keeps it out.
    let socket = installation.path(&format!("data/shares-{}.sock", ids[0]));
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups", "test", "-e"]).arg(&socket);
    assert!(socket.exists() && !run(stranger).status.success());
    for id in &ids {
        for share in &shares[..2] {
            let mut command = installation.with_configuration(&["operator", "share", "--attempt", id]);
            command.arg("--share-file").arg(share);
            done(&run(command));
        }
    }
    assert!(first.done().contains("the audit log is intact"));
    assert!(second.done().contains(&seal[..8]));
    assert!(server.stop().status.success());
}

#[test]
fn an_attempt_that_was_killed_is_not_in_the_way() {
    let (installation, shares) = with_shares();
    without_key_file(&installation);
    let killed = Gathering::start(&installation, &["audit", "verify"]);
    done(&give(&installation, &shares[0]));
    drop(killed);
    assert!(operator(&installation, &["share", "--show"], &[]).printed.contains("no command gathers shares"));
    refused(&give(&installation, &shares[1]), &["no command gathers shares on this node", "--gather-shares"]);
    let gathering = Gathering::start(&installation, &["audit", "verify"]);
    // The share that the killed one had is gone.
    assert!(done(&give(&installation, &shares[1])).contains("1 more is missing"));
    done(&give(&installation, &shares[2]));
    assert!(gathering.done().contains("the audit log is intact"));
}

#[test]
fn nobody_is_asked_for_shares_that_nothing_needs() {
    let (installation, _) = with_shares();
    let gather = |arguments: &[&str]| {
        let arguments: Vec<&str> =
            ["operator"].iter().chain(arguments).copied().chain(["--gather-shares"]).collect();
        let mut command = installation.with_configuration(&arguments);
        command.stdin(Stdio::null());
        done(&run(command)).to_owned()
    };
    let said = gather(&["audit", "verify"]);
    assert!(said.contains("note: no shares are needed: key file ") && said.contains("is intact"), "{said}");
    let server = installation.start().unwrap();
    let said = gather(&["unseal"]);
    assert!(said.starts_with("the server is already unsealed: key file "), "{said}");
    done(&seal_the_server(&installation, &server));
    let said = gather(&["unseal"]);
    assert!(said.contains("unsealed by key file "), "{said}");
    assert_eq!(status(&installation)["state"], "open");
}

#[test]
fn a_store_without_shares_gathers_none() {
    let installation = Installation::made();
    without_key_file(&installation);
    let mut command = installation.with_configuration(&["operator", "audit", "verify", "--gather-shares"]);
    command.stdin(Stdio::null());
    refused(&run(command), &["no seal of this store has shares", "without --gather-shares"]);
}

#[test]
fn an_attempt_whose_memory_cannot_be_locked_says_so_before_a_share_is_given() {
    let (installation, shares) = with_shares();
    without_key_file(&installation);
    let mut plain =
        installation.with_configuration(&["operator", "recover", "--operator", "lee@example.com"]);
    plain.arg("--out").arg(installation.path("second.token"));
    // Root may lock any memory unless it drops the capability.
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", "-ipc_lock", "prlimit", "--memlock=0:0"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    let told = "the system did not lock memory: ";
    let gathering = Gathering::run(command, installation.path("gathering.log"));
    gathering.wait_for(told);
    let shown = operator(&installation, &["share", "--show"], &[]);
    assert!(done(&shown).contains(told) && shown.printed.contains("ulimit -l"), "{}", shown.printed);
    // It is a warning: whoever gives a share has read it.
    for share in &shares[..2] {
        assert!(done(&give(&installation, share)).contains(told));
    }
    assert!(gathering.done().contains("second.token"));
    // Where the system locks the memory, nothing is said.
    let token = installation.path("third.token");
    let out = token.to_str().unwrap();
    let gathering =
        Gathering::start(&installation, &["recover", "--operator", "max@example.com", "--out", out]);
    let shown = operator(&installation, &["share", "--show"], &[]);
    assert!(!done(&shown).contains("lock memory") && !gathering.printed().contains("lock memory"));
}
