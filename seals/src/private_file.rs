//! Reading a file that only petsem's user may read: a key, a PIN.

use std::error::Error;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Permission bits of users other than the owner.
const OTHERS: u32 = 0o077;

/// User id of root, which can read every file anyway.
const ROOT: u32 = 0;

/// Why a file with a secret was not read.
#[derive(Debug)]
#[non_exhaustive]
pub struct PrivateFileError {
    /// Its path.
    pub path: PathBuf,
    /// The fault.
    pub fault: PrivateFileFault,
}

/// What is wrong with a file for a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum PrivateFileFault {
    /// The file does not exist.
    Missing,
    /// The path is a symbolic link.
    Link,
    /// The path is a directory, a device, a FIFO or a socket.
    NotAFile,
    /// The owner is neither petsem's user nor root.
    ForeignOwner {
        /// User id of its owner.
        owner: u32,
        /// Effective user id of this process.
        us: u32,
    },
    /// Group or others have a permission on the file.
    OpenToOthers {
        /// The file's permission bits.
        mode: u32,
    },
    /// The file could not be opened or read.
    Read {
        /// The system's error.
        source: io::Error,
    },
}

/// Reads into `buffer`, without a growing copy, until it is full or the file ends. The file must be a regular
/// one, owned by petsem's user or root, and closed to all other users.
pub(crate) fn read<'a>(path: &Path, buffer: &'a mut [u8]) -> Result<&'a [u8], PrivateFileError> {
    let fail = |fault| PrivateFileError { path: path.into(), fault };
    let mut file = open(path).map_err(fail)?;
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(fail(PrivateFileFault::Read { source })),
        }
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

/// The checks use the open file, so it cannot be replaced between check and use.
fn open(path: &Path) -> Result<File, PrivateFileFault> {
    // NONBLOCK: a FIFO in its place must not make this wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::NOENT) => return Err(PrivateFileFault::Missing),
        Err(Errno::LOOP) => return Err(PrivateFileFault::Link),
        Err(errno) => return Err(PrivateFileFault::Read { source: errno.into() }),
    };
    let metadata = file.metadata().map_err(|source| PrivateFileFault::Read { source })?;
    if !metadata.is_file() {
        return Err(PrivateFileFault::NotAFile);
    }
    check_owner(metadata.uid(), rustix::process::geteuid().as_raw())?;
    if is_open_to_others(&file, &metadata) {
        return Err(PrivateFileFault::OpenToOthers { mode: metadata.mode() & 0o7777 });
    }
    Ok(file)
}

/// Refuses a file that a user other than `us` and root owns.
fn check_owner(owner: u32, us: u32) -> Result<(), PrivateFileFault> {
    if owner != us && owner != ROOT {
        return Err(PrivateFileFault::ForeignOwner { owner, us });
    }
    Ok(())
}

/// Whether a user other than the owner, root and this process's user has access to an open file.
///
/// The mode alone does not tell: with a POSIX ACL, the bits of the group are the ACL's mask. systemd hands over
/// credentials so: owner root, and one entry for the service's user (systemd.exec(5), `LoadCredential=`).
pub fn is_open_to_others(file: &File, metadata: &Metadata) -> bool {
    if metadata.mode() & OTHERS == 0 {
        return false;
    }
    let mut buffer = [0; MAX_ACL];
    let read = rustix::fs::fgetxattr(file, "system.posix_acl_access", &mut buffer);
    // No ACL, or none that can be read: what the mode says counts.
    let Ok(acl) = read.map(|length| buffer.get(..length).unwrap_or_default()) else { return true };
    acl_names_others(acl, rustix::process::geteuid().as_raw())
}

/// Whether an ACL, as the kernel gives it, lets anyone in but the owner, root and `us`. One that is not understood does.
///
/// The format is that of Linux, `include/uapi/linux/posix_acl_xattr.h`: a version, then entries of tag, rights and id,
/// little-endian. The mask limits all entries but those of the owner and of all others (acl(5)).
fn acl_names_others(acl: &[u8], us: u32) -> bool {
    let Some((&[2, 0, 0, 0], entries)) = acl.split_first_chunk::<4>() else { return true };
    let (entries, rest) = entries.as_chunks::<8>();
    let entry = |&[kind, kind_high, rights, rights_high, id @ ..]: &[u8; 8]| {
        (
            u16::from_le_bytes([kind, kind_high]),
            u16::from_le_bytes([rights, rights_high]),
            u32::from_le_bytes(id),
        )
    };
    let mask =
        entries.iter().map(entry).find(|(kind, ..)| *kind == ACL_MASK).map_or(7, |(_, rights, _)| rights);
    !rest.is_empty()
        || entries.iter().map(entry).any(|(kind, rights, id)| match kind {
            ACL_OWNER | ACL_MASK => false,
            ACL_USER => id != us && id != ROOT && rights & mask != 0,
            ACL_OWNING_GROUP | ACL_GROUP => rights & mask != 0,
            ACL_OTHERS => rights != 0,
            _ => true,
        })
}

const ACL_OWNER: u16 = 0x01;
const ACL_USER: u16 = 0x02;
const ACL_OWNING_GROUP: u16 = 0x04;
const ACL_GROUP: u16 = 0x08;
const ACL_MASK: u16 = 0x10;
const ACL_OTHERS: u16 = 0x20;

/// Longest ACL that is read.
const MAX_ACL: usize = 4096;

impl fmt::Display for PrivateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            PrivateFileFault::Missing => write!(f, "there is no file {path}; write it, mode 0600"),
            PrivateFileFault::Link => {
                write!(f, "{path} is a symbolic link; give the path of the file itself")
            }
            PrivateFileFault::NotAFile => write!(f, "{path} is not a regular file; give the path of one"),
            PrivateFileFault::ForeignOwner { owner, us } => write!(
                f,
                "{path} belongs to user {owner}, petsem runs as user {us}; `chown {us} {path}` after \
                 making sure that no other user has read it"
            ),
            PrivateFileFault::OpenToOthers { mode } => write!(
                f,
                "{path} has mode {mode:04o}, others than its owner have access to it; \
                 `chmod 600 {path}`, and change what is in it if another user may have read it"
            ),
            PrivateFileFault::Read { source: _ } => {
                write!(f, "{path} could not be read; let petsem run as the user that owns it")
            }
        }
    }
}

// By hand: the source is that of `fault`, which is not an error itself.
impl Error for PrivateFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            PrivateFileFault::Read { source } => Some(source),
            PrivateFileFault::Missing
            | PrivateFileFault::Link
            | PrivateFileFault::NotAFile
            | PrivateFileFault::ForeignOwner { .. }
            | PrivateFileFault::OpenToOthers { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_user_is_refused_but_one_of_root_is_not() {
        let text = |result: Result<(), PrivateFileFault>| {
            result.map_err(|fault| PrivateFileError { path: "/etc/petsem/pin".into(), fault }.to_string())
        };
        assert_eq!(
            text(check_owner(1001, 1000)),
            Err("/etc/petsem/pin belongs to user 1001, petsem runs as user 1000; `chown 1000 \
                 /etc/petsem/pin` after making sure that no other user has read it"
                .to_owned())
        );
        assert_eq!(text(check_owner(0, 1000)), Ok(()));
        assert_eq!(text(check_owner(1000, 1000)), Ok(()));
    }

    /// An ACL of these entries: tag, rights, id.
    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, rights, id) in entries {
            bytes.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    const NOBODY: u32 = u32::MAX;

    /// As systemd writes it for a credential of user 1000, and then `changed`.
    fn credential(changed: impl FnOnce(&mut Vec<(u16, u16, u32)>)) -> Vec<u8> {
        let mut entries = vec![
            (ACL_OWNER, 4, NOBODY),
            (ACL_USER, 4, 1000),
            (ACL_OWNING_GROUP, 0, NOBODY),
            (ACL_MASK, 4, NOBODY),
            (ACL_OTHERS, 0, NOBODY),
        ];
        changed(&mut entries);
        acl(&entries)
    }

    #[test]
    fn an_acl_that_lets_in_only_petsems_user_is_private() {
        let is_open = |changed: fn(&mut Vec<_>)| acl_names_others(&credential(changed), 1000);
        assert!(!is_open(|_| ()));
        assert!(!is_open(|entries| entries.push((ACL_USER, 7, ROOT))));
        // The mask takes these rights away.
        assert!(!is_open(|entries| entries.push((ACL_GROUP, 3, 50))));
    }

    #[test]
    fn an_acl_that_lets_in_anyone_else_is_not_private() {
        let is_open = |changed: fn(&mut Vec<_>)| acl_names_others(&credential(changed), 1000);
        assert!(is_open(|entries| entries.push((ACL_USER, 4, 1001))));
        assert!(is_open(|entries| entries.push((ACL_GROUP, 4, 50))));
        assert!(is_open(|entries| entries[2].1 = 4));
        assert!(is_open(|entries| entries[4].1 = 1));
        assert!(is_open(|entries| entries.push((0x40, 0, 0))));
        assert!(acl_names_others(&[1, 0, 0, 0], 1000));
        assert!(acl_names_others(&credential(|_| ())[..9], 1000));
        assert!(acl_names_others(&[], 1000));
        assert!(acl_names_others(&credential(|_| ()), 1001));
    }

    #[test]
    fn the_acl_of_a_file_counts_and_its_mode_alone_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        std::fs::write(&path, "key").unwrap();
        let us = rustix::process::geteuid().as_raw();
        let set = |entries: &[(u16, u16, u32)]| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, "system.posix_acl_access", &acl(entries), flags).unwrap();
            let file = File::open(&path).unwrap();
            let metadata = file.metadata().unwrap();
            (metadata.mode() & 0o777, is_open_to_others(&file, &metadata))
        };
        let with = |user, group| {
            [
                (ACL_OWNER, 4, NOBODY),
                (ACL_USER, 4, user),
                (ACL_OWNING_GROUP, group, NOBODY),
                (ACL_MASK, 4, NOBODY),
                (ACL_OTHERS, 0, NOBODY),
            ]
        };
        assert_eq!(set(&with(us, 0)), (0o440, false));
        assert_eq!(set(&with(us, 4)), (0o440, true));
        assert_eq!(set(&with(us + 1, 0)), (0o440, true));
    }
}
