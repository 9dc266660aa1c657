use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use petsem_client::{
    DeliveryError, EnvMap, Environment, Exec, Injector, LeftOut, LeftOutReason, Owner, Rejection, TmpfsDir,
    TmpfsReceipt,
};

use crate::sample::{CANARY, bundle, edge_case_bundle};

fn base(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn name(text: &str) -> petsem_api::SecretName {
    text.parse().unwrap()
}

fn variables(environment: &Environment) -> Vec<(&str, &[u8])> {
    let variables = environment.expose_variables();
    variables.map(|(name, value)| (name.to_str().unwrap(), value.as_bytes())).collect()
}

fn left_out(name: &str, reason: LeftOutReason) -> LeftOut {
    LeftOut { name: name.parse().unwrap(), reason }
}

const BY_SHELLS: LeftOutReason = LeftOutReason::Reserved { obeyed_by: "shells" };

#[tokio::test]
async fn a_reserved_name_and_one_that_is_set_are_left_out_and_the_rest_is_delivered() {
    let secrets =
        || bundle(1, &[("A", b"secret"), ("B", b"\xff"), ("BASH_ENV", b"/evil"), ("PATH", b"/evil")]);
    let map = || EnvMap::merge(base(&[("A", "base"), ("PATH", "/bin")]));
    let expected = [
        left_out("A", LeftOutReason::AlreadySet),
        left_out("BASH_ENV", BY_SHELLS),
        left_out("PATH", BY_SHELLS),
    ];
    assert_eq!(map().check(&secrets()), Ok(()));
    assert_eq!(map().left_out(&secrets()), expected);
    let environment = map().deliver(secrets()).await.unwrap();
    assert_eq!(environment.left_out(), expected);
    assert_eq!(variables(&environment), [("A", &b"base"[..]), ("B", b"\xff"), ("PATH", b"/bin")]);
}

#[tokio::test]
async fn names_that_the_reader_allows_are_delivered() {
    let secrets = bundle(1, &[("A", b"secret"), ("BASH_ENV", b"/file"), ("PATH", b"/evil")]);
    let map = EnvMap::merge(base(&[("A", "base"), ("PATH", "/bin")])).allow(["A", "BASH_ENV"].map(name));
    let environment = map.deliver(secrets).await.unwrap();
    assert_eq!(environment.left_out(), [left_out("PATH", BY_SHELLS)]);
    assert_eq!(variables(&environment), [("A", &b"secret"[..]), ("BASH_ENV", b"/file"), ("PATH", b"/bin")]);
}

#[tokio::test]
async fn the_settings_of_the_app_allow_reserved_names_but_replace_no_variable() {
    let secrets = bundle(1, &[("BASH_ENV", b"/file"), ("PATH", b"/evil"), ("PS4", b"$(evil)")]);
    let secrets = secrets.allowing(["BASH_ENV", "PATH"].map(name));
    let environment = EnvMap::merge(base(&[("PATH", "/bin")])).deliver(secrets).await.unwrap();
    assert_eq!(
        environment.left_out(),
        [left_out("PATH", LeftOutReason::AlreadySet), left_out("PS4", BY_SHELLS)]
    );
    assert_eq!(variables(&environment), [("BASH_ENV", &b"/file"[..]), ("PATH", b"/bin")]);
}

#[test]
fn what_is_left_out_cannot_make_an_environment_impossible() {
    let long = vec![b'x'; 2_000_000];
    let secrets = bundle(1, &[("BASH_ENV", b"x\0y"), ("PATH", &long), ("A", b"x")]);
    assert_eq!(EnvMap::merge([]).check(&secrets), Ok(()));
    let allowed = EnvMap::merge([]).allow(["BASH_ENV", "PATH"].map(name));
    assert_eq!(allowed.check(&secrets), Ok(()));
    assert_eq!(
        allowed.left_out(&secrets),
        [left_out("BASH_ENV", LeftOutReason::HoldsNul), left_out("PATH", LeftOutReason::TooLong)]
    );
}

/// Whoever may write one secret must not stop an app's boots.
#[tokio::test]
async fn a_value_that_no_environment_can_carry_stops_no_other_secret() {
    let long = vec![b'x'; 131_070];
    let secrets = || {
        bundle(
            1,
            &[
                ("ALONE", b"\0"),
                ("DER", b"0\x82\x01\0"),
                ("FITS", &long[4..]),
                ("LAST", b"utf-16\0"),
                ("MAPPED", b"a\0b"),
                ("OVER", &long),
                ("URL", b"postgres://db/shop"),
            ],
        )
    };
    let map = || {
        let pairs = [("PATH", "MAPPED"), ("U", "URL")];
        let allowed = ["ALONE", "DER", "MAPPED", "OVER"].map(name);
        EnvMap::merge(base(&[("PATH", "/bin")]))
            .allow(allowed)
            .map(pairs.map(|(variable, secret)| (name(variable), name(secret))))
    };
    let expected = [
        left_out("ALONE", LeftOutReason::HoldsNul),
        left_out("DER", LeftOutReason::HoldsNul),
        left_out("LAST", LeftOutReason::HoldsNul),
        left_out("MAPPED", LeftOutReason::HoldsNul),
        left_out("OVER", LeftOutReason::TooLong),
    ];
    assert_eq!(map().check(&secrets()), Ok(()));
    assert_eq!(map().left_out(&secrets()), expected);
    let environment = map().deliver(secrets()).await.unwrap();
    assert_eq!(environment.left_out(), expected);
    assert_eq!(
        variables(&environment),
        [("FITS", &long[4..]), ("PATH", b"/bin"), ("U", b"postgres://db/shop")]
    );
}

#[test]
fn names_that_the_orchestrator_reserves_are_left_out() {
    let by = LeftOutReason::Reserved { obeyed_by: "the orchestrator" };
    let map = || EnvMap::merge([]).reserve("FLY_");
    let secrets = bundle(1, &[("A", b"x"), ("FLY_REGION", b"x")]).allowing([name("FLY_REGION")]);
    assert_eq!(map().left_out(&secrets), [left_out("FLY_REGION", by)]);
    assert_eq!(map().allow([name("FLY_REGION")]).left_out(&secrets), []);
}

#[tokio::test]
async fn a_mapped_secret_is_delivered_as_the_variable_that_the_reader_chose() {
    let secrets = || bundle(1, &[("A", b"a"), ("B", b"b"), ("BASH_ENV", b"/file")]);
    let map = EnvMap::merge(base(&[("PATH", "/bin")]))
        .map([("PATH", "A"), ("B", "BASH_ENV")].map(|(variable, secret)| (name(variable), name(secret))));
    let environment = map.deliver(secrets()).await.unwrap();
    assert_eq!(variables(&environment), [("B", &b"/file"[..]), ("PATH", b"a")]);
    assert_eq!(environment.left_out(), [left_out("B", LeftOutReason::AlreadySet)]);
    let missing = EnvMap::merge([]).map([(name("A"), name("NONE"))]);
    assert_eq!(missing.check(&secrets()), Err(Rejection::NoSecret(name("NONE"))));
}

#[tokio::test]
async fn files_carry_every_name() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = memory.path().join("secrets");
    let secrets = || bundle(1, &[("LD_PRELOAD", b"x"), ("PATH", b"y")]);
    assert_eq!(TmpfsDir::new(&path).left_out(&secrets()), []);
    TmpfsDir::new(&path).deliver(secrets()).await.unwrap();
    assert_eq!(files(&path), [("LD_PRELOAD".into(), b"x".to_vec()), ("PATH".into(), b"y".to_vec())]);
}

#[test]
fn a_bundle_that_no_environment_can_carry_is_refused_before_anything_is_built() {
    let map = || EnvMap::merge([]);
    let check = |secrets: &[(&str, &[u8])]| map().check(&bundle(1, secrets));
    let many: Vec<_> = (0..16).map(|number| format!("A{number:02}")).collect();
    let value = vec![b'x'; 130_000];
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), value.as_slice())).collect();
    assert_eq!(check(&many), Err(Rejection::TooMuch { bytes: 16 * (130_004 + 9) }));
    assert_eq!(check(&many[..15]), Ok(()));
    let broken = EnvMap::merge(base(&[("A=B", "x")]));
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

#[test]
fn the_program_is_looked_up_in_the_path_of_the_caller_whatever_the_secrets_say() {
    let output = run_exec_child("injectors::child_that_executes_a_program_of_the_path");
    let printed = String::from_utf8(output.stdout).unwrap();
    // The program gets the PATH that the reader allowed; its name was looked up before.
    assert_eq!(printed.split("MARK\n").nth(1), Some("PATH=/evil\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
#[ignore = "the child of the_program_is_looked_up_in_the_path_of_the_caller_whatever_the_secrets_say"]
async fn child_that_executes_a_program_of_the_path() {
    println!("MARK");
    let exec = Exec::new(["env".into()]).keep(["PATH"]).allow([name("PATH")]);
    let error = exec.deliver(bundle(1, &[("PATH", b"/evil")])).await.map(|_| ()).unwrap_err();
    panic!("{error}");
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
