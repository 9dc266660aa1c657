//! The Debian package: what is in it, whose it is, and that its unit fits the reference configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use petsem_integration::installation::Installation;
use petsem_integration::server::{binary, petsem, run};
use petsem_server::Settings;

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files of a package, with mode and owner.
fn files(package: &str) -> BTreeMap<String, String> {
    let listed = output("dpkg-deb", &["--contents", package]);
    let files = listed.lines().filter(|line| line.starts_with('-')).map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, .., path] = fields.as_slice() else { panic!("{line}") };
        ((*path).trim_start_matches('.').to_owned(), format!("{mode} {owner}"))
    });
    files.collect()
}

/// The package of the tests' own petsem, as `cargo deb` builds it.
fn package(out: &Path) -> PathBuf {
    let profile = binary().parent().unwrap();
    let program = profile.parent().unwrap().join("tools/bin/cargo-deb");
    assert!(program.exists(), "{} does not exist: run ./test once, which builds it", program.display());
    let mut command = Command::new(program);
    command.args(["--locked", "--no-build", "--profile", "dev", "--strip", "--fast", "-p", "petsem", "-o"]);
    command.arg(out).env("CARGO_TARGET_DIR", profile.parent().unwrap());
    let built = command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    PathBuf::from(String::from_utf8(built.stdout).unwrap().trim())
}

#[test]
fn the_package_has_the_command_its_pages_completions_unit_and_configuration() {
    let out = tempfile::tempdir().unwrap();
    let package = package(out.path());
    let package = package.to_str().unwrap();
    let files = files(package);
    let (read, run_by_all) = ("-rw-r--r-- 0/0".to_owned(), "-rwxr-xr-x 0/0".to_owned());
    assert_eq!(files.get("/usr/bin/petsem"), Some(&run_by_all));
    for path in [
        "/usr/lib/systemd/system/petsem.service",
        "/usr/share/bash-completion/completions/petsem",
        "/usr/share/zsh/vendor-completions/_petsem",
        "/usr/share/fish/vendor_completions.d/petsem.fish",
        "/usr/share/man/man1/petsem.1.gz",
        "/usr/share/man/man1/petsem-operator-status.1.gz",
        "/usr/share/doc/petsem/copyright",
        "/usr/share/doc/petsem/README.md",
        "/usr/share/doc/petsem/docs/copies.md",
    ] {
        assert_eq!(files.get(path), Some(&read), "{path}: {files:?}");
    }
    assert_eq!(files.get("/etc/petsem/petsem.toml").map(String::as_str), Some("-rw-r----- 0/0"));
    let pages = tempfile::tempdir().unwrap();
    let written = run(petsem(["man", pages.path().to_str().unwrap()]));
    assert!(written.status.success(), "{}", written.printed);
    let packed = files.keys().filter(|path| path.starts_with("/usr/share/man/")).count();
    assert_eq!(packed, std::fs::read_dir(pages.path()).unwrap().count());
    let outside: Vec<&String> =
        files.keys().filter(|path| !path.starts_with("/usr/") && !path.starts_with("/etc/petsem/")).collect();
    assert_eq!(outside, Vec::<&String>::new());

    let field = |name: &str| output("dpkg-deb", &["--field", package, name]).trim().to_owned();
    assert_eq!(
        (field("Package"), field("Version")),
        ("petsem".to_owned(), env!("CARGO_PKG_VERSION").to_owned())
    );
    let (depends, recommends) = (field("Depends"), field("Recommends"));
    assert!(depends.starts_with("libc6 (>= ") && depends.ends_with(", passwd"), "{depends}");
    assert_eq!(recommends, "ca-certificates");
    let unpacked = out.path().join("control");
    output("dpkg-deb", &["--control", package, unpacked.to_str().unwrap()]);
    let text = |name: &str| std::fs::read_to_string(unpacked.join(name)).unwrap();
    assert_eq!(text("conffiles"), "/etc/petsem/petsem.toml\n");
    for script in ["postinst", "postrm"] {
        output("sh", &["-n", unpacked.join(script).to_str().unwrap()]);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/debian").join(script);
        assert_eq!(text(script), std::fs::read_to_string(source).unwrap(), "{script}");
    }
}

/// What a build of the image reads and runs, without a container runtime: no path and no command is a mistake.
#[test]
fn the_containerfile_copies_what_exists_and_runs_what_the_package_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let joined = read("Containerfile").replace("\\\n", " ");
    let lines: Vec<&str> = joined.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let all = |instruction: &str| -> Vec<String> {
        let rest = lines.iter().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '));
        rest.map(|rest| rest.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let one = |instruction: &str| {
        let [only] = all(instruction).try_into().unwrap_or_else(|all| panic!("{instruction}: {all:?}"));
        only
    };
    // The compiler is the one of the gates.
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).unwrap();
    let stages = all("FROM");
    assert_eq!(stages.len(), 2, "{stages:?}");
    assert_eq!(stages[0], format!("docker.io/library/rust:{version}-slim-trixie AS build"));
    assert_eq!(stages[1], "docker.io/library/debian:trixie-slim");
    let copied = all("COPY");
    let from_stage = |line: &&String| line.starts_with("--from=build ");
    for line in copied.iter().filter(|line| !from_stage(line)) {
        let paths: Vec<&str> = line.split(' ').filter(|part| !part.starts_with("--")).collect();
        for path in &paths[..paths.len() - 1] {
            assert!(root.join(path).exists(), "COPY {line}: there is no {path}");
        }
    }
    // The whole source, and nothing else: what git ignores may hold keys, and has no place in a layer.
    assert!(copied.iter().any(|line| line == ". ./"), "{copied:?}");
    let ignored = read(".dockerignore");
    for path in read(".gitignore").lines().filter(|line| line.starts_with('/')).chain(["/.git"]) {
        assert!(ignored.lines().any(|line| line == path), "{path}: {ignored}");
    }

    let run = all("RUN").join("\n");
    assert!(run.contains("cargo build --release --locked -p petsem"), "{run}");
    // The user that runs petsem, as the package makes it, and what belongs to it.
    for account in ["groupadd --system", "useradd --system", "--shell /usr/sbin/nologin petsem"] {
        assert!(run.contains(account) && read("packaging/debian/postinst").contains(account), "{account}");
    }
    assert_eq!(one("USER"), "petsem");
    assert_eq!(one("VOLUME"), "[\"/etc/petsem\", \"/var/lib/petsem\"]");
    let unit = read("packaging/petsem.service");
    let command: Vec<String> = serde_json::from_str(&one("CMD")).unwrap();
    assert_eq!(one("ENTRYPOINT"), "[\"/usr/bin/petsem\"]");
    let started = format!("ExecStart=/usr/bin/petsem {}", command.join(" "));
    assert!(unit.lines().any(|line| line == started), "{started}");
    assert_eq!(all("ENV"), Vec::<String>::new());
    assert_eq!(all("ARG"), Vec::<String>::new());
}

/// The check of the image, run by the shell that runs it there.
#[test]
fn the_healthcheck_of_the_image_succeeds_while_a_server_answers_and_only_then() {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Containerfile")).unwrap();
    let joined = file.replace("\\\n", " ");
    let check = joined.lines().find_map(|line| line.strip_prefix("HEALTHCHECK ")).unwrap();
    let arguments: Vec<String> = serde_json::from_str(check.split_once(" CMD ").unwrap().1).unwrap();
    let passes = |address: &str| {
        let script = arguments[2].replace("127.0.0.1/8200", &address.replace(':', "/"));
        assert_ne!(script, arguments[2]);
        let status = Command::new(&arguments[0]).arg(&arguments[1]).arg(script).output().unwrap().status;
        status.success()
    };
    let installation = Installation::made();
    let server = installation.start().unwrap();
    let address = server.address().to_string();
    assert!(passes(&address));
    assert!(server.stop().status.success());
    assert!(!passes(&address));
    // Sealed, it is alive: restarting it would not help.
    std::fs::rename(installation.path("seal.key"), installation.path("away.key")).unwrap();
    let server = installation.start().unwrap();
    assert!(passes(&server.address().to_string()));
    assert!(server.stop().status.success());
}

/// The unit lets the server write what the configuration has it write, and starts it with that configuration.
#[test]
fn the_unit_of_the_package_fits_the_reference_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let unit = std::fs::read_to_string(root.join("packaging/petsem.service")).unwrap();
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    assert_eq!(value("ExecStart"), "/usr/bin/petsem server --config /etc/petsem/petsem.toml");
    let settings = Settings::read(&root.join("server/src/settings/reference.toml")).unwrap();
    let state = Path::new("/var/lib").join(value("StateDirectory"));
    assert_eq!(settings.data_directory, state);
    assert!(settings.audit.directory.starts_with(&state), "{}", settings.audit.directory.display());
    let sockets: Vec<&Path> =
        settings.listeners.iter().filter_map(|listener| Some(listener.address.socket()?.as_path())).collect();
    let runtime = Path::new("/run").join(value("RuntimeDirectory"));
    assert!(!sockets.is_empty() && sockets.iter().all(|socket| socket.starts_with(&runtime)), "{sockets:?}");
    assert_eq!(value("ConditionPathExists"), state.join("petsem.db").to_str().unwrap());
    let files: usize = value("LimitNOFILE").parse().unwrap();
    assert!(files >= settings.limits.connections + 256, "{files}");
    // It serves as its own user, which a network client cannot become root from.
    assert_eq!((value("User").as_str(), value("NoNewPrivileges").as_str()), ("petsem", "yes"));
}
