//! Signing keys are listed and replaced on the command line.

use petsem_integration::dev::Dev;
use petsem_integration::server::{petsem, run};

#[test]
fn the_command_line_lists_and_rotates() {
    let dev = Dev::start();
    let context = dev.layout().operator_token().with_file_name("context.toml");
    let command = |arguments: &[&str]| {
        let mut command = petsem(arguments);
        command.arg("--context").arg(&context);
        run(command)
    };
    let rotated = command(&["signing-key", "rotate", "--org", "demo"]);
    assert!(rotated.status.success(), "{}", rotated.printed);
    assert!(rotated.printed.contains("new tokens are signed with key "), "{}", rotated.printed);
    let listed = command(&["signing-key", "list"]).printed;
    assert_eq!(listed.matches("signs new tokens").count(), 2, "{listed}");
    assert_eq!(listed.matches("verifies older tokens").count(), 1, "{listed}");
}
