//! The initramfs: a cpio archive in the "newc" format (the kernel's buffer-format.rst), uncompressed.

use std::fmt::Write as _;

/// `S_IFDIR`, `S_IFREG`, `S_IFCHR` (inode(7)), with permissions.
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CONSOLE: u32 = 0o020_600;

/// An archive that grows entry by entry.
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// An archive with the directories that the init mounts over, and a console for its first output.
    pub(super) fn new() -> Self {
        let mut archive = Self { bytes: Vec::new(), entries: 0 };
        for directory in ["dev", "proc", "sys", "modules"] {
            archive.entry(directory, DIRECTORY, (0, 0), b"");
        }
        archive.entry("dev/console", CONSOLE, (5, 1), b"");
        archive
    }

    /// Adds a file, executable and owned by root.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, PROGRAM, (0, 0), content);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), b"");
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let mut head = String::from("070701");
        // inode, mode, uid, gid, links, mtime, size, device, device of a node, name's size, checksum (none)
        for field in [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0] {
            // Writing to a String cannot fail.
            let _ = write!(head, "{field:08x}");
        }
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_head_name_and_content_on_four_byte_bounds() {
        let mut archive = Archive { bytes: Vec::new(), entries: 0 };
        archive.file("init", b"12345");
        let head = concat!(
            "070701", "00000001", "000081ed", "00000000", "00000000", "00000001", "00000000", "00000005",
            "00000000", "00000000", "00000000", "00000000", "00000005", "00000000"
        );
        let expected = [head.as_bytes(), b"init\0\0", b"12345\0\0\0"].concat();
        assert_eq!(archive.bytes, expected);
        assert_eq!(archive.finish().len() % 4, 0);
    }
}
