//! Completions, as the shells themselves complete; and man pages, as groff renders them. `./test` installs the shells.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn petsem(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_petsem")).args(arguments).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a shell prints for this script, which it reads from standard input; nothing may be on standard error.
fn shell(program: &str, arguments: &[&str], script: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; ./test installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let script = script.to_owned();
    // Written beside reading the output: either may fill its pipe.
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

/// The commands that help lists.
fn commands(arguments: &[&str]) -> BTreeSet<String> {
    let help = petsem(arguments);
    let (_, listed) = help.split_once("\nCommands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// What bash has in `COMPREPLY` when a person presses Tab at the end of these words.
fn bash(words: &[&str]) -> BTreeSet<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (current, before) = (quoted.last().unwrap(), &quoted[quoted.len() - 2]);
    let script = format!(
        "{}\nregistered=$(complete -p petsem)\n[[ $registered == *'-F _petsem '* ]] || exit 9\n\
         COMP_WORDS=({})\nCOMP_CWORD={}\n_petsem petsem {current} {before}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        petsem(&["completions", "bash"]),
        quoted.join(" "),
        words.len() - 1
    );
    lines(&shell("bash", &["--norc", "--noprofile", "-s"], &script))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn bash_completes_the_commands_and_options_that_help_lists() {
    assert_eq!(bash(&["petsem", "operator", "sta"]), set(&["status"]));
    assert_eq!(bash(&["petsem", "operator", "status", "--js"]), set(&["--json"]));
    assert_eq!(bash(&["petsem", "secrets", "set", "GREETING", "--st"]), set(&["--stdin"]));
    let options = set(&["-h", "-V", "--help", "--version"]);
    let all = commands(&["--help"]);
    assert_eq!(bash(&["petsem", ""]), all.union(&options).cloned().collect());
    let below = commands(&["operator", "--help"]);
    assert_eq!(bash(&["petsem", "operator", ""]), below.union(&set(&["-h", "--help"])).cloned().collect());
    assert_eq!(bash(&["petsem", "completions", ""]), set(&["-h", "--help", "bash", "fish", "zsh"]));
}

#[test]
fn fish_completes_the_commands_that_help_lists() {
    let fish = |line: &str| {
        let script = format!("{}\ncomplete -C '{line}'\n", petsem(&["completions", "fish"]));
        let completed = shell("fish", &["--no-config"], &script);
        completed.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(fish("petsem operator sta"), set(&["status"]));
    assert_eq!(fish("petsem operator status --js"), set(&["--json"]));
    assert_eq!(fish("petsem "), commands(&["--help"]));
    assert_eq!(fish("petsem secrets "), commands(&["secrets", "--help"]));
}

/// zsh's own completion needs a terminal; this has its helpers print what they are to offer.
#[test]
fn zsh_completes_the_commands_that_help_lists() {
    let script = format!(
        "compdef() {{ [[ $1/$2 == _petsem/petsem ]] || exit 9 }}\n_describe() {{ print -rl -- \"${{(@P)4}}\" }}\n{}\n\
         _petsem_commands\necho --\n_petsem__subcmd__operator_commands\n",
        petsem(&["completions", "zsh"])
    );
    let printed = shell("zsh", &["-f", "-s"], &script);
    let (all, below) = printed.split_once("--\n").unwrap();
    let names = |text: &str| {
        text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(all), commands(&["--help"]));
    assert_eq!(names(below), commands(&["operator", "--help"]));
}

/// Those of the package are a line each, so that they fit the command that is installed.
#[test]
fn the_completions_of_the_package_load_those_of_the_command() {
    let command = Path::new(env!("CARGO_BIN_EXE_petsem")).parent().unwrap().display();
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/completions");
    let script = format!("PATH={command}:$PATH\nsource {files}/petsem.bash\ncomplete -p petsem\n");
    let registered = shell("bash", &["--norc", "--noprofile", "-s"], &script);
    assert!(registered.contains("-F _petsem petsem"), "{registered}");
    let script = format!(
        "set -x PATH {command} $PATH\nsource {files}/petsem.fish\ncomplete -C 'petsem operator sta'\n"
    );
    assert!(shell("fish", &["--no-config"], &script).starts_with("status"));
    // zsh autoloads the function at the first Tab, which completes, too.
    let script = format!(
        "path=({command} $path)\nfpath=({files} $fpath)\ncompdef() {{ print -r -- registered $* }}\n\
         _arguments() {{ print asked; return 1 }}\nautoload -Uz _petsem\n_petsem\n_petsem\n\
         print $+functions[_petsem_commands]\n"
    );
    assert_eq!(shell("zsh", &["-f", "-s"], &script), "registered _petsem petsem\nasked\nasked\n1\n");
}

/// A page as a reader sees it. groff warns of anything that it does not understand; lines that it cannot fill are fine.
fn rendered(page: &Path) -> String {
    let page = page.to_str().unwrap();
    shell("groff", &["-man", "-Kutf8", "-Tutf8", "-P-cbou", "-rHY=0", "-ww", "-Wbreak", page], "")
}

#[test]
fn each_command_that_help_lists_has_a_man_page_that_groff_renders_without_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man1");
    let said = petsem(&["man", pages.to_str().unwrap()]);
    let names: BTreeSet<String> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(said, format!("{} man pages in {}\n", names.len(), pages.display()));
    let mut expected = set(&["petsem.1"]);
    for above in commands(&["--help"]).into_iter().filter(|name| name != "help") {
        expected.insert(format!("petsem-{above}.1"));
        if !petsem(&[&above, "--help"]).contains("\nCommands:\n") {
            continue;
        }
        for below in commands(&[&above, "--help"]).into_iter().filter(|name| name != "help") {
            expected.insert(format!("petsem-{above}-{below}.1"));
        }
    }
    // Two commands below `operator` have commands of their own.
    let deeper = |name: &&String| name.matches('-').count() > 2 && !expected.contains(*name);
    let third: BTreeSet<&String> = names.iter().filter(deeper).collect();
    assert!(third.iter().all(|name| name.starts_with("petsem-operator-")), "{third:?}");
    assert_eq!(names.iter().filter(|name| !third.contains(name)).cloned().collect::<BTreeSet<_>>(), expected);

    for name in &names {
        let text = rendered(&pages.join(name));
        assert!(text.contains("SYNOPSIS") && text.contains("DESCRIPTION"), "{name}:\n{text}");
        let mode = std::fs::metadata(pages.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7400, 0o400, "{name}");
    }
    let status = rendered(&pages.join("petsem-operator-status.1"));
    let page: Vec<&str> = status.split_whitespace().collect();
    assert!(page.join(" ").contains("--json Print the state as JSON"), "{status}");
    assert!(page.contains(&"petsem-operator-status(1)"), "{status}");
    // A second run replaces them.
    assert_eq!(petsem(&["man", pages.to_str().unwrap()]), said);
}

#[test]
fn man_pages_are_readable_by_everyone_whom_the_umask_of_the_caller_lets_read() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let script = format!("umask 022; '{}' man '{}'\n", env!("CARGO_BIN_EXE_petsem"), pages.display());
    shell("bash", &["--norc", "--noprofile", "-s"], &script);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&pages), mode(&pages.join("petsem.1"))), (0o755, 0o644));
}
