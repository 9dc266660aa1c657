//! Real VMs for the tests: QEMU, a stock kernel, and an init that takes secrets over the Machine channel.
//!
//! The measurements are in the project's notes on boot injection: q35, because microvm sometimes hangs; TCG
//! unless KVM has booted; 30 s a boot. A VM that never printed its end line is booted once more, which is
//! counted; a wrong answer is never retried.
//!
//! Non-goals: VMs for production, and running the tests without QEMU. Without it they fail.

mod accelerator;
mod error;
mod flipping_proxy;
mod image;
mod initramfs;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use data_encoding::HEXLOWER;

pub use accelerator::Accelerator;
pub use error::VmError;
pub use flipping_proxy::FlippingProxy;
pub use image::VmImage;

/// The longest boot, from QEMU's start to its exit.
pub const BOOT_DEADLINE: Duration = Duration::from_secs(30);
/// The most bytes of serial output that are kept.
const MOST_SERIAL: u64 = 1024 * 1024;

/// One boot of a VM.
#[derive(Debug)]
pub struct Vm;

/// What the VM claims about itself (the host knows better), and the challenge over which it proves its
/// secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmClaims {
    /// The claimed Machine, or empty.
    pub machine: String,
    /// The claimed app, or empty.
    pub app: String,
    /// The test's own challenge: fresh, not secret.
    pub challenge: [u8; 32],
}

/// The result of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmOutcome {
    /// All output of the serial console.
    pub serial: String,
    /// QEMU's whole command line, to search it for plaintext.
    pub argv: Vec<String>,
    /// How many earlier boots never printed their end line.
    pub retries: u32,
}

impl Vm {
    /// Boots once, with the channel's socket at `channel`, and waits for the end, at most [`BOOT_DEADLINE`].
    /// A VM that still runs then is killed, and its outcome has not [ended](VmOutcome::ended).
    pub fn boot(image: &VmImage, channel: &Path, claims: &VmClaims) -> Result<VmOutcome, VmError> {
        let VmClaims { machine, app, challenge } = claims;
        let claimed = format!(
            "petsem.machine={machine} petsem.app={app} petsem.challenge={}",
            HEXLOWER.encode(challenge)
        );
        let path = channel.to_str().ok_or_else(|| VmError::Path(channel.into()))?.replace(',', ",,");
        let device = [
            "-device".to_owned(),
            "virtio-serial-pci".to_owned(),
            "-chardev".to_owned(),
            format!("socket,id=petsem0,path={path}"),
            "-device".to_owned(),
            format!("virtserialport,chardev=petsem0,name={}", petsem_client::PORT_NAME),
        ];
        run(image, image.accelerator(), &claimed, &device, BOOT_DEADLINE)
    }

    /// Boots, and once more without an end line. A channel serves one connection, so `channel` makes a socket
    /// for each boot; its argument is the number of earlier boots.
    pub fn boot_retrying(
        image: &VmImage,
        claims: &VmClaims,
        mut channel: impl FnMut(u32) -> io::Result<PathBuf>,
    ) -> Result<VmOutcome, VmError> {
        let mut make = |retries| channel(retries).map_err(VmError::Channel);
        let first = Self::boot(image, &make(0)?, claims)?;
        if first.ended() {
            return Ok(first);
        }
        let second = Self::boot(image, &make(1)?, claims)?;
        Ok(VmOutcome { retries: 1, ..second })
    }
}

impl VmOutcome {
    /// The proof that the VM printed, as hex.
    pub fn proof(&self) -> Option<&str> {
        self.line("PETSEM PROOF ")
    }

    /// The code of the DENY that the VM received.
    pub fn denied(&self) -> Option<u8> {
        self.line("PETSEM DENY ")?.parse().ok()
    }

    /// Whether the VM printed its end line, so that silence is not mistaken for an answer.
    pub fn ended(&self) -> bool {
        self.line("PETSEM END") == Some("")
    }

    fn line(&self, start: &str) -> Option<&str> {
        self.serial.lines().find_map(|line| line.trim().strip_prefix(start))
    }
}

/// Runs QEMU to its end or the deadline.
fn run(
    image: &VmImage,
    accelerator: Accelerator,
    parameters: &str,
    devices: &[String],
    deadline: Duration,
) -> Result<VmOutcome, VmError> {
    let argv = argv(image, accelerator, parameters, devices);
    let mut command = Command::new("qemu-system-x86_64");
    command.args(&argv).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(image.qemu_log()?);
    let child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => VmError::NoQemu,
        _ => VmError::Qemu(source),
    })?;
    let serial = Running(child).serial(deadline)?;
    Ok(VmOutcome { serial, argv, retries: 0 })
}

fn argv(image: &VmImage, accelerator: Accelerator, parameters: &str, devices: &[String]) -> Vec<String> {
    // init_on_free: the guest wipes memory that it frees, so that only the port's live ring keeps a copy.
    // On a busy machine an emulated timer ticks too late for the kernel's check at boot.
    let kernel_line =
        format!("console=ttyS0 quiet panic=-1 reboot=t no_timer_check init_on_free=1 {parameters}");
    let (kernel, initramfs) = (image.kernel().display().to_string(), image.initramfs().display().to_string());
    let mut argv: Vec<String> = "-M q35,dump-guest-core=off -m 256 -smp 1 -nodefaults -no-user-config \
         -display none -serial stdio -no-reboot \
         -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    argv.extend(accelerator.arguments().map(str::to_owned));
    argv.extend(["-kernel".to_owned(), kernel, "-initrd".to_owned(), initramfs]);
    argv.extend(["-append".to_owned(), kernel_line]);
    argv.extend_from_slice(devices);
    argv
}

/// A QEMU process. Killed when dropped, so that none outlives its test.
struct Running(Child);

impl Running {
    fn serial(mut self, deadline: Duration) -> Result<String, VmError> {
        let stdout = self.0.stdout.take().ok_or_else(|| VmError::Qemu(io::ErrorKind::BrokenPipe.into()))?;
        let (ended, received) = mpsc::channel();
        let reader =
            std::thread::spawn(move || read_serial(File::from(std::os::fd::OwnedFd::from(stdout)), &ended));
        // The serial output ends when QEMU does, and so shows the VM's end.
        let timed_out = received.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout);
        if timed_out {
            self.0.kill().map_err(VmError::Qemu)?;
        }
        let serial = reader.join().map_err(|_| VmError::Qemu(io::ErrorKind::Other.into()))?;
        let status = self.0.wait().map_err(VmError::Qemu)?;
        let serial = serial.map_err(VmError::Qemu)?;
        if timed_out || status.success() { Ok(serial) } else { Err(VmError::QemuFailed(status)) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process no longer exists.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_serial(serial: File, ended: &mpsc::Sender<()>) -> io::Result<String> {
    let mut bytes = Vec::new();
    let read = serial.take(MOST_SERIAL).read_to_end(&mut bytes);
    // The receiver may have given up.
    let _ = ended.send(());
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned())
}
