//! What scripts and people are used to from other commands: exit statuses, pipes, empty variables, byte order marks.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use petsem_integration::dev::Dev;
use petsem_integration::server::{Ended, binary, petsem, run};
use petsem_server::Development;
use serde_json::{Value, json};

fn in_context(dev: &Dev, arguments: &[&str]) -> Command {
    let mut command = petsem(arguments);
    command.env("PETSEM_CONTEXT", dev.directory.path().join("context.toml"));
    command.current_dir(dev.directory.path());
    command
}

fn write(path: &Path, mode: u32, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_command_that_cannot_be_run_ends_as_under_every_other_program() {
    let dev = Dev::start();
    dev.set("shop", &json!({"V": "x"}));
    write(&dev.directory.path().join("plain"), 0o644, "");
    for (program, status) in [
        ("no-such-command", 127),
        ("./no-such-file", 127),
        ("/no/such/directory/program", 127),
        ("./plain", 126),
        ("./plain/below", 126),
        ("/", 126),
    ] {
        for how in [&["run", "--only", "V"][..], &["boot", "--machine", "m-1"]] {
            let mut arguments = how.to_vec();
            arguments.extend(["--", program]);
            let ended = run(in_context(&dev, &arguments));
            assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {}", ended.printed);
        }
    }
    let ended = run(in_context(&dev, &["run", "--only", "V", "--", "sh", "-c", "exit 7"]));
    assert_eq!(ended.status.code(), Some(7), "{}", ended.printed);
    // petsem's own failures keep their statuses.
    let ended = run(in_context(&dev, &["run", "--only", "MISSING", "--", "true"]));
    assert_eq!(ended.status.code(), Some(1), "{}", ended.printed);
}

/// Runs a line of bash in the directory, in which `$PETSEM` is the command and `$LIST` its arguments.
fn bash(dev: &Dev, line: &str) -> Ended {
    let mut command = Command::new("bash");
    command.args(["-c", line]).env_clear().env("PATH", "/usr/bin:/bin").current_dir(dev.directory.path());
    command.env("PETSEM", binary());
    command.env(
        "LIST",
        format!("secrets list --app shop --endpoint http://{} --token-file", dev.server.address()),
    );
    run(command)
}

#[test]
fn a_token_comes_from_a_pipe_of_ones_own() {
    let dev = Dev::start();
    dev.set("shop", &json!({"V": "x"}));
    for line in [
        "$PETSEM $LIST <(cat operator.token)",
        "cat operator.token | $PETSEM $LIST /dev/stdin",
        "cat operator.token | $PETSEM $LIST -",
        "$PETSEM $LIST - < operator.token",
        "$PETSEM $LIST /dev/stdin < operator.token",
        "mkfifo -m 600 own && { cat operator.token > own & $PETSEM $LIST own; }",
        "$PETSEM $LIST <(printf '\\xef\\xbb\\xbf'; cat operator.token; printf '\\r\\n')",
    ] {
        let ended = bash(&dev, line);
        assert!(ended.status.success(), "{line}: {}", ended.printed);
        assert!(ended.printed.starts_with("V\t"), "{line}: {}", ended.printed);
    }
    for (line, said) in [
        (
            "mkfifo -m 640 shared && { cat operator.token > shared & $PETSEM $LIST shared; }",
            "accessible to other users",
        ),
        ("$PETSEM $LIST /dev/null", "/dev/null is neither a regular file nor a pipe"),
        ("$PETSEM $LIST .", ". is neither a regular file nor a pipe"),
        ("$PETSEM $LIST <(printf '\\xff\\xfef\\0m\\0')", "is UTF-16"),
    ] {
        let ended = bash(&dev, line);
        assert_eq!(ended.status.code(), Some(2), "{line}: {}", ended.printed);
        assert!(ended.printed.contains(said), "{line}: {}", ended.printed);
    }
}

#[test]
fn standard_input_is_a_token_or_a_value_and_never_both() {
    let dev = Dev::start();
    dev.set("shop", &json!({"V": "x"}));
    for how in ["--stdin", "--file -"] {
        let set = format!("secrets set V {how} --app shop");
        for line in [
            format!(
                "$PETSEM {set} --endpoint http://{} --token-file - < operator.token",
                dev.server.address()
            ),
            format!(
                "printf y | PETSEM_TOKEN_FILE=- $PETSEM {set} --endpoint http://{}",
                dev.server.address()
            ),
        ] {
            let ended = bash(&dev, &line);
            assert_eq!(ended.status.code(), Some(2), "{line}: {}", ended.printed);
            assert!(
                ended.printed.contains("name standard input, which can be read once"),
                "{}",
                ended.printed
            );
        }
    }
    let list = bash(&dev, "$PETSEM $LIST operator.token --json");
    let listed: Value = serde_json::from_str(&list.printed).unwrap();
    assert_eq!(listed["version"], 1, "{listed}");
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let dev = Dev::start();
    dev.set("shop", &json!({"V": "x"}));
    let names = [
        "PETSEM_TOKEN_FILE",
        "PETSEM_ENDPOINT",
        "PETSEM_APP",
        "PETSEM_JWT_FILE",
        "PETSEM_HOST_TOKEN_FILE",
        "PETSEM_CONFIG",
        "PETSEM_LOG",
    ];
    for arguments in [
        &["secrets", "list"][..],
        &["run", "--only", "V", "--", "true"],
        &["boot", "--machine", "m-1", "--", "true"],
        &["secrets", "list", "--token-file", "operator.token", "--app", "shop"],
    ] {
        for name in names {
            let mut command = in_context(&dev, arguments);
            let ended = run({
                command.env(name, "");
                command
            });
            assert!(ended.status.success(), "{name}: {arguments:?}: {}", ended.printed);
        }
        let mut command = in_context(&dev, arguments);
        command.envs(names.map(|name| (name, "")));
        let ended = run(command);
        assert!(ended.status.success(), "{arguments:?}: {}", ended.printed);
    }
    // Without a context file in the working directory, an empty PETSEM_CONTEXT is none.
    let mut command = petsem(["secrets", "list"]);
    command.env("PETSEM_CONTEXT", "").current_dir("/");
    let ended = run(command);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
    assert!(ended.printed.contains("no server address given"), "{}", ended.printed);
}

#[test]
fn a_byte_order_mark_is_dropped_wherever_text_comes_from_a_file() {
    let dev = Dev::start();
    dev.set("shop", &json!({"V": "x"}));
    let path = |name: &str| dev.directory.path().join(name);
    let policy: Value = dev.own("GET", "/v1/apps/shop/policy", None).json()["policy"].clone();
    let jwt = dev.reader_jwt();
    let jwt = jwt.strip_prefix("Bearer ").unwrap();
    let token = std::fs::read_to_string(path("owner.token")).unwrap();
    let context = std::fs::read_to_string(path("context.toml")).unwrap();
    for (name, text) in [
        ("policy.json", policy.to_string()),
        ("claims.json", json!({"iss": Development::ISSUER, "sub": "developer"}).to_string()),
        ("a.jwt", jwt.to_owned()),
        ("a.token", token),
        ("a.toml", context),
        ("a.env", "W=y\n".to_owned()),
    ] {
        write(&path(name), 0o600, &format!("\u{feff}{text}"));
        let wide = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes);
        std::fs::write(path(&format!("{name}.wide")), wide.collect::<Vec<u8>>()).unwrap();
        std::fs::set_permissions(path(&format!("{name}.wide")), Permissions::from_mode(0o600)).unwrap();
    }
    for arguments in [
        &["policy", "set", "policy.json", "--token-file", "a.token"][..],
        &["policy", "test", "claims.json", "--policy", "policy.json", "--secret", "V"],
        &["run", "--jwt-file", "a.jwt", "--only", "V", "--", "true"],
        &["--context", "a.toml", "secrets", "list"],
        &["secrets", "import", "a.env"],
    ] {
        // An option of a subcommand stands behind it.
        let arguments: Vec<&str> = match arguments {
            ["--context", file, rest @ ..] => rest.iter().copied().chain(["--context", *file]).collect(),
            _ => arguments.to_vec(),
        };
        let ended = run(in_context(&dev, &arguments));
        assert!(ended.status.success(), "{arguments:?}: {}", ended.printed);
    }
    for arguments in [
        &["policy", "set", "policy.json.wide"][..],
        &["policy", "set", "policy.json", "--token-file", "a.token.wide"],
        &["run", "--jwt-file", "a.jwt.wide", "--only", "V", "--", "true"],
        &["secrets", "list", "--context", "a.toml.wide"],
        &["secrets", "import", "a.env.wide"],
    ] {
        let ended = run(in_context(&dev, arguments));
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {}", ended.printed);
        assert!(ended.printed.contains("UTF-16"), "{arguments:?}: {}", ended.printed);
        assert!(ended.printed.contains("save it as UTF-8"), "{arguments:?}: {}", ended.printed);
    }
}
