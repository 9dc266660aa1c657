//! A writer of secrets does not become a reader through the names of its secrets.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use petsem_integration::dev::Dev;
use petsem_integration::server::{Ended, petsem, run};
use serde_json::json;

/// What the writer's code prints when it runs.
const STOLEN: &str = "stolen:";

/// `petsem dev`, a token that may only write, and a directory with the writer's programs.
struct Scene {
    dev: Dev,
}

impl Scene {
    fn new() -> Self {
        let dev = Dev::start();
        let scene = Self { dev };
        let writer = scene.dev.mint(&json!({"kind": "org", "org": "demo", "actions": ["write"]}));
        scene.file("writer.token", &writer, 0o600);
        std::fs::create_dir(scene.path("evil")).unwrap();
        for program in ["evil/sh", "evil/bash", "evil/env.sh"] {
            scene.file(program, &format!("#!/bin/sh\necho \"{STOLEN}$A\"\n"), 0o755);
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dev.directory.path().join(name)
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Ended {
        self.command_with(arguments, &[])
    }

    fn command_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = petsem(arguments);
        command.current_dir(self.dev.directory.path()).env("PETSEM_CONTEXT", self.path("context.toml"));
        command.envs(environment.iter().copied());
        run(command)
    }

    /// Sets a secret from a file, with this token.
    fn set(&self, token: &str, name: &str, value: &str) -> Ended {
        self.file("value", value, 0o600);
        self.command(&["secrets", "set", name, "--file", "value", "--token-file", token])
    }

    fn set_well(&self, name: &str, value: &str) {
        let set = self.set("writer.token", name, value);
        assert!(set.status.success(), "{}", set.printed);
    }

    fn settings(&self, flags: &[&str]) {
        let owner = self.dev.layout().owner_token();
        let owner = owner.to_str().unwrap();
        let changed = self.command(&[&["app", "set", "shop", "--token-file", owner], flags].concat());
        assert!(changed.status.success(), "{}", changed.printed);
    }

    /// Stores `BASH_ENV` and `PATH` as the writer would, from before they were reserved.
    fn store_hostile_secrets(&self) {
        self.settings(&["--allow-reserved-name", "BASH_ENV", "--allow-reserved-name", "PATH"]);
        self.set_well("A", "value");
        self.set_well("BASH_ENV", self.path("evil/env.sh").to_str().unwrap());
        self.set_well("PATH", self.path("evil").to_str().unwrap());
        self.settings(&["--withdraw-reserved-name", "BASH_ENV", "--withdraw-reserved-name", "PATH"]);
    }
}

const SCRIPT: &str = "echo \"A=$A PATH=$PATH BASH_ENV=$BASH_ENV\"";
const SAFE: &str = "A=value PATH=/usr/bin:/bin BASH_ENV=\n";

fn assert_safe(ended: &Ended) {
    assert!(ended.status.success() && !ended.printed.contains(STOLEN), "{}", ended.printed);
    assert!(ended.printed.contains(SAFE), "{}", ended.printed);
    for note in [
        "note: BASH_ENV is left out: shells would obey it; to pass it on, give --allow BASH_ENV",
        "note: PATH is left out: shells would obey it; to pass it on, give --allow PATH",
    ] {
        assert!(ended.printed.contains(note), "{}", ended.printed);
    }
}

#[test]
fn a_token_that_may_only_write_cannot_set_a_name_that_programs_obey() {
    let scene = Scene::new();
    let refused = scene.set("writer.token", "BASH_ENV", "/tmp/evil");
    assert_eq!(refused.status.code(), Some(1), "{}", refused.printed);
    for part in
        ["(reserved_name)", "petsem app set shop --allow-reserved-name BASH_ENV", "needs manage_policy"]
    {
        assert!(refused.printed.contains(part), "{}", refused.printed);
    }
    scene.file("evil.env", "A=value\nNODE_OPTIONS=--require=/tmp/evil.js\n", 0o600);
    let import = scene.command(&["secrets", "import", "evil.env", "--token-file", "writer.token"]);
    assert!(!import.status.success() && import.printed.contains("NODE_OPTIONS"), "{}", import.printed);
    assert_eq!(scene.dev.version("shop"), 0);
    let allow = ["app", "set", "shop", "--allow-reserved-name", "BASH_ENV", "--token-file", "writer.token"];
    let refused = scene.command(&allow);
    assert!(!refused.status.success() && refused.printed.contains("(forbidden)"), "{}", refused.printed);
    // The operator's token alone only requests it.
    let waits = scene.command(allow.get(..5).unwrap());
    assert_eq!(waits.status.code(), Some(4), "{}", waits.printed);
    assert!(waits.printed.contains("petsem approve"), "{}", waits.printed);
    assert!(!scene.set("writer.token", "BASH_ENV", "/tmp/evil").status.success());
    scene.settings(&["--allow-reserved-name", "BASH_ENV"]);
    scene.set_well("BASH_ENV", "/etc/profile");
    let shown = scene.command(&["app", "show", "shop"]);
    assert!(shown.printed.contains("BASH_ENV"), "{}", shown.printed);
}

#[test]
fn a_run_finds_its_program_with_the_callers_path_and_leaves_reserved_names_out() {
    let scene = Scene::new();
    scene.store_hostile_secrets();
    for shell in ["sh", "bash"] {
        assert_safe(&scene.command(&["run", "--", shell, "-c", SCRIPT]));
        assert_safe(&scene.command(&["run", "--pristine", "--", shell, "-c", SCRIPT]));
    }
    // Consent by name: the value is there, and the program is still the caller's.
    let evil = scene.path("evil");
    let expected = format!("PATH={}\n", evil.display());
    for consent in [["--only", "PATH"], ["--allow", "PATH"]] {
        let ran = scene.command(&[&["run"], &consent[..], &["--", "sh", "-c", "echo PATH=$PATH"]].concat());
        assert!(ran.printed.contains(&expected) && !ran.printed.contains(STOLEN), "{}", ran.printed);
        assert!(!ran.printed.contains("PATH is left out"), "{}", ran.printed);
    }
    // The setting is the app's consent, but does not replace what the caller has.
    scene.settings(&["--allow-reserved-name", "BASH_ENV", "--allow-reserved-name", "PATH"]);
    let ran = scene.command(&["run", "--", "sh", "-c", SCRIPT]);
    let expected = format!("A=value PATH=/usr/bin:/bin BASH_ENV={}\n", evil.join("env.sh").display());
    assert!(ran.printed.contains(&expected), "{}", ran.printed);
    assert!(ran.printed.contains("PATH is left out: the environment already has it"), "{}", ran.printed);
}

#[test]
fn consent_that_changes_nothing_is_named() {
    let scene = Scene::new();
    scene.store_hostile_secrets();
    let notes = |how: &[&str]| -> Vec<String> {
        let ran = scene.command(&[how, &["--", "true"]].concat());
        assert!(ran.status.success(), "{}", ran.printed);
        let notes = ran.printed.lines().filter(|line| line.starts_with("note: --allow"));
        notes.map(str::to_owned).collect()
    };
    let no_secret = "none of the secrets that were read has this name";
    let no_need = "programs do not obey this name, and the environment has no such variable";
    for how in [&["run"][..], &["boot", "--machine", "m-1"]] {
        let noted = |allowed: &[&str]| notes(&[how, allowed].concat());
        assert_eq!(noted(&["--allow", "PATH"]), [""; 0]);
        assert_eq!(
            noted(&["--allow", "PAHT", "--allow", "A", "--allow", "LD_PRELOAD_"]),
            [
                format!("note: --allow PAHT changes nothing: {no_secret}"),
                format!("note: --allow A changes nothing: {no_need}"),
                format!("note: --allow LD_PRELOAD_ changes nothing: {no_secret}"),
            ]
        );
    }
}

#[test]
fn a_secret_replaces_no_variable_of_the_caller_without_consent() {
    let scene = Scene::new();
    scene.set_well("A", "secret");
    let run = |flags: &[&str]| {
        let arguments = [&["run"], flags, &["--", "sh", "-c", "echo A=$A"]].concat();
        scene.command_with(&arguments, &[("A", "callers")])
    };
    let kept = run(&[]);
    assert!(kept.printed.contains("A=callers\n"), "{}", kept.printed);
    let note =
        "note: A is left out: the environment already has it; to replace it with the secret, give --allow A";
    assert!(kept.printed.contains(note), "{}", kept.printed);
    for consent in [["--allow", "A"], ["--only", "A"]] {
        let replaced = run(&consent);
        assert!(replaced.printed.contains("A=secret\n"), "{}", replaced.printed);
        assert!(!replaced.printed.contains("left out"), "{}", replaced.printed);
    }
}

#[test]
fn a_pristine_run_and_a_boot_pass_no_other_variable_of_the_caller_on() {
    let scene = Scene::new();
    scene.set_well("A", "secret");
    for (command, expected) in [
        (&["run"][..], "A=secret CALLERS=here\n"),
        (&["run", "--pristine"], "A=secret CALLERS=\n"),
        (&["boot", "--machine", "m-1"], "A=secret CALLERS=\n"),
    ] {
        let arguments = [command, &["--", "sh", "-c", "echo A=$A CALLERS=$CALLERS"]].concat();
        let ran = scene.command_with(&arguments, &[("CALLERS", "here")]);
        assert!(ran.printed.contains(expected), "{command:?}: {}", ran.printed);
    }
}

#[test]
fn a_boot_leaves_reserved_names_out_and_the_audit_log_names_them() {
    let scene = Scene::new();
    scene.store_hostile_secrets();
    let boot = |flags: &[&str]| {
        scene.command(&[&["boot", "--machine", "m-1"], flags, &["--", "bash", "-c", SCRIPT]].concat())
    };
    assert_safe(&boot(&[]));
    let lines = scene.dev.audit_lines();
    let report = lines.iter().rfind(|line| line["action"] == "boot.report").unwrap();
    assert_eq!(
        (&report["secrets"], &report["detail"], &report["machine"]),
        (
            &json!({"count": 2, "names": ["BASH_ENV", "PATH"]}),
            &json!(
                "the secrets go into the environment of a process; left out, because their names are reserved or were \
                 set already, or no environment carries their values: 2"
            ),
            &json!("m-1")
        )
    );
    let shown = scene.command(&["boot", "--machine", "m-1", "--show", "--json"]);
    let left_out = "\"left_out\": [\n    \"BASH_ENV\",\n    \"PATH\"\n  ]";
    assert!(shown.printed.contains(left_out), "{}", shown.printed);
    // Who boots consents.
    let booted = boot(&["--allow", "BASH_ENV", "--allow", "PATH"]);
    assert!(booted.printed.contains(&format!("{STOLEN}value")), "{}", booted.printed);
    assert!(!booted.printed.contains("left out"), "{}", booted.printed);
}
