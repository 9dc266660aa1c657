use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use petsem_client::{
    DeliveryError, EnvMap, Exec, Injector, OnClash, Owner, Rejection, TmpfsDir, TmpfsReceipt,
};

use crate::sample::{CANARY, bundle, edge_case_bundle};

fn base(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn name(text: &str) -> petsem_api::SecretName {
    text.parse().unwrap()
}

#[tokio::test]
async fn secrets_are_merged_into_the_base_environment_by_the_clash_setting() {
    let secrets = || bundle(1, &[("A", b"secret"), ("B", b"\xff")]);
    for (clash, wins) in [(OnClash::SecretWins, "secret"), (OnClash::BaseWins, "base")] {
        let map = EnvMap::merge(base(&[("A", "base"), ("PATH", "/bin")]), clash);
        let environment = map.deliver(secrets()).await.unwrap();
        let variables: Vec<_> = environment.expose_variables().collect();
        let raw = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
        let expected = [("A", OsStr::new(wins)), ("B", raw), ("PATH", OsStr::new("/bin"))];
        assert_eq!(variables, expected.map(|(name, value)| (OsStr::new(name), value)));
    }
    let map = EnvMap::merge(base(&[("A", "base")]), OnClash::Refuse);
    assert_eq!(map.check(&secrets()), Err(Rejection::Clash(name("A"))));
}

#[test]
fn a_bundle_that_no_environment_can_carry_is_refused_before_anything_is_built() {
    let map = || EnvMap::merge([], OnClash::Refuse);
    let check = |secrets: &[(&str, &[u8])]| map().check(&bundle(1, secrets));
    assert_eq!(check(&[("A", b"x\0y")]), Err(Rejection::HoldsNul(name("A"))));
    for reserved in ["LD_PRELOAD", "PETSEM_TOKEN", "GLIBC_TUNABLES"] {
        assert_eq!(check(&[(reserved, b"x")]), Err(Rejection::ReservedName(name(reserved))));
    }
    assert_eq!(
        map().reserve("NODE_").check(&bundle(1, &[("NODE_OPTIONS", b"x")])),
        Err(Rejection::ReservedName(name("NODE_OPTIONS")))
    );
    assert_eq!(check(&[("A", &[b'x'; 131_069])]), Ok(()));
    assert_eq!(check(&[("A", &[b'x'; 131_070])]), Err(Rejection::TooLong(name("A"))));
    let many: Vec<_> = (0..16).map(|number| format!("A{number:02}")).collect();
    let value = vec![b'x'; 130_000];
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), value.as_slice())).collect();
    assert_eq!(check(&many), Err(Rejection::TooMuch { bytes: 16 * (130_004 + 9) }));
    assert_eq!(check(&many[..15]), Ok(()));
    let broken = EnvMap::merge(base(&[("A=B", "x")]), OnClash::Refuse);
    assert_eq!(broken.check(&bundle(1, &[])), Err(Rejection::BaseVariable("A=B".into())));
}

/// Runs this test binary a second time, as the process that becomes the program.
fn run_exec_child(child: &str) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env("KEPT", "kept")
        .env("DROPPED", "dropped")
        .output()
        .unwrap()
}

#[test]
fn exec_starts_the_program_with_only_kept_variables_and_secrets() {
    let output = run_exec_child("injectors::child_that_executes_env");
    let printed = String::from_utf8(output.stdout).unwrap();
    // The test harness printed its own lines before the exec.
    let variables = printed.split("MARK\n").nth(1).unwrap();
    let mut variables: Vec<_> = variables.split('\0').filter(|variable| !variable.is_empty()).collect();
    variables.sort_unstable();
    assert_eq!(variables, ["A=two\nlines", "KEPT=kept"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn exec_sets_the_core_limit_to_zero() {
    let output = run_exec_child("injectors::child_that_executes_ulimit");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.split("MARK\n").nth(1), Some("0\n"));
}

#[tokio::test]
#[ignore = "the child of exec_starts_the_program_with_only_kept_variables_and_secrets"]
async fn child_that_executes_env() {
    println!("MARK");
    let exec = Exec::new(["/usr/bin/env".into(), "-0".into()]).keep(["KEPT", "NOT_SET"]);
    let error = exec.deliver(bundle(1, &[("A", b"two\nlines")])).await.map(|_| ()).unwrap_err();
    panic!("{error}");
}

#[tokio::test]
#[ignore = "the child of exec_sets_the_core_limit_to_zero"]
async fn child_that_executes_ulimit() {
    println!("MARK");
    let exec = Exec::new(["/bin/sh", "-c", "ulimit -Hc"].map(OsString::from));
    let error = exec.deliver(bundle(1, &[])).await.map(|_| ()).unwrap_err();
    panic!("{error}");
}

#[tokio::test]
async fn exec_of_a_missing_program_is_an_error_that_names_it() {
    let exec = || Exec::new(["/nonexistent/program".into()]);
    assert_eq!(exec().check(&bundle(1, &[("A", b"x")])), Ok(()));
    let error = exec().deliver(bundle(1, &[("A", CANARY.as_bytes())])).await.map(|_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("/nonexistent/program cannot be started (No such file or directory"), "{text}");
    assert!(!format!("{text} {error:?}").contains(CANARY));
    assert_eq!(Exec::new([]).check(&bundle(1, &[])), Err(Rejection::NoProgram));
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    found
}

fn hidden(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.starts_with('.'));
    names.sort();
    names
}

#[tokio::test]
async fn files_are_read_only_and_the_whole_set_is_swapped() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = memory.path().join("secrets");
    let receipt = TmpfsDir::new(&path).deliver(edge_case_bundle()).await.unwrap();
    assert_eq!(receipt, TmpfsReceipt { path: path.clone(), generation: "..3-0".into(), files: 4 });
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("..3-0")), 0o700);
    assert_eq!(mode(&path.join("..3-0/RAW")), 0o400);
    assert_eq!(
        files(&path),
        [
            ("EMPTY".into(), b"".to_vec()),
            ("PEM".into(), b"-----BEGIN-----\nx\n".to_vec()),
            ("RAW".into(), b"\0\xff\0".to_vec()),
            ("TEXT".into(), CANARY.as_bytes().to_vec()),
        ]
    );

    let next = bundle(4, &[("RAW", b"new"), ("MORE", b"m")]);
    assert_eq!(TmpfsDir::new(&path).deliver(next).await.unwrap().generation, "..4-0");
    assert_eq!(files(&path), [("MORE".into(), b"m".to_vec()), ("RAW".into(), b"new".to_vec())]);
    assert_eq!(hidden(&path), ["..4-0", "..data"]);

    let same = bundle(4, &[("RAW", b"again")]);
    assert_eq!(TmpfsDir::new(&path).deliver(same).await.unwrap().generation, "..4-1");
    assert_eq!(files(&path), [("RAW".into(), b"again".to_vec())]);
    assert_eq!(hidden(&path), ["..4-1", "..data"]);
}

#[tokio::test]
async fn files_belong_to_the_given_owner() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = memory.path().join("secrets");
    // Without root, only the own user can be the owner.
    let own = std::fs::metadata(memory.path()).unwrap();
    let owner = if own.uid() == 0 {
        Owner { user: 65534, group: 65534 }
    } else {
        Owner { user: own.uid(), group: own.gid() }
    };
    TmpfsDir::new(&path).owner(owner).deliver(bundle(1, &[("A", b"x")])).await.unwrap();
    for part in ["", "..1-0", "..1-0/A"] {
        let found = std::fs::metadata(path.join(part)).unwrap();
        assert_eq!((found.uid(), found.gid()), (owner.user, owner.group), "{part}");
    }
}

#[tokio::test]
async fn a_directory_on_disk_is_refused_unless_allowed() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = disk.path().join("secrets");
    let error = TmpfsDir::new(&path).deliver(edge_case_bundle()).await.unwrap_err();
    assert!(matches!(&error, DeliveryError::Rejected(Rejection::OnDisk(at)) if *at == path), "{error:?}");
    assert!(!path.exists());
    let allowed = TmpfsDir::new(&path).danger_allow_disk().deliver(edge_case_bundle()).await.unwrap();
    assert_eq!(allowed.files, 4);
    let nowhere = TmpfsDir::new("/dev/shm/petsem-none/deeper/secrets");
    let missing =
        Rejection::NoDirectory("/dev/shm/petsem-none/deeper/secrets".into(), std::io::ErrorKind::NotFound);
    assert_eq!(nowhere.check(&edge_case_bundle()), Err(missing));
}

#[tokio::test]
async fn an_unrelated_file_in_the_directory_is_not_removed() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = memory.path().join("secrets");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    std::fs::write(path.join("OTHER"), b"theirs").unwrap();
    TmpfsDir::new(&path).deliver(bundle(1, &[("A", b"x")])).await.unwrap();
    assert_eq!(files(&path), [("A".into(), b"x".to_vec()), ("OTHER".into(), b"theirs".to_vec())]);
    assert_eq!(mode(&path), 0o700);
}
