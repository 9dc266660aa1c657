//! Who owns the node's files. One start as root by mistake leaves files that the service's user cannot open: it is
//! refused, and a start that fails because of such files says how to give all of them back. A data directory that belongs
//! to another user as a whole is no such mistake: then this command runs as the wrong user.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use petsem_audit::AuditOpenError;
use petsem_store::OpenError;
use rustix::process::geteuid;

use crate::error::StartError;
use crate::messages;
use crate::settings::Settings;

/// Refuses to write as root into a data directory of another user.
pub(crate) fn check_user(settings: &Settings) -> Result<(), StartError> {
    check_owner(&settings.data_directory, geteuid().as_raw())
}

fn check_owner(directory: &Path, user: u32) -> Result<(), StartError> {
    match std::fs::metadata(directory) {
        Ok(metadata) if user == 0 && metadata.uid() != 0 => {
            let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            let name = name_of(metadata.uid(), &users);
            Err(messages::directory_of_another_user(directory, metadata.uid(), name))
        }
        _ => Ok(()),
    }
}

/// The refusal of a data directory of another user; `None` if it is this user's, if there is none, and for root.
pub(crate) fn foreign(data_directory: &Path) -> Option<StartError> {
    foreign_to(data_directory, geteuid().as_raw())
}

fn foreign_to(data_directory: &Path, user: u32) -> Option<StartError> {
    // A directory above it may be what keeps this user out.
    let nearest = data_directory.ancestors().find_map(|place| match std::fs::metadata(place) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
        examined => Some(examined.ok()),
    });
    let owner = nearest.flatten()?.uid();
    if user == 0 || owner == user {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = |user| (user, name_of(user, &users));
    Some(messages::command_of_another_user(data_directory, named(owner), named(user)))
}

/// The name of a user in `passwd(5)`.
fn name_of(user: u32, users: &str) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then_some(name)
    })
}

/// A failure to open files of the node, which says so if it can be that some belong to another user.
pub(crate) fn explained(settings: &Settings, error: StartError) -> StartError {
    let is_of_files = match &error {
        // These are no failures to open files.
        StartError::Store(OpenError::InUse { .. }) | StartError::Audit(AuditOpenError::InUse { .. }) => false,
        StartError::Store(_) | StartError::Node { .. } => true,
        StartError::Audit(error) => !error.is_loss(),
        _ => false,
    };
    let user = geteuid().as_raw();
    if !is_of_files || user == 0 {
        return error;
    }
    if let Some(refused) = foreign(&settings.data_directory) {
        return refused;
    }
    let directories = [settings.data_directory.as_path(), settings.audit.directory.as_path()];
    match files_of_others(&directories, user).split_first() {
        Some((first, more)) => messages::files_of_another_user(&error, first, more.len(), user, &directories),
        None => error,
    }
}

/// The directories and files in them that do not belong to this user. What cannot be examined is left out.
fn files_of_others(directories: &[&Path], user: u32) -> Vec<PathBuf> {
    let inside = |directory: &&Path| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut paths: Vec<PathBuf> = directories.iter().map(|directory| (*directory).to_owned()).collect();
    paths.extend(directories.iter().flat_map(inside));
    paths.retain(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.uid() != user));
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_does_not_start_on_a_directory_of_another_user() {
        let directory = tempfile::tempdir().unwrap();
        let owner = std::fs::metadata(directory.path()).unwrap().uid();
        assert_eq!(check_owner(directory.path(), owner).map_err(|error| error.to_string()), Ok(()));
        let absent = check_owner(&directory.path().join("absent"), 0);
        assert_eq!(absent.map_err(|error| error.to_string()), Ok(()));
        if owner == 0 {
            std::os::unix::fs::chown(directory.path(), Some(998), None).unwrap();
        }
        let owner = std::fs::metadata(directory.path()).unwrap().uid();
        let named = std::fs::read_to_string("/etc/passwd").unwrap();
        let expected = messages::directory_of_another_user(directory.path(), owner, name_of(owner, &named));
        assert_eq!(check_owner(directory.path(), 0).unwrap_err().to_string(), expected.to_string());
        let users =
            "root:x:0:0:root:/root:/bin/bash\npetsem:x:998:997::/var/lib/petsem:/usr/sbin/nologin\nodd\n";
        assert_eq!([name_of(998, users), name_of(997, users)], [Some("petsem"), None]);
        let refused = |name| messages::directory_of_another_user(Path::new("/var/lib/petsem"), 998, name);
        for (name, before) in
            [(Some("petsem"), "`runuser -u petsem --`"), (None, "`setpriv --reuid 998 --clear-groups`")]
        {
            assert!(refused(name).to_string().ends_with(&format!("put {before} before it")));
        }
    }

    #[test]
    fn another_user_is_told_whose_directory_it_is_and_never_to_take_it() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let owner = std::fs::metadata(&data).unwrap().uid();
        let told = |user| foreign_to(&data, user).map(|refused| refused.to_string());
        assert_eq!((told(owner), told(0)), (None, None));
        assert_eq!(foreign_to(&directory.path().join("absent"), owner + 1).map(|_| ()), None);
        assert!(told(owner + 1).unwrap().contains("this command runs as "));
        let refused = |owner, name| {
            let path = Path::new("/var/lib/petsem");
            messages::command_of_another_user(path, (owner, name), (1, Some("daemon"))).to_string()
        };
        assert_eq!(
            refused(998, Some("petsem")),
            "the data directory /var/lib/petsem belongs to petsem (uid 998), and this command runs as daemon (uid 1), who may \
             neither open the store nor talk to a server that runs there; nothing was changed\n\
             run the same command as petsem (uid 998): put `sudo -u petsem --` before it"
        );
        assert!(
            refused(998, None)
                .ends_with("run the same command as uid 998: put `sudo -u '#998' --` before it")
        );
    }

    #[test]
    fn files_of_others_are_named_with_the_command_that_gives_them_back() {
        let directory = tempfile::tempdir().unwrap();
        let (data, audit) = (directory.path().join("data"), directory.path().join("data/audit"));
        std::fs::create_dir_all(&audit).unwrap();
        std::fs::write(audit.join("audit-00000002.log"), "").unwrap();
        std::fs::write(data.join("petsem.db-wal"), "").unwrap();
        let us = std::fs::metadata(&data).unwrap().uid();
        let directories = [data.as_path(), audit.as_path()];
        assert_eq!(files_of_others(&directories, us), [""; 0].map(PathBuf::from));
        let all = ["", "audit", "audit/audit-00000002.log", "petsem.db-wal"].map(|name| data.join(name));
        assert_eq!(files_of_others(&directories, us + 1), all);
        let error = StartError::Refused("cannot open petsem.db-wal\nlook at the disk".to_owned());
        let (data, audit) = (Path::new("/var/lib/petsem"), Path::new("/var/log/my audit"));
        let explained =
            messages::files_of_another_user(&error, &data.join("petsem.db"), 2, 998, &[data, audit]);
        assert_eq!(
            explained.to_string(),
            "3 files of this node belong to another user than 998, which petsem runs as, such as \
             /var/lib/petsem/petsem.db: perhaps a command ran as root, and petsem cannot use them:\n\
             cannot open petsem.db-wal\nlook at the disk\n\
             stop what runs there, then as root: `chown -R 998 /var/lib/petsem '/var/log/my audit'`"
        );
    }
}
