//! The data: a store with many apps, made over HTTP by the petsem that is measured. A run works on a copy of it, so
//! that every run begins with the same store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use petsem_api::AppId;
use petsem_integration::dev::now;
use petsem_integration::http::{Answer, Connection, Request};
use petsem_integration::installation::Installation;
use petsem_integration::publisher::IssuerKey;
use petsem_integration::server::{Server, binary, run};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::{interrupt, machine, random};

/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 256;
/// Secrets of each app.
pub(crate) const SECRETS: usize = 20;
/// The org of all apps.
pub(crate) const ORG: &str = "bench";
/// The host of all boots.
pub(crate) const HOST: &str = "host-1";
/// The `aud` of JWTs.
pub(crate) const NAME: &str = "petsem-bench";
/// The issuer of JWTs.
pub(crate) const ISSUER: &str = "https://issuer.bench";
const KEY: &str = "bench-1";

/// Connections that prepare: so many writes share a sync.
const MAKERS: usize = 32;

/// All limits have their defaults.
const CONFIGURATION: &str = r#"
name = "petsem-bench"
location = "https://petsem.bench"
data_directory = "data"
[[seal]]
kind = "key-file"
path = "seal.key"
"#;
/// The listener of all cases.
const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nhost = \"host-1\"\n";

/// Files of a store beside its configuration.
const APPS: &str = "apps";
const ISSUER_KEY: &str = "issuer.pem";
const BUILT: &str = "built.json";

/// A copy of the store, and what its clients have.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) installation: Installation,
    pub(crate) apps: Vec<AppId>,
    pub(crate) issuer: IssuerKey,
    /// How the store was built.
    pub(crate) built: Value,
}

impl Store {
    /// Opens a copy of the store in `kept`, which is built first if it is missing; without `kept`, builds one that is
    /// removed after the run.
    pub(crate) fn open(kept: Option<&Path>, apps: usize) -> Result<Self, Failure> {
        let parent = kept.map_or_else(std::env::temp_dir, Path::to_owned);
        std::fs::create_dir_all(&parent).map_err(|error| Failure::system(parent.display(), &error))?;
        if machine::is_in_memory(&parent) {
            return Err(Failure::new(
                format!("{} is a tmpfs, where no write is durable", parent.display()),
                "name a directory on a disk with --data DIR",
            ));
        }
        let Some(kept) = kept else {
            let installation = build(&parent, apps)?;
            return Self::read(installation);
        };
        let store = kept.join("store");
        if !store.join(BUILT).exists() {
            let installation = build(&parent, apps)?;
            let made = installation.directory.keep();
            std::fs::rename(&made, &store).map_err(|error| Failure::system(store.display(), &error))?;
        }
        let directory = temporary(&parent)?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(store.join(".")).arg(directory.path());
        match copy.status() {
            Ok(status) if status.success() => {}
            _ => {
                return Err(Failure::new(
                    format!("{} cannot be copied", store.display()),
                    "see what cp says; the copy needs as much room as the store",
                ));
            }
        }
        let store = Self::read(Installation { directory, environment: Vec::new() })?;
        let found = store.built.get("apps").and_then(Value::as_u64).unwrap_or_default();
        if found != apps as u64 {
            return Err(Failure::new(
                format!("the store in {} has {found} apps, not {apps}", kept.display()),
                format!("name another directory, give --apps {found}, or delete it to build it again"),
            ));
        }
        Ok(store)
    }

    fn read(installation: Installation) -> Result<Self, Failure> {
        let read = |name: &str| {
            let path = installation.path(name);
            std::fs::read_to_string(&path).map_err(|error| Failure::system(path.display(), &error))
        };
        let built = serde_json::from_str(&read(BUILT)?);
        let apps: Result<_, _> = read(APPS)?.lines().map(str::parse).collect();
        let issuer = IssuerKey::from_pem(KEY, &read(ISSUER_KEY)?);
        let (Ok(built), Ok(apps)) = (built, apps) else {
            return Err(Failure::new(
                "the files of the store are not complete",
                "delete it to build it again",
            ));
        };
        Ok(Self { installation, apps, issuer, built })
    }

    /// A new operator's token: the first one lives a day, and a kept store may be older.
    pub(crate) fn operator(&self) -> Result<String, Failure> {
        let file = self.installation.path("run.token");
        let mut command =
            self.installation.with_configuration(&["operator", "recover", "--operator", "bench@example.com"]);
        command.arg("--out").arg(&file);
        let recovered = run(command);
        if !recovered.status.success() {
            return Err(Failure::new(
                format!("no operator's token: {}", recovered.printed),
                "delete the store to build it again",
            ));
        }
        let token =
            std::fs::read_to_string(&file).map_err(|error| Failure::system(file.display(), &error))?;
        Ok(token.trim().to_owned())
    }

    /// Starts the server; a case may append settings.
    pub(crate) fn start(&self, settings: &str) -> Result<Server, Failure> {
        self.start_on(&format!("{LISTENER}{settings}"))
    }

    /// Starts the server with these settings, which have its listeners.
    pub(crate) fn start_on(&self, settings: &str) -> Result<Server, Failure> {
        self.installation.configure(&format!("{CONFIGURATION}{settings}"));
        start(&self.installation)
    }

    /// A JWT of the issuer, with these claims added to the usual ones.
    pub(crate) fn jwt(&self, life: i64, claims: &Value) -> String {
        let now = now();
        let mut all = json!({"iss": ISSUER, "aud": NAME, "iat": now, "exp": now + life});
        if let (Some(all), Some(claims)) = (all.as_object_mut(), claims.as_object()) {
            all.extend(claims.clone());
        }
        self.issuer.sign(&all)
    }
}

/// Builds a store in a new directory.
fn build(parent: &Path, apps: usize) -> Result<Installation, Failure> {
    let (begun, since) = (now(), clock());
    let installation = Installation { directory: temporary(parent)?, environment: Vec::new() };
    let write = |name: &str, text: &str| {
        let path = installation.path(name);
        std::fs::write(&path, text).map_err(|error| Failure::system(path.display(), &error))
    };
    installation.configure(&format!("{CONFIGURATION}{LISTENER}"));
    let issuer = IssuerKey::new(KEY);
    write(ISSUER_KEY, &issuer.pem())?;
    let registration =
        json!({"issuer": ISSUER, "algorithms": ["ES256"], "keys": {"keys": [issuer.jwk()]}}).to_string();
    write("issuer.json", &registration)?;
    let mut register = installation.with_configuration(&["operator", "issuer", "add"]);
    register.arg(installation.path("issuer.json"));
    for made in [installation.init(), run(register)] {
        if !made.status.success() {
            return Err(Failure::new(
                format!("the store cannot be created: {}", made.printed),
                "correct it and run the benchmark again",
            ));
        }
    }
    let server = start(&installation)?;
    let operator = format!("FlyV1 {}", installation.operator());
    let post = |target: &str, body: &Value| Request::new("POST", target).authorization(&operator).json(body);
    let policy = json!({"policy": policy()});
    let _: Vec<()> = each(server.address(), 1, |connection, _| {
        call(connection, &post("/v1/orgs", &json!({"name": ORG}))).map(drop)
    })?;
    let owner = format!("FlyV1 {}", installation.owner(ORG));
    let done = AtomicUsize::new(0);
    let ids: Vec<AppId> = each(server.address(), apps, |connection, number| {
        let body = json!({"org": ORG, "name": format!("app-{number}")});
        let id = call(connection, &post("/v1/apps", &body))?.field("id");
        let put = Request::new("PUT", &format!("/v1/apps/{id}/policy")).authorization(&owner).json(&policy);
        call(connection, &put)?;
        let values = json!({ "values": values(random::value) });
        call(connection, &post(&format!("/v1/apps/{id}/secrets"), &values))?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(5_000) {
            crate::say(&format!("  {done} apps"));
        }
        id.parse().map_err(|_| Failure::new("the id of an app does not parse", "see POST /v1/apps"))
    })?;
    stop(server)?;
    let lines: Vec<String> = ids.iter().map(AppId::to_string).collect();
    write(APPS, &lines.join("\n"))?;
    let built = json!({
        "binary": binary_version(),
        "apps": apps,
        "secrets_per_app": SECRETS,
        "value_bytes": VALUE_BYTES,
        "date": crate::report::date(begun),
        "seconds": since.elapsed().as_secs(),
    });
    // Last: without it, the store is not complete.
    write(BUILT, &built.to_string())?;
    Ok(installation)
}

/// The values of all secrets of an app, for a bulk update.
pub(crate) fn values(value: impl Fn() -> String) -> Map<String, Value> {
    (0..SECRETS).map(|secret| (format!("SECRET_{secret:02}"), json!({"value_b64": value()}))).collect()
}

/// The orchestrator boots, and the workload `reader` reads everything.
fn policy() -> Value {
    json!({"format": 1, "rules": [
        {"name": "boot", "issuer": ISSUER, "actions": ["boot"],
         "bind": {"app": "app_id", "machine": "machine_id", "host": "host_id"}},
        {"name": "reader", "issuer": ISSUER, "claims": {"sub": "reader"},
         "actions": ["read_value"], "secrets": {"prefixes": [""]}},
    ]})
}

/// What `petsem --version` prints.
pub(crate) fn binary_version() -> String {
    let output = Command::new(binary()).arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn start(installation: &Installation) -> Result<Server, Failure> {
    installation.start().map_err(|ended| {
        Failure::new(format!("petsem does not start: {}", ended.printed), "see what it says")
    })
}

/// Stops a server, which must end well.
pub(crate) fn stop(server: Server) -> Result<(), Failure> {
    let ended = server.stop();
    if ended.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("petsem ended with {}: {}", ended.status, ended.printed), "see what it says"))
}

fn temporary(parent: &Path) -> Result<TempDir, Failure> {
    tempfile::Builder::new()
        .prefix("petsem-bench-")
        .tempdir_in(parent)
        .map_err(|error| Failure::system(parent.display(), &error))
}

/// Sends a request that must succeed.
pub(crate) fn call(connection: &mut Connection, request: &Request) -> Result<Answer, Failure> {
    let answer =
        connection.call(request).map_err(|error| Failure::system("a connection to the server", &error))?;
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let line = String::from_utf8_lossy(&request.to_bytes()).lines().next().unwrap_or_default().to_owned();
    Err(Failure::new(
        format!("the server answered {} to {line}: {}", answer.status, answer.text()),
        "the data could not be prepared; correct the request or the setting that the refusal names",
    ))
}

/// Does some work for each number below `count`, over several connections at once; the results are in order. The
/// first failure ends it.
pub(crate) fn each<T: Send>(
    address: SocketAddr,
    count: usize,
    work: impl Fn(&mut Connection, usize) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (results, failure) = (Mutex::new(Vec::with_capacity(count)), Mutex::new(None));
    let locked = |failed: Failure| {
        over.store(true, Ordering::Relaxed);
        failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(failed);
    };
    std::thread::scope(|scope| {
        for _ in 0..MAKERS.min(count) {
            scope.spawn(|| {
                let mut connection = match Connection::open(address) {
                    Ok(connection) => connection,
                    Err(error) => return locked(Failure::system("a connection to the server", &error)),
                };
                let mut own = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    match interrupt::check().and_then(|()| work(&mut connection, number)) {
                        Ok(result) => own.push((number, result)),
                        Err(failed) => locked(failed),
                    }
                }
                results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(&mut own);
            });
        }
    });
    if let Some(failure) = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(failure);
    }
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_unstable_by_key(|(number, _)| *number);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// A clock for durations.
pub(crate) fn clock() -> std::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "it measures")]
    std::time::Instant::now()
}

/// The database of a store, with its WAL.
pub(crate) fn database_bytes(installation: &Installation) -> u64 {
    let files: [PathBuf; 2] = [installation.path("data/petsem.db"), installation.path("data/petsem.db-wal")];
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|found| found.len()).sum()
}
