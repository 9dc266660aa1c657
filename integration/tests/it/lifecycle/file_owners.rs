//! Files of another user: a start as root by mistake leaves none, and those that are there are named with the remedy.
//! Needs root: it gives files to another user, and runs as that user.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use petsem_integration::installation::Installation;
use petsem_integration::seals::{operator, refused, status};
use petsem_integration::server::{Ended, Server, binary, run};

const USER: &str = "12345";
/// Another one.
const STRANGER: &str = "54321";

/// An installation of a user that is not root.
struct Scene {
    installation: Installation,
    program: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let installation = Installation::made();
        // This user may not reach the directory of the build.
        let program = installation.path("petsem");
        std::fs::copy(binary(), &program).unwrap();
        let scene = Self { installation, program };
        scene.shell(&format!("chown -R {USER}:{USER} {}", scene.installation.directory.path().display()));
        scene
    }

    fn shell(&self, command: &str) {
        let done = Command::new("sh").args(["-c", command]).status().unwrap();
        assert!(done.success(), "{command}: this test needs root");
    }

    fn start(&self) -> Result<Server, Ended> {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(&self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.args(["server", "--config"]).arg(self.installation.configuration());
        Server::start(command)
    }

    /// `petsem operator …` as a user who is neither root nor the installation's.
    fn as_stranger(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups"]).arg(&self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin").arg("operator").args(arguments);
        command.arg("--config").arg(self.installation.configuration());
        run(command)
    }

    /// The files of the node that belong to root.
    fn of_root(&self) -> Vec<PathBuf> {
        let inside = |directory: &str| std::fs::read_dir(self.installation.path(directory)).unwrap();
        let paths = ["data", "data/audit"].into_iter().flat_map(inside).map(|entry| entry.unwrap().path());
        paths.filter(|path| path.metadata().unwrap().uid() == 0).collect()
    }
}

#[test]
fn as_root_nothing_is_written_into_the_directory_of_another_user() {
    let scene = Scene::new();
    let said = [
        "belongs to user 12345, and this command runs as root",
        "nothing was changed",
        "put `setpriv --reuid 12345 ",
    ];
    refused(&scene.installation.start().unwrap_err(), &said);
    let out = scene.installation.path("recovered.token");
    let recover = ["recover", "--operator", "kim@example.com"];
    refused(&operator(&scene.installation, &recover, &[("--out", &out)]), &said);
    assert!(!out.exists());
    refused(&operator(&scene.installation, &["audit", "accept-loss", "--yes"], &[]), &said);
    // Reading is no mistake.
    assert_eq!(status(&scene.installation)["state"], "stopped");
    assert_eq!(scene.of_root(), [""; 0].map(PathBuf::from));
    assert!(scene.start().unwrap().stop().status.success());
}

#[test]
fn another_user_is_told_who_may_run_the_command_and_never_to_take_the_store() {
    let scene = Scene::new();
    scene.shell(&format!("chmod 755 {}", scene.installation.directory.path().display()));
    let told = |arguments: &[&str]| {
        let ended = scene.as_stranger(arguments);
        refused(
            &ended,
            &[
                "data belongs to uid 12345, and this command runs as uid 54321",
                "nothing was changed",
                "hint: run the same command as uid 12345: put `sudo -u '#12345' --` before it",
            ],
        );
        for wrong in ["chown", "no server runs", "no installation"] {
            assert!(!ended.printed.contains(wrong), "{arguments:?}: {}", ended.printed);
        }
    };
    let commands: [&[&str]; 6] = [
        &["status"],
        &["unseal"],
        &["audit", "verify"],
        &["seal", "list"],
        &["verify"],
        &["share", "--show"],
    ];
    commands.iter().for_each(|arguments| told(arguments));
    let server = scene.start().unwrap();
    commands.iter().for_each(|arguments| told(arguments));
    // It may look into the directory, but not talk to the socket in it.
    scene.shell(&format!("chmod 755 {}", scene.installation.path("data").display()));
    commands.iter().filter(|arguments| arguments[0] != "share").for_each(|arguments| told(arguments));
    assert!(server.stop().status.success());
}

#[test]
fn a_start_that_fails_because_of_files_of_root_names_the_command_that_gives_them_back() {
    let scene = Scene::new();
    for files in
        ["data/audit/audit-00000002.log", "data/node.id", "data/petsem.lock data/audit", "data/petsem.db"]
    {
        let paths: Vec<_> =
            files.split(' ').map(|file| scene.installation.path(file).display().to_string()).collect();
        scene.shell(&format!("chown 0 {}", paths.join(" ")));
        let ended = scene.start().unwrap_err();
        refused(
            &ended,
            &["to another user than 12345, which petsem runs as", "then as root: `chown -R 12345 "],
        );
        let (_, command) = ended.printed.rsplit_once("then as root: `").unwrap();
        scene.shell(&format!(
            "cd {} && {}",
            scene.installation.directory.path().display(),
            command.split_once('`').unwrap().0
        ));
        assert!(scene.start().unwrap().stop().status.success(), "{files}");
    }
}
