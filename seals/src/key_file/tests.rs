//! The key-file seal on real files.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use getrandom::SysRng;
use petsem_keys::{KeyringKey, OpenError, RootKey, Seal as _, SealContext, SealError, SealExt as _};
use rand_core::UnwrapErr;
use tempfile::TempDir;

use super::{KEY_FILE_KIND, KeyFile, KeyFileError};
use crate::private_file::{PrivateFileError, PrivateFileFault};

const CONTEXT: SealContext = SealContext::root_key([1; 16], [2; 16], 3);

#[test]
fn an_unwrapped_root_key_opens_the_wraps_of_the_original() {
    let (directory, key_file) = new_key_file();
    let root = RootKey::generate(&mut rng(), 3);
    let keyring_key = KeyringKey::generate(&mut rng(), 1);
    let keyring_wrap = root.wrap_keyring_key(&mut rng(), &keyring_key, [1; 16]).unwrap();
    let wrapped = key_file.wrap(&mut rng(), &root, &CONTEXT).unwrap();

    let reopened = KeyFile::open(&directory.path().join("seal.key")).unwrap();
    let again = reopened.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap();
    assert_eq!(again.version(), 3);
    assert_eq!(again.unwrap_keyring_key(&keyring_wrap, [1; 16], 1).unwrap().version(), 1);
}

#[test]
fn a_new_key_file_is_two_lines_with_mode_0600() {
    let (_directory, key_file) = new_key_file();
    assert_eq!(mode(key_file.path()), 0o600);
    let text = fs::read_to_string(key_file.path()).unwrap();
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "petsem-key-file-v1");
    assert_eq!(lines[1].len(), 64);
    assert_eq!(lines[1].trim_matches(|c: char| c.is_ascii_digit() || ('a'..='f').contains(&c)), "");
}

#[test]
fn kind_and_description_name_the_file() {
    let (_directory, key_file) = new_key_file();
    assert_eq!(key_file.kind(), KEY_FILE_KIND);
    assert_eq!(key_file.describe(), format!("key file {}", key_file.path().display()));
}

#[test]
fn a_second_key_file_at_the_same_path_is_refused_and_the_first_stays() {
    let (_directory, key_file) = new_key_file();
    let before = fs::read(key_file.path()).unwrap();
    let error = KeyFile::create(&mut rng(), key_file.path()).unwrap_err().to_string();
    let path = key_file.path().display();
    assert_eq!(
        error,
        format!("{path} already exists; not overwritten; give another path, or use the key in it")
    );
    assert_eq!(fs::read(key_file.path()).unwrap(), before);
}

#[test]
fn every_permission_of_group_or_others_is_refused_with_the_mode_and_the_command() {
    let (_directory, key_file) = new_key_file();
    for bit in 0..6 {
        let mode = 0o600 | (1 << bit);
        fs::set_permissions(key_file.path(), Permissions::from_mode(mode)).unwrap();
        let path = key_file.path().display();
        assert_eq!(
            KeyFile::open(key_file.path()).unwrap_err().to_string(),
            format!(
                "the key file {path} has mode {mode:04o}, others than its owner have access to it; \
                 `chmod 600 {path}`, and take a new seal if another user may have read it"
            )
        );
    }
    fs::set_permissions(key_file.path(), Permissions::from_mode(0o400)).unwrap();
    assert_eq!(KeyFile::open(key_file.path()).unwrap(), key_file);
}

#[test]
fn permissions_are_checked_at_every_use() {
    let (_directory, key_file) = new_key_file();
    let wrapped = key_file.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap();
    fs::set_permissions(key_file.path(), Permissions::from_mode(0o644)).unwrap();
    let error = key_file.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap_err();
    assert!(matches!(error, SealError::Unavailable { .. }), "{error:?}");
    let path = key_file.path().display();
    assert_eq!(
        error.to_string(),
        format!(
            "the key file {path} has mode 0644, others than its owner have access to it; `chmod 600 {path}`, and \
             take a new seal if another user may have read it"
        )
    );
}

#[test]
fn a_symbolic_link_to_a_good_key_file_is_refused() {
    let (directory, key_file) = new_key_file();
    let link = directory.path().join("link.key");
    symlink(key_file.path(), &link).unwrap();
    assert_eq!(
        KeyFile::open(&link).unwrap_err().to_string(),
        format!("the key file {} is a symbolic link; give the path of the file itself", link.display())
    );
    let dangling = directory.path().join("dangling.key");
    symlink(directory.path().join("absent"), &dangling).unwrap();
    let error = KeyFile::create(&mut rng(), &dangling).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{} already exists; not overwritten; give another path, or use the key in it",
            dangling.display()
        )
    );
}

#[test]
fn a_path_that_is_not_a_regular_file_is_refused_without_waiting() {
    let directory = TempDir::new().unwrap();
    let fifo = directory.path().join("fifo.key");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for path in [fifo.as_path(), directory.path()] {
        assert_eq!(
            KeyFile::open(path).unwrap_err().to_string(),
            format!(
                "the key file {} is not a regular file; give the path of the file that holds the key",
                path.display()
            )
        );
    }
}

#[test]
fn a_missing_file_and_a_missing_directory_are_named() {
    let directory = TempDir::new().unwrap();
    let absent = directory.path().join("absent.key");
    assert_eq!(
        KeyFile::open(&absent).unwrap_err().to_string(),
        format!(
            "there is no key file {}; give the path of the one this store was made with, or put it back from your \
             backup of it",
            absent.display()
        )
    );
    // A file in place of a directory.
    let (_directory, key_file) = new_key_file();
    let beneath = key_file.path().join("seal.key");
    assert_eq!(
        KeyFile::open(&beneath).unwrap_err().to_string(),
        format!(
            "the key file {} could not be read; let petsem run as the user that owns it",
            beneath.display()
        )
    );

    let nowhere = directory.path().join("no/such/directory.key");
    let error = KeyFile::create(&mut rng(), &nowhere).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the key file {} could not be written; give a path in a directory that this user may write",
            nowhere.display()
        )
    );
    assert_eq!(error.source().unwrap().to_string(), "No such file or directory (os error 2)");
}

#[test]
fn a_file_of_another_user_is_refused_with_both_users_and_the_command() {
    let path = "/etc/petsem/seal.key".into();
    assert_eq!(
        KeyFileError::from(PrivateFileError {
            path,
            fault: PrivateFileFault::ForeignOwner { owner: 1001, us: 1000 }
        })
        .to_string(),
        "the key file /etc/petsem/seal.key belongs to user 1001, petsem runs as user 1000; \
         `chown 1000 /etc/petsem/seal.key` after making sure that no other user has read it"
    );
}

#[test]
fn a_key_file_cut_at_any_length_is_refused() {
    let (_directory, key_file) = new_key_file();
    let whole = fs::read(key_file.path()).unwrap();
    // The last byte is the newline, which may be missing.
    for length in 0..whole.len() - 1 {
        assert_eq!(
            open_content(&key_file, &whole[..length]),
            Err(content_error(key_file.path())),
            "{length}"
        );
    }
    assert_eq!(open_content(&key_file, &whole[..whole.len() - 1]), Ok(()));
}

#[test]
fn invalid_content_is_refused_and_not_printed() {
    let (_directory, key_file) = new_key_file();
    let whole = fs::read_to_string(key_file.path()).unwrap();
    let digits = whole.lines().nth(1).unwrap().to_owned();
    let wrong = [
        digits.clone(),
        format!("petsem-key-file-v2\n{digits}\n"),
        format!("petsem-key-file-v1\r\n{digits}\r\n"),
        format!("petsem-key-file-v1\n{}\n", "G".repeat(64)),
        format!("petsem-key-file-v1\n{}\n", "AB".repeat(32)),
        format!("petsem-key-file-v1\n{digits}0\n"),
        format!("petsem-key-file-v1\n{digits}00\n"),
        format!("{whole}\n"),
        format!("{whole}{}", "x".repeat(100_000)),
    ];
    for content in wrong {
        assert_eq!(
            open_content(&key_file, content.as_bytes()),
            Err(content_error(key_file.path())),
            "{}",
            content.len()
        );
    }
}

#[test]
fn a_wrap_opens_under_no_other_store_seal_root_version_or_key_file() {
    let (_directory, key_file) = new_key_file();
    let (_other_directory, other) = new_key_file();
    let wrapped = key_file.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap();
    let opened_by = |seal: &KeyFile, context: SealContext| refusal(seal, &wrapped, &context);
    assert_eq!(opened_by(&key_file, CONTEXT), None);
    for context in [
        SealContext::root_key([9; 16], [2; 16], 3),
        SealContext::root_key([1; 16], [9; 16], 3),
        SealContext::root_key([1; 16], [2; 16], 4),
    ] {
        assert_eq!(opened_by(&key_file, context), Some(OpenError::NotAuthentic));
    }
    assert_eq!(opened_by(&other, CONTEXT), Some(OpenError::NotAuthentic));
}

#[test]
fn the_key_file_of_another_store_is_named_with_a_hint() {
    let (_directory, key_file) = new_key_file();
    let (_other_directory, other) = new_key_file();
    let wrapped = key_file.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap();
    assert_eq!(
        other.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap_err().to_string(),
        format!(
            "key file {} does not open the root key of this store; give the seal that this store was made with, or \
             restore the store that belongs to it",
            other.path().display()
        )
    );
}

#[test]
fn a_root_key_of_another_version_than_the_context_is_not_wrapped() {
    let (_directory, key_file) = new_key_file();
    let error = key_file.wrap(&mut rng(), &RootKey::generate(&mut rng(), 4), &CONTEXT).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "key file {} could not wrap the root key; the store was left as it was",
            key_file.path().display()
        )
    );
}

#[test]
fn a_wrap_with_any_byte_changed_or_missing_is_refused() {
    let (_directory, key_file) = new_key_file();
    let wrapped = key_file.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap();
    for position in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[position] ^= 1;
        assert_ne!(refusal(&key_file, &changed, &CONTEXT), None, "byte {position}");
        assert_ne!(refusal(&key_file, &wrapped[..position], &CONTEXT), None, "length {position}");
    }
}

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn new_key_file() -> (TempDir, KeyFile) {
    let directory = TempDir::new().unwrap();
    let key_file = KeyFile::create(&mut rng(), &directory.path().join("seal.key")).unwrap();
    (directory, key_file)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Writes this content to the file and opens it; returns the error's text.
fn open_content(key_file: &KeyFile, content: &[u8]) -> Result<(), String> {
    fs::write(key_file.path(), content).unwrap();
    KeyFile::open(key_file.path()).map(drop).map_err(|error| error.to_string())
}

fn content_error(path: &Path) -> String {
    format!(
        "{} is not a whole petsem key file (a line `petsem-key-file-v1`, a line of 64 hexadecimal digits); put it back \
         from your backup of it",
        path.display()
    )
}

/// The error with which the seal refuses a wrap.
fn refusal(seal: &KeyFile, wrapped: &[u8], context: &SealContext) -> Option<OpenError> {
    match seal.unwrap::<RootKey>(wrapped, context) {
        Ok(_) => None,
        Err(SealError::NotItsWrap { source, .. }) => Some(source),
        Err(other) => panic!("{other:?}"),
    }
}
