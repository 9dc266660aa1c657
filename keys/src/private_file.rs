//! Who else can read a file that holds a key or token. The crates that read such files ask here, so that all of them
//! give one answer.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

/// Permission bits of users other than the owner.
const OTHERS: u32 = 0o077;

/// User id of root, which can read every file anyway.
const ROOT: u32 = 0;

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

#[cfg(test)]
mod tests {
    use super::*;

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
