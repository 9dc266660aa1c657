//! Commands of the documents that no test can run: they build for minutes, or need root, a container runtime or a Debian
//! of their own. **They are checked, not run**: each is parsed, and all that it names must exist. A command or an option
//! that this file does not know fails.
//!
//! What runs them: `.ci/run` formatting, tests, lints and the demonstration, and `bench` for a few seconds;
//! `integration/soak` the attacks, the package and the image.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use petsem_integration::page::{Block, blocks_in};
use petsem_integration::server::{petsem, run};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../");

/// All commands of these blocks, in words.
fn commands() -> Vec<Vec<String>> {
    let readme = read("README.md");
    let demonstration = blocks_in(&readme, "sh").remove(0);
    assert_eq!(demonstration.text.lines().count(), 2, "{}", demonstration.text);
    let mut commands = in_words(&demonstration);
    for (page, language) in [
        ("README.md", "console"),
        ("CONTRIBUTING.md", "sh"),
        ("docs/performance.md", "sh"),
        ("packaging/README.md", "console"),
    ] {
        commands.extend(blocks_in(&read(page), language).iter().flat_map(in_words));
    }
    commands
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The commands of a block, without prompts and comments. Paths in the comments must exist.
fn in_words(block: &Block<'_>) -> Vec<Vec<String>> {
    let joined = block.text.replace("\\\n", " ");
    let words = |line: &str| {
        let prompt = block.language == "console";
        let line =
            if prompt { line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")).unwrap() } else { line };
        let (command, comment) = line.split_once("  #").unwrap_or((line, ""));
        for word in comment.split_whitespace().filter(|word| word.contains('/')) {
            let path = word.trim_end_matches([':', ';', ',']);
            assert!(Path::new(ROOT).join(path).exists(), "{line}: there is no {path}");
        }
        command.split_whitespace().map(ToOwned::to_owned).collect()
    };
    joined.lines().filter(|line| !line.is_empty()).map(words).collect()
}

/// What is wrong with a command, if anything.
fn fault(words: &[String], workspace: &Workspace) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["PETSEM_BLESS=1", rest @ ..] => {
            let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
            fault(&rest, workspace)
        }
        ["cargo", "deb", rest @ ..] => {
            let step = soak_step("package");
            workspace.cargo("deb", rest)?;
            wanted(step.contains(&words.join(" ")), &format!("the step `package` runs `{step}`"))
        }
        ["cargo", command, rest @ ..] => workspace.cargo(command, rest),
        ["integration/soak", steps @ ..] => {
            let known = soak_steps();
            steps.iter().try_for_each(|step| wanted(known.contains(*step), &format!("no step {step}")))
        }
        ["packaging/test-in-debian", _package] => {
            wanted(soak_step("package").contains("packaging/test-in-debian"), "no step of the soak runs it")?;
            script(words[0])
        }
        [path @ ("demo/run" | "./test" | ".ci/run")] => script(path),
        ["podman", "build", "--format", "docker", "-t", "petsem", "."] => {
            wanted(Path::new(ROOT).join("Containerfile").exists(), "there is no Containerfile")
        }
        ["podman", "run", rest @ ..] => container(rest),
        ["runuser", "-u", "petsem", "--", "petsem", arguments @ ..] => {
            wanted(read("packaging/debian/postinst").contains("useradd"), "no user is created")?;
            accepted(arguments)
        }
        ["systemctl", "enable", "--now", unit] => {
            wanted(read(&format!("packaging/{unit}.service")).contains("[Install]"), "it cannot be enabled")
        }
        _ => Err("an unknown command".to_owned()),
    }
}

fn wanted(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn script(path: &str) -> Result<(), String> {
    let metadata = std::fs::metadata(Path::new(ROOT).join(path)).map_err(|error| error.to_string())?;
    wanted(metadata.permissions().mode() & 0o111 == 0o111, "it is not executable")
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The steps of the soak, as it lists them, one a line.
fn soak_steps() -> std::collections::BTreeSet<String> {
    let listed = text(Command::new(Path::new(ROOT).join("integration/soak")).arg("list").output().unwrap());
    listed.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// What a step of the soak runs.
fn soak_step(name: &str) -> String {
    assert!(soak_steps().contains(name), "the soak has no step {name}");
    let soak = read("integration/soak");
    let arm = soak.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{name}) echo ")));
    arm.unwrap().trim_matches(['\'', '"', ' ', ';']).to_owned()
}

/// What `podman run` gets: volumes that the image has, and a command that the test of the image runs, too.
fn container(words: &[&str]) -> Result<(), String> {
    let containerfile = read("Containerfile");
    let mut words = words.iter().copied();
    loop {
        match words.next().ok_or("no image")? {
            "petsem" => break,
            "--rm" | "-d" | "--network=host" => {}
            "--name" | "--ulimit" => {
                let _value = words.next().ok_or("an option without its value")?;
            }
            "-v" => {
                let volume = words.next().ok_or("-v without a volume")?;
                let (_, place) = volume.split_once(':').ok_or("-v without a place")?;
                wanted(containerfile.contains(&format!("\"{place}\"")), &format!("{place} is no volume"))?;
            }
            other => return Err(format!("an unknown option {other}")),
        }
    }
    let arguments: Vec<&str> = words.collect();
    if arguments.is_empty() {
        return Ok(());
    }
    let test = read("packaging/test-image");
    wanted(test.contains(&arguments.join(" ")), "packaging/test-image runs something else")?;
    accepted(&arguments)
}

/// Whether the command line has this command with these options: its help names each.
fn accepted(arguments: &[&str]) -> Result<(), String> {
    let names = arguments.iter().take_while(|word| !word.starts_with('-'));
    let help = run(petsem(names.copied().chain(["--help"])));
    wanted(help.status.success(), &help.printed)?;
    let mut options = arguments.iter().filter(|word| word.starts_with("--"));
    options.try_for_each(|option| {
        wanted(help.printed.contains(&format!("{option} ")), &format!("there is no {option}"))
    })
}

/// The packages and targets, as cargo knows them.
struct Workspace(Value);

impl Workspace {
    fn read() -> Self {
        let mut command = Command::new(env!("CARGO"));
        command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(ROOT);
        Self(serde_json::from_str(&text(command.output().unwrap())).unwrap())
    }

    /// The source of a target of a kind, such as `test`; of one package, or of any.
    fn source(&self, package: Option<&str>, kind: &str, name: &str) -> Option<PathBuf> {
        let packages = self.0["packages"].as_array().unwrap();
        let wanted = packages.iter().filter(|one| package.is_none_or(|package| one["name"] == package));
        let mut targets = wanted.flat_map(|package| package["targets"].as_array().unwrap());
        let target = targets.find(|target| target["kind"][0] == kind && target["name"] == name)?;
        Some(PathBuf::from(target["src_path"].as_str().unwrap()))
    }

    fn has(&self, package: &str) -> bool {
        self.0["packages"].as_array().unwrap().iter().any(|one| one["name"] == package)
    }

    /// Checks what a command of cargo names.
    fn cargo(&self, command: &str, words: &[&str]) -> Result<(), String> {
        let split = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        let (own, passed) = (&words[..split], words.get(split + 1..).unwrap_or_default());
        let mut own = own.iter().copied();
        let (mut package, mut target) = (None, None);
        while let Some(word) = own.next() {
            match word {
                "--workspace" | "--all" | "--all-targets" | "--tests" | "--lib" | "--release"
                | "--locked" => {}
                "-p" => {
                    let name = own.next().ok_or("-p without a package")?;
                    wanted(self.has(name), &format!("no package {name}"))?;
                    package = Some(name);
                }
                "--test" | "--bin" | "--bench" => {
                    let name = own.next().ok_or("an option without its target")?;
                    let source = self.source(package, &word[2..], name);
                    target = Some((name, source.ok_or_else(|| format!("no target {word} {name}"))?));
                }
                "cargo-deb" if command == "install" => {
                    wanted(read("test").contains("cargo-deb --version"), "./test installs another one")?;
                }
                filter if command == "test" && !filter.starts_with('-') => {
                    let (_, source) = target.as_ref().ok_or("a filter without a target")?;
                    let modules = filter.split("::").filter(|module| !module.is_empty());
                    let file =
                        modules.fold(source.parent().unwrap().to_owned(), |path, module| path.join(module));
                    wanted(file.with_extension("rs").exists(), &format!("no module {filter}"))?;
                }
                other => return Err(format!("an unknown argument {other}")),
            }
        }
        match (command, target.as_ref().map(|(name, _)| *name), passed) {
            ("check" | "test" | "fmt" | "deb" | "install" | "bench", _, []) => Ok(()),
            ("clippy", _, ["-D", "warnings"]) => Ok(()),
            ("run", Some("bench"), arguments) => bench(arguments),
            _ => Err("an unknown command of cargo".to_owned()),
        }
    }
}

/// The benchmark's own parser reads the arguments and names of cases or attacks; `--list` then ends it.
fn bench(arguments: &[&str]) -> Result<(), String> {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    let listed = arguments.contains(&"--list");
    bench.args(arguments).args((!listed).then_some("--list"));
    let output = bench.output().map_err(|error| error.to_string())?;
    wanted(output.status.success(), &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_commands_that_no_test_can_run_name_exists() {
    let workspace = Workspace::read();
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for words in commands {
        assert_eq!(fault(&words, &workspace), Ok(()), "{}", words.join(" "));
    }
    // What they leave to steps of the soak.
    assert!(soak_step("container").starts_with("packaging/test-image"), "{}", soak_step("container"));
    assert_eq!(script("packaging/test-image"), Ok(()));
    // The demonstration and all tests are gates.
    let gates = read(".ci/run");
    for gate in ["demo/run", "./test"] {
        assert!(gates.lines().any(|line| line.starts_with("gate ") && line.ends_with(gate)), "{gate}");
    }
}

#[test]
fn a_command_that_names_what_does_not_exist_is_found() {
    let workspace = Workspace::read();
    for (command, there) in [
        ("cargo test -p petsem-policy --test api", true),
        ("cargo test -p petsem-polizei", false),
        ("cargo test -p petsem-policy --test apis", false),
        ("cargo test -p petsem-integration --test it features::boats::", false),
        ("cargo test -p petsem-policy --quiet-please", false),
        ("cargo run --release -p petsem-integration --bin bench -- --case boot --quick", true),
        ("cargo run --release -p petsem-integration --bin bench -- --case boat", false),
        ("cargo run --release -p petsem-integration --bin bench -- --fast", false),
        ("cargo run --release -p petsem-integration --bin bench -- attack few-files --seconds 1", true),
        ("cargo run --release -p petsem-integration --bin bench -- attack few-fires", false),
        ("integration/soak package", true),
        ("integration/soak packages", false),
        ("podman run --rm -v petsem-data:/var/lib/petsem petsem", true),
        ("podman run --rm -v petsem-data:/var/lib/petsam petsem", false),
        ("runuser -u petsem -- petsem operator init --config c.toml --operator ada", true),
        ("runuser -u petsem -- petsem operator init --konfig c.toml", false),
        ("make install", false),
    ] {
        let words: Vec<String> = command.split(' ').map(ToOwned::to_owned).collect();
        assert_eq!(fault(&words, &workspace).is_ok(), there, "{command}");
    }
}
