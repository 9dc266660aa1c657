//! Files in memory; the whole set is swapped at once.
//!
//! ```text
//! DIR/DATABASE_URL -> ..data/DATABASE_URL     what programs open
//! DIR/..data       -> ..7-0                   swapped by one rename
//! DIR/..7-0/DATABASE_URL                      0400, a generation: app version 7
//! ```
//!
//! A generation is complete before `..data` names it, so no reader sees a partial set. Secret names never start
//! with a dot, so they cannot collide with these.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use petsem_api::SecretName;
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::Injector;
use crate::bundle::Bundle;
use crate::error::{DeliveryError, Rejection};

/// The symbolic link that is swapped.
const CURRENT: &str = "..data";
/// `f_type` of tmpfs (statfs(2)).
const TMPFS: u32 = 0x0102_1994;
/// `f_type` of ramfs (statfs(2)).
const RAMFS: u32 = 0x8584_58f6;
/// How many generations of one app version can have a name.
const GENERATIONS: u32 = 1000;

const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);
const NEW_FILE: OFlags =
    OFlags::CREATE.union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::WRONLY);

/// Writes each secret to a file of its name under a directory (0700, files 0400) in memory.
#[derive(Debug)]
pub struct TmpfsDir {
    path: PathBuf,
    owner: Option<Owner>,
    disk: bool,
}

/// The owner of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user id.
    pub user: u32,
    /// The group id.
    pub group: u32,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmpfsReceipt {
    /// The directory.
    pub path: PathBuf,
    /// The name of the generation in it.
    pub generation: String,
    /// How many files it has.
    pub files: usize,
}

impl TmpfsDir {
    /// Files under `path`, which is created if its parent exists. It must be on tmpfs or ramfs; mount tmpfs
    /// with `noswap` if the kernel supports it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), owner: None, disk: false }
    }

    /// Gives directory and files to this owner before their names appear.
    #[must_use]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Also writes to a file system that is not in memory, where deleted values stay readable.
    #[must_use]
    pub fn danger_allow_disk(mut self) -> Self {
        self.disk = true;
        self
    }

    fn write(&self, bundle: &Bundle) -> io::Result<TmpfsReceipt> {
        match rustix::fs::mkdir(&self.path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let top = rustix::fs::open(&self.path, DIRECTORY, Mode::empty())?;
        rustix::fs::fchmod(&top, Mode::RWXU)?;
        let (generation, directory) = make_generation(top.as_fd(), bundle.version())?;
        let written = self.fill(top.as_fd(), &generation, directory, bundle);
        if written.is_err() {
            // No link names it yet. An error here occurs again at the next delivery, which reports it.
            drop(remove_generation(top.as_fd(), &generation));
        }
        written?;
        tidy(top.as_fd(), &generation, bundle)?;
        Ok(TmpfsReceipt { path: self.path.clone(), generation, files: bundle.len() })
    }

    fn fill(
        &self,
        top: BorrowedFd<'_>,
        generation: &str,
        directory: OwnedFd,
        bundle: &Bundle,
    ) -> io::Result<()> {
        for (name, value) in bundle.expose_secrets() {
            let file = rustix::fs::openat(&directory, name.as_str(), NEW_FILE, Mode::RUSR)?;
            rustix::fs::fchmod(&file, Mode::RUSR)?;
            self.give(file.as_fd())?;
            io::Write::write_all(&mut std::fs::File::from(file), value)?;
        }
        self.give(directory.as_fd())?;
        for name in bundle.names() {
            // Dangling until the swap, or left from the previous generation.
            match rustix::fs::symlinkat(format!("{CURRENT}/{name}"), top, name.as_str()) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let next = format!("{generation}.link");
        remove_name(top, &next)?;
        rustix::fs::symlinkat(generation, top, next.as_str())?;
        rustix::fs::renameat(top, next.as_str(), top, CURRENT)?;
        Ok(self.give(top)?)
    }

    fn give(&self, what: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        let (user, group) = (rustix::fs::Uid::from_raw(owner.user), rustix::fs::Gid::from_raw(owner.group));
        rustix::fs::fchown(what, Some(user), Some(group))
    }
}

impl Injector for TmpfsDir {
    type Receipt = TmpfsReceipt;

    fn check(&self, _: &Bundle) -> Result<(), Rejection> {
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let place = match rustix::fs::statfs(&self.path) {
            Err(Errno::NOENT) => rustix::fs::statfs(parent),
            found => found,
        };
        let place = place
            .map_err(|error| Rejection::NoDirectory(self.path.clone(), io::Error::from(error).kind()))?;
        // The field's width and sign differ between targets; its 32 bits do not.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "f_type is 32 bits of magic"
        )]
        let kind = place.f_type as u32;
        if self.disk || kind == TMPFS || kind == RAMFS {
            Ok(())
        } else {
            Err(Rejection::OnDisk(self.path.clone()))
        }
    }

    async fn deliver(self, bundle: Bundle) -> Result<TmpfsReceipt, DeliveryError> {
        self.check(&bundle)?;
        self.write(&bundle).map_err(|source| DeliveryError::Files { path: self.path, source })
    }
}

fn make_generation(top: BorrowedFd<'_>, version: u64) -> io::Result<(String, OwnedFd)> {
    for attempt in 0..GENERATIONS {
        let name = format!("..{version}-{attempt}");
        match rustix::fs::mkdirat(top, name.as_str(), Mode::RWXU) {
            Ok(()) => {
                let directory = rustix::fs::openat(top, name.as_str(), DIRECTORY, Mode::empty())?;
                return Ok((name, directory));
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes what the swap made obsolete: links of deleted secrets, and older generations.
fn tidy(top: BorrowedFd<'_>, current: &str, bundle: &Bundle) -> io::Result<()> {
    for entry in Dir::read_from(top)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with("..") {
            let ours = name.trim_start_matches('.').starts_with(|first: char| first.is_ascii_digit());
            if ours && name.ends_with(".link") {
                remove_name(top, name)?;
            } else if ours && name != current {
                remove_generation(top, name)?;
            }
        } else if name.parse::<SecretName>().is_ok_and(|name| bundle.names().all(|kept| *kept != name)) {
            remove_link(top, name)?;
        }
    }
    Ok(())
}

/// Removes a link into `..data`; a file from elsewhere is not removed.
fn remove_link(top: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::readlinkat(top, name, Vec::new()) {
        Ok(target) if target.to_bytes().starts_with(b"..data/") => {
            Ok(rustix::fs::unlinkat(top, name, AtFlags::empty())?)
        }
        _ => Ok(()),
    }
}

/// Removes what a killed delivery may have left under this name.
fn remove_name(top: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(top, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn remove_generation(top: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let directory = rustix::fs::openat(top, name, DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let file = entry.file_name();
        if file != c"." && file != c".." {
            rustix::fs::unlinkat(&directory, file, AtFlags::empty())?;
        }
    }
    Ok(rustix::fs::unlinkat(top, name, AtFlags::REMOVEDIR)?)
}
