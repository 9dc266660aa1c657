//! What an operator does with any seal that has a counterpart, and the server's state and messages.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use petsem_integration::dev::flyv1;
use petsem_integration::http::Request;
use petsem_integration::installation::Installation;
use petsem_integration::seals::{
    self, KEY_FILE, assert_open, assert_sealed, configuration, configured, done, get, id_of, orgs, recover,
    refused, seals, status,
};
use petsem_integration::server::{Ended, Server, petsem, run};
use serde_json::{Value, json};

/// A random value.
const CANARY: &str = "canary-8c1f02ab-value";

/// A seal with its counterpart.
pub(crate) trait Device {
    /// Its kind in the configuration.
    const KIND: &'static str;
    /// Its `[[seal]]`.
    fn seal(&self) -> String;
    /// How petsem names it.
    fn description(&self) -> String;
    /// The environment that petsem needs for it.
    fn environment(&self) -> Vec<(&'static str, OsString)>;
    /// Secrets that must not be found anywhere.
    fn secrets(&self) -> Vec<String>;
    /// Makes the counterpart unavailable.
    fn take_away(&mut self);
    /// Makes it available again.
    fn bring_back(&mut self);
    /// The messages while it is unavailable: what happened, and what to do.
    fn away(&self) -> [String; 2];
}

/// An installation and a device; it records all output of commands and servers.
pub(crate) struct Scene<D> {
    pub(crate) installation: Installation,
    pub(crate) device: D,
    heard: RefCell<String>,
}

impl<D: Device> Scene<D> {
    /// With these seals in the configuration, before `init`.
    pub(crate) fn configured(device: D, seals: &str) -> Self {
        let mut scene = Self { installation: configured(seals), device, heard: RefCell::default() };
        scene.equip();
        scene
    }

    /// Sets the environment that the device needs.
    pub(crate) fn equip(&mut self) {
        self.installation.environment = self.device.environment();
        // Everything that can be logged is logged, and searched.
        self.installation.environment.push(("PETSEM_LOG", "trace".into()));
    }

    /// With the device as the only seal.
    pub(crate) fn made(device: D) -> Self {
        let seal = device.seal();
        let scene = Self::configured(device, &seal);
        done(&scene.init());
        scene
    }

    pub(crate) fn configure(&self, seals: &str) {
        self.installation.configure(&configuration(seals));
    }

    pub(crate) fn init(&self) -> Ended {
        self.hear(seals::init(&self.installation, &[]))
    }

    pub(crate) fn operator(&self, arguments: &[&str]) -> Ended {
        self.hear(seals::operator(&self.installation, arguments, &[]))
    }

    pub(crate) fn start(&self) -> Server {
        self.installation.start().unwrap()
    }

    pub(crate) fn stop(&self, server: Server) -> String {
        let stopped = self.hear(server.stop());
        done(&stopped).to_owned()
    }

    fn hear(&self, ended: Ended) -> Ended {
        self.heard.borrow_mut().push_str(&ended.printed);
        ended
    }

    /// The name of the seal that opened the server, as `petsem operator status` shows it.
    fn opener(&self) -> Value {
        json!(format!("{} ({})", self.device.description(), D::KIND))
    }

    pub(crate) fn opened_by(&self) -> Value {
        status(&self.installation)["server"]["opened_by"].clone()
    }

    /// Why the server is sealed; every interface gives the same reason.
    pub(crate) fn why_sealed(&self, server: &Server) -> String {
        assert_sealed(&self.installation, server);
        let ready = get(server, "/readyz");
        assert_eq!((ready.status, ready.field("status")), (503, "sealed".to_owned()), "{}", ready.text());
        assert!(ready.text().contains("petsem operator unseal"), "{}", ready.text());
        let seen = status(&self.installation);
        assert_eq!(seen["state"], json!("sealed"));
        let why = seen["server"]["why_sealed"].to_string();
        // `petsem status` and the log say the same.
        let shown = self.operator(&["status"]);
        assert_eq!(shown.status.code(), Some(2), "{}", shown.printed);
        assert!(shown.printed.contains("SEALED"), "{}", shown.printed);
        let logged = server.printed_line("the server is sealed");
        assert!(logged.contains("petsem operator unseal"), "{}", server.printed());
        why
    }

    /// Why a server is sealed while its device is unavailable.
    fn why_away(&self) -> Vec<String> {
        let [what, remedy] = self.device.away();
        vec![self.device.description(), what, remedy]
    }

    /// Asserts that no secret of the device and no value is in recorded output, in the audit log, or in other
    /// files.
    pub(crate) fn nothing_secret(&self) {
        let heard = self.heard.borrow();
        let files = files(&self.installation.path("data"));
        // With the chains that a compromised seal set aside.
        let logs = files.iter().filter(|(path, _)| path.extension().is_some_and(|name| name == "log"));
        let lines = logs.flat_map(|(_, bytes)| bytes.iter().copied().filter(|byte| *byte != 0));
        let log = String::from_utf8(lines.collect()).expect("an audit log is text");
        assert!(files.iter().any(|(path, _)| path.ends_with("petsem.db")));
        // Control: there is output, and the log is of this store.
        assert!(heard.contains(" is created, sealed by "), "{heard}");
        assert!(log.contains("\"action\":\"operator.init\""), "{log}");
        for secret in self.device.secrets().iter().map(String::as_str).chain([CANARY]) {
            assert_eq!((heard.find(secret), log.find(secret)), (None, None), "{heard}\n{log}");
            for (path, bytes) in &files {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{} holds a secret", path.display());
            }
        }
    }
}

/// All files below a directory, with their bytes.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match (path.is_dir(), path.is_file()) {
            (true, _) => found.extend(files(&path)),
            (_, true) => found.push((path.clone(), std::fs::read(path).unwrap())),
            // Skips sockets.
            _ => {}
        }
    }
    found
}

fn says(text: &str, wanted: &[String]) {
    for wanted in wanted {
        assert!(text.contains(wanted.as_str()), "{text:?} does not say {wanted:?}");
    }
}

fn refused_with(ended: &Ended, wanted: &[String]) {
    refused(ended, &wanted.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The only seal of a store: init, start, status, list, verify, a new root key, and an intact secret.
pub(crate) fn opens_a_store_without_a_person<D: Device>(device: D) {
    let scene = Scene::configured(device, "");
    scene.configure(&scene.device.seal());
    let mut check = petsem(["config", "check"]);
    check.arg(scene.installation.configuration());
    check.envs(scene.device.environment());
    done(&run(check));
    done(&scene.init());
    let stopped = status(&scene.installation);
    assert_eq!(
        (&stopped["state"], &stopped["would_open"]),
        (&json!("stopped"), &json!(scene.device.description()))
    );

    let server = scene.start();
    assert_open(&scene.installation, &server);
    assert_eq!(get(&server, "/readyz").status, 200);
    assert_eq!(scene.opened_by(), scene.opener());
    let line = server.printed_line("opened by seal");
    says(&line, &[scene.device.description(), format!("\"kind\":\"{}\"", D::KIND)]);
    says(done(&scene.operator(&["status"])), &[format!("opened by   {}", scene.opener().as_str().unwrap())]);
    let list = seals(&scene.installation);
    assert_eq!((list.len(), &list[0]["kind"]), (1, &json!(D::KIND)));
    assert_eq!(list[0]["description"], json!(scene.device.description()));
    let listed = scene.operator(&["seal", "list"]);
    assert_eq!(done(&listed).lines().count(), 1, "{}", listed.printed);
    says(&listed.printed, &[scene.device.description()]);
    let verified = scene.operator(&["seal", "verify"]);
    assert_eq!(done(&verified).matches("opens the store").count(), 1, "{}", verified.printed);

    let operator = flyv1(&scene.installation.operator());
    let post = |path: &str, authorization: &str, body: &Value| {
        let answer =
            Request::new("POST", path).authorization(authorization).json(body).send(server.address());
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer
    };
    post("/v1/orgs", &operator, &json!({"name": "acme"}));
    post("/v1/apps", &operator, &json!({"name": "shop", "org": "acme"}));
    let minted = post(
        "/v1/tokens",
        &operator,
        &json!({"kind": "org", "org": "acme", "actions": ["write", "list"], "expires_in": 600}),
    );
    let writer = flyv1(&minted.field("token"));
    post("/v1/apps/shop/secrets", &writer, &json!({"values": {"A": CANARY}}));
    let secrets = |server: &Server| {
        let request = Request::new("GET", "/v1/apps/shop/secrets").authorization(&writer);
        let answer = request.send(server.address());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let before = secrets(&server);
    assert_eq!(before["secrets"][0]["name"], json!("A"), "{before}");
    refused(&scene.operator(&["rotate-root"]), &["a server holds the store", "nothing was changed"]);
    scene.stop(server);

    let rotated = scene.operator(&["rotate-root"]);
    assert!(done(&rotated).contains("version 2, wrapped by 1 seal"), "{}", rotated.printed);
    assert!(done(&scene.operator(&["verify"])).contains("1 app,"));
    let server = scene.start();
    assert_eq!((scene.opened_by(), secrets(&server)), (scene.opener(), before));
    scene.stop(server);
    assert!(done(&scene.operator(&["audit", "verify"])).contains("the audit log is intact"));
    scene.nothing_secret();
}

/// A second seal added to a running server, and one that belongs to another store.
pub(crate) fn is_added_beside_a_key_file_and_removed<D: Device>(device: D) {
    let scene = Scene::configured(device, KEY_FILE);
    done(&scene.init());
    let server = scene.start();
    let both = format!("{KEY_FILE}{}", scene.device.seal());
    refused(
        &scene.operator(&["seal", "add", D::KIND]),
        &[&format!("no seal of kind {}", D::KIND), "nothing was changed", "add a [[seal]]"],
    );
    scene.configure(&both);
    says(done(&scene.operator(&["seal", "add", D::KIND])), &[scene.device.description()]);
    refused(&scene.operator(&["seal", "add", D::KIND]), &["already opens the store", "nothing was changed"]);
    assert_open(&scene.installation, &server);
    assert_eq!(seals(&scene.installation).len(), 2);
    let verified = scene.operator(&["seal", "verify"]);
    assert_eq!(done(&verified).matches("opens the store").count(), 2, "{}", verified.printed);
    scene.stop(server);

    let opens_by_the_device = || {
        scene.configure(&scene.device.seal());
        let server = scene.start();
        assert_eq!(scene.opened_by(), scene.opener());
        scene.stop(server);
        scene.configure(&both);
    };
    opens_by_the_device();
    let id = id_of(&scene.installation, &scene.device.description());
    done(&scene.operator(&["seal", "remove", &id]));
    done(&scene.operator(&["seal", "add", D::KIND]));
    opens_by_the_device();

    let id = id_of(&scene.installation, &scene.device.description());
    let server = scene.start();
    refused(
        &scene.operator(&["seal", "remove", "--compromised", "--yes", &id]),
        &["a server holds the store", "nothing was changed"],
    );
    scene.stop(server);
    let removed = scene.operator(&["seal", "remove", "--compromised", "--yes", &id]);
    assert!(
        done(&removed).contains("it wraps everything, and the previous version is destroyed"),
        "{}",
        removed.printed
    );
    let store = status(&scene.installation)["store"].clone();
    assert_eq!((&store["root_version"], &store["keyring_version"]), (&json!(2), &json!(2)));
    assert_eq!(store["seals"].as_array().unwrap().len(), 1);
    recover(&scene.installation);
    let server = scene.start();
    assert_open(&scene.installation, &server);
    scene.stop(server);
    scene.configure(&scene.device.seal());
    let server = scene.start();
    says(&scene.why_sealed(&server), &[format!("no seal of kind {}", D::KIND)]);
    scene.stop(server);

    // The other way round: it wraps the new root key, and the key file no longer opens anything.
    scene.configure(&both);
    done(&scene.operator(&["seal", "add", D::KIND]));
    let id = id_of(&scene.installation, "seal.key");
    done(&scene.operator(&["seal", "remove", "--compromised", "--yes", &id]));
    recover(&scene.installation);
    opens_by_the_device();
    assert_eq!(status(&scene.installation)["store"]["root_version"], json!(3));
    scene.configure(KEY_FILE);
    let server = scene.start();
    says(&scene.why_sealed(&server), &["no seal of kind key-file".to_owned()]);
    scene.stop(server);
    scene.nothing_secret();
}

/// Without the device nothing is created, changed or opened by it, and other seals still open.
pub(crate) fn store_stays_sealed_without_its_device<D: Device>(device: D) {
    let seal = device.seal();
    let mut scene = Scene::configured(device, &seal);
    scene.device.take_away();
    let [what, remedy] = scene.device.away();
    refused_with(&scene.init(), &[what.clone(), remedy.clone()]);
    assert!(!scene.installation.path("operator.token").exists());
    let none = scene.installation.start().unwrap_err();
    refused(&none, &["there is no installation to serve", "petsem operator init"]);
    scene.device.bring_back();
    done(&scene.init());

    // As the only seal: the server is sealed, and says why.
    scene.device.take_away();
    let why = scene.why_away();
    let looked = scene.operator(&["status"]);
    assert_eq!(looked.status.code(), Some(2), "{}", looked.printed);
    says(&looked.printed, &why);
    says(&looked.printed, &["not running on this node".to_owned()]);
    let server = scene.start();
    says(&scene.why_sealed(&server), &why);
    refused_with(&scene.operator(&["unseal", "--configured"]), &why);
    refused_with(&scene.operator(&["seal", "list"]), &why);
    assert_sealed(&scene.installation, &server);
    scene.device.bring_back();
    says(done(&scene.operator(&["unseal", "--configured"])), &[scene.device.description()]);
    assert_open(&scene.installation, &server);

    // An open server no longer needs it, and another seal opens the next start.
    let both = format!("{}{KEY_FILE}", scene.device.seal());
    scene.configure(&both);
    done(&scene.operator(&["seal", "add", "key-file"]));
    scene.device.take_away();
    assert_open(&scene.installation, &server);
    scene.stop(server);
    let server = scene.start();
    assert_open(&scene.installation, &server);
    assert!(scene.opened_by().as_str().unwrap().contains("seal.key"), "{}", scene.opened_by());
    says(&server.printed_line("a seal did not open the store"), &why);
    let verified = scene.operator(&["seal", "verify"]);
    refused(&verified, &["1 of the seals did not open", "opens the store", &what, &remedy]);
    scene.stop(server);
    refused(
        &scene.operator(&["rotate-root"]),
        &[&scene.device.description(), &what, "nothing was changed", "--drop-seal"],
    );
    let store = status(&scene.installation)["store"].clone();
    assert_eq!((&store["root_version"], store["seals"].as_array().unwrap().len()), (&json!(1), 2));

    // If a new seal cannot be created, the error does not blame the key file.
    let id = id_of(&scene.installation, &scene.device.description());
    done(&scene.operator(&["seal", "remove", &id]));
    refused_with(&scene.operator(&["seal", "add", D::KIND]), &[what, remedy]);
    assert_eq!(seals(&scene.installation).len(), 1);
    scene.device.bring_back();
    done(&scene.operator(&["seal", "add", D::KIND]));
    let server = scene.start();
    assert_eq!(scene.opened_by(), scene.opener());
    assert_eq!(orgs(&scene.installation, &server).status, 200);
    scene.stop(server);
    scene.nothing_secret();
}

/// Moves away a directory while the device is unavailable.
pub(crate) fn move_away(path: &Path) {
    std::fs::rename(path, path.with_extension("away")).unwrap();
}

/// Moves it back.
pub(crate) fn move_back(path: &Path) {
    std::fs::rename(path.with_extension("away"), path).unwrap();
}
