//! The context file in the working directory may be anybody's: a command sends nothing to a server that it names unless it
//! is the user's own.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use petsem_integration::server::{petsem, run};

#[test]
fn a_context_file_that_others_can_write_gets_neither_token_nor_value() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("petsem-dev");
    fs::create_dir(&directory).unwrap();
    let attacker = TcpListener::bind("127.0.0.1:0").unwrap();
    attacker.set_nonblocking(true).unwrap();
    let address = attacker.local_addr().unwrap();
    let write = |name: &str, mode, text: &str| {
        fs::write(directory.join(name), text).unwrap();
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("operator.token", 0o600, "fm2_AAAA\n");
    let of =
        |token: &str| format!("endpoint = \"http://{address}\"\ntoken_file = \"{token}\"\napp = \"shop\"\n");
    let elsewhere = place.path().join("mine.token");
    fs::write(&elsewhere, "fm2_BBBB\n").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();

    let refused = |mode, text: &str, arguments: &[&str], fact: &str| {
        write("context.toml", mode, text);
        let mut command = petsem(arguments);
        command.current_dir(place.path());
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(2), "{}", ended.printed);
        assert!(ended.printed.contains(fact), "{}", ended.printed);
        let connected = attacker.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(connected, Err(ErrorKind::WouldBlock), "nothing was sent");
    };
    let list = ["secrets", "list"];
    refused(0o666, &of("operator.token"), &list, "other users can write petsem-dev/context.toml");
    refused(0o600, &of("../mine.token"), &list, "names petsem-dev/../mine.token, which is not beside it");
    let with_token = ["secrets", "list", "--token-file", "mine.token"];
    refused(
        0o600,
        &of("operator.token"),
        &with_token,
        "mine.token is not sent to the server of petsem-dev/context.toml",
    );
}
