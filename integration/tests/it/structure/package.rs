//! The Debian package: what is in it, whose it is, and that its unit fits the reference configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

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

#[test]
fn the_package_has_the_command_its_pages_completions_unit_and_configuration() {
    let out = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/deb");
    let built = output(
        script.to_str().unwrap(),
        &["--binary", binary().to_str().unwrap(), out.path().to_str().unwrap()],
    );
    let package = PathBuf::from(built.trim());
    let package = package.to_str().unwrap();
    let files = files(package);
    let (read, run_by_all) = ("-rw-r--r-- root/root".to_owned(), "-rwxr-xr-x root/root".to_owned());
    assert_eq!(files.get("/usr/bin/petsem"), Some(&run_by_all));
    for path in [
        "/usr/lib/systemd/system/petsem.service",
        "/usr/share/bash-completion/completions/petsem",
        "/usr/share/zsh/vendor-completions/_petsem",
        "/usr/share/fish/vendor_completions.d/petsem.fish",
        "/usr/share/man/man1/petsem.1.gz",
        "/usr/share/man/man1/petsem-operator-status.1.gz",
        "/usr/share/doc/petsem/copyright",
    ] {
        assert_eq!(files.get(path), Some(&read), "{path}: {files:?}");
    }
    assert_eq!(files.get("/etc/petsem/petsem.toml").map(String::as_str), Some("-rw-r----- root/root"));
    let pages = tempfile::tempdir().unwrap();
    let written = run(petsem(["man", pages.path().to_str().unwrap()]));
    assert!(written.status.success(), "{}", written.printed);
    let packed = files.keys().filter(|path| path.starts_with("/usr/share/man/")).count();
    assert_eq!(packed, std::fs::read_dir(pages.path()).unwrap().count());
    let outside: Vec<&String> =
        files.keys().filter(|path| !path.starts_with("/usr/") && !path.starts_with("/etc/petsem/")).collect();
    assert_eq!(outside, Vec::<&String>::new());

    let control = output("dpkg-deb", &["--field", package, "Package", "Version", "Depends"]);
    assert!(control.contains(&format!("Version: {}\n", env!("CARGO_PKG_VERSION"))), "{control}");
    assert!(control.contains("libc6 (>= ") && control.contains("passwd"), "{control}");
    let unpacked = out.path().join("control");
    output("dpkg-deb", &["--control", package, unpacked.to_str().unwrap()]);
    let text = |name: &str| std::fs::read_to_string(unpacked.join(name)).unwrap();
    assert_eq!(text("conffiles"), "/etc/petsem/petsem.toml\n");
    for script in ["postinst", "postrm"] {
        output("sh", &["-n", unpacked.join(script).to_str().unwrap()]);
    }
    // What dpkg verifies is what is in it.
    assert_eq!(text("md5sums").lines().count(), files.len());
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
