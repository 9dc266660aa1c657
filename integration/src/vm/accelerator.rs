//! KVM or TCG. `/dev/kvm` alone proves nothing: it also opens where no stock kernel boots under it.

use std::fs::File;
use std::time::Duration;

use super::{VmError, VmImage, run};

/// How long the boot that tries KVM may take.
const PROBE_DEADLINE: Duration = Duration::from_secs(10);

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU's translator: slower, and everywhere.
    Tcg,
}

impl Accelerator {
    /// `PETSEM_ACCEL`, if it is set; else KVM where the device is open to us, the processor has `svm` or
    /// `vmx`, and a VM has booted under it within 10 s; else TCG. Never a skip.
    pub(super) fn choose(image: &VmImage) -> Result<Self, VmError> {
        match std::env::var("PETSEM_ACCEL").as_deref() {
            Ok("kvm") => return Ok(Self::Kvm),
            Ok("tcg") => return Ok(Self::Tcg),
            Ok(other) => return Err(VmError::UnknownAccelerator(other.to_owned())),
            Err(_) => {}
        }
        let device = File::options().read(true).write(true).open("/dev/kvm").is_ok();
        if device && processor_virtualises() && probe(image) { Ok(Self::Kvm) } else { Ok(Self::Tcg) }
    }

    pub(super) fn arguments(self) -> impl Iterator<Item = &'static str> {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg", "-cpu", "max"],
        }
        .into_iter()
    }
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

fn processor_virtualises() -> bool {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut flags = processors.lines().filter(|line| line.starts_with("flags"));
    flags.any(|line| line.split_ascii_whitespace().any(|flag| flag == "svm" || flag == "vmx"))
}

/// Without a challenge the init says so and comes to its end line: a boot, whole and short.
fn probe(image: &VmImage) -> bool {
    run(image, Accelerator::Kvm, "", &[], PROBE_DEADLINE).is_ok_and(|outcome| outcome.ended())
}
