//! The image of a VM: the distribution's own cloud kernel, and an initramfs with the tests' init.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use super::initramfs::Archive;
use super::{Accelerator, VmError};

/// The package that depends on the newest cloud kernel.
const KERNEL: &str = "linux-image-cloud-amd64";
/// The modules for a virtio-serial port, each after those that it depends on (`depends=`).
const MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_console",
];
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A bootable kernel and initramfs, and the accelerator.
#[derive(Clone, Debug)]
pub struct VmImage {
    directory: PathBuf,
    accelerator: Accelerator,
}

/// The image that the first caller in this process prepared.
static PREPARED: Mutex<Option<VmImage>> = Mutex::new(None);

impl VmImage {
    /// Fetches the kernel (once for each `target/`), builds the init (if cargo needs to), and chooses the
    /// accelerator, which it prints. Later calls in a process return the same image.
    pub fn prepare() -> Result<Self, VmError> {
        let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = &*prepared {
            return Ok(image.clone());
        }
        let image = Self::build()?;
        announce(image.accelerator);
        Ok(prepared.insert(image).clone())
    }

    /// The accelerator.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.directory.join("kernel/vmlinuz")
    }

    pub(super) fn initramfs(&self) -> PathBuf {
        self.directory.join("initramfs.cpio")
    }

    /// The file for QEMU's messages, of the latest VM.
    pub(super) fn qemu_log(&self) -> Result<File, VmError> {
        let path = self.directory.join("qemu.log");
        File::create(&path).map_err(|source| VmError::File { path, source })
    }

    fn build() -> Result<Self, VmError> {
        let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let directory = workspace.join("target/vm");
        on(&directory, |path| fs::create_dir_all(path))?;
        let mut image = Self { directory, accelerator: Accelerator::Tcg };
        // Concurrent test runs would overwrite each other's files. Held to the end of this function.
        let lock = image.directory.join("lock");
        let held = on(&lock, |path| File::create(path))?;
        on(&lock, |_| held.lock())?;
        if !image.kernel().exists() {
            fetch_kernel(&image.directory)?;
        }
        let init = build_init(workspace)?;
        image.write_initramfs(&init)?;
        image.accelerator = Accelerator::choose(&image)?;
        Ok(image)
    }

    fn write_initramfs(&self, init: &Path) -> Result<(), VmError> {
        let mut archive = Archive::new();
        archive.file("init", &on(init, |path| fs::read(path))?);
        for (at, module) in MODULES.iter().enumerate() {
            let path = self.directory.join(format!("kernel/{module}.ko"));
            // Absent if built into the kernel.
            if path.exists() {
                archive.file(&format!("modules/{at:02}-{module}.ko"), &on(&path, |path| fs::read(path))?);
            }
        }
        let whole = archive.finish();
        let next = self.directory.join("initramfs.next");
        on(&next, |path| fs::write(path, &whole))?;
        on(&self.initramfs(), |path| fs::rename(&next, path))
    }
}

/// Downloads the kernel package and extracts `vmlinuz` and the modules.
fn fetch_kernel(directory: &Path) -> Result<(), VmError> {
    let unpacked = directory.join("unpacked");
    let kept = directory.join("kernel.next");
    for stale in [&unpacked, &kept] {
        if stale.exists() {
            on(stale, |path| fs::remove_dir_all(path))?;
        }
        on(stale, |path| fs::create_dir_all(path))?;
    }
    let depends = output("apt-cache", Command::new("apt-cache").args(["depends", KERNEL]))?;
    let depends = String::from_utf8_lossy(&depends.stdout).into_owned();
    let mut packages = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let package = packages.find(|name| name.starts_with("linux-image"));
    let package = package.ok_or_else(|| VmError::NotInPackage(KERNEL.to_owned()))?;
    output("apt-get", Command::new("apt-get").args(["download", package]).current_dir(&unpacked))?;
    let archive = find(&unpacked, &|name| name.ends_with(".deb"))?;
    let archive = archive.ok_or_else(|| VmError::NotInPackage(package.to_owned()))?;
    output("dpkg-deb", Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked))?;

    let kernel = find(&unpacked.join("boot"), &|name| name.starts_with("vmlinuz"))?;
    let kernel = kernel.ok_or_else(|| VmError::NotInPackage("vmlinuz".to_owned()))?;
    on(&kernel, |path| fs::copy(path, kept.join("vmlinuz")))?;
    for module in MODULES {
        keep_module(&unpacked, &kept, module)?;
    }
    let place = directory.join("kernel");
    on(&kept, |path| fs::rename(path, place))?;
    on(&unpacked, |path| fs::remove_dir_all(path))
}

fn keep_module(unpacked: &Path, kept: &Path, module: &str) -> Result<(), VmError> {
    let (plain, packed) = (format!("{module}.ko"), format!("{module}.ko.xz"));
    let target = kept.join(&plain);
    let found = find(unpacked, &|name| name == plain || name == packed)?;
    let Some(found) = found else {
        let built_in = find(unpacked, &|name| name == "modules.builtin")?;
        let built_in = built_in.map(|path| on(&path, |path| fs::read_to_string(path))).transpose()?;
        let there =
            built_in.is_some_and(|list| list.lines().any(|line| line.ends_with(&format!("/{plain}"))));
        return if there { Ok(()) } else { Err(VmError::NotInPackage(plain)) };
    };
    if found.extension().is_some_and(|extension| extension == "xz") {
        let unpacked = output("xz", Command::new("xz").arg("-dc").arg(&found))?;
        on(&target, |path| fs::write(path, &unpacked.stdout))
    } else {
        on(&found, |path| fs::copy(path, &target)).map(|_| ())
    }
}

/// Builds the static init in its own target directory, because the tests hold the lock of this one.
fn build_init(workspace: &Path) -> Result<PathBuf, VmError> {
    let place = workspace.join("target/guest");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--package", "petsem-guest", "--release", "--target", TARGET])
        .current_dir(workspace)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_TARGET_DIR", &place);
    output("cargo", &mut build)?;
    Ok(place.join(TARGET).join("release/petsem-guest"))
}

/// The first file below `directory` whose name fits.
fn find(directory: &Path, fits: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>, VmError> {
    for entry in on(directory, |path| fs::read_dir(path))? {
        let entry = on(directory, |_| entry)?;
        let path = entry.path();
        if on(&path, |_| entry.file_type())?.is_dir() {
            if let Some(found) = find(&path, fits)? {
                return Ok(Some(found));
            }
        } else if entry.file_name().to_str().is_some_and(fits) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn output(program: &'static str, command: &mut Command) -> Result<Output, VmError> {
    let output = command.output().map_err(|source| VmError::Program { program, source })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(VmError::ProgramFailed { program, status: output.status, said })
}

fn on<T>(path: &Path, work: impl FnOnce(&Path) -> std::io::Result<T>) -> Result<T, VmError> {
    work(path).map_err(|source| VmError::File { path: path.into(), source })
}

#[expect(clippy::print_stderr, reason = "the output of a test run states what it ran on")]
fn announce(accelerator: Accelerator) {
    eprintln!("VMs run on {accelerator}");
}
