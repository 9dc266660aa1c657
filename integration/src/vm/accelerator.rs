//! KVM or TCG. An accessible `/dev/kvm` is not enough: a stock kernel may still fail to boot.

use std::fs::File;
use std::time::Duration;

use super::{VmError, VmImage, run};

/// The longest boot that tries KVM.
const PROBE_DEADLINE: Duration = Duration::from_secs(10);

/// The accelerator that runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's translator: slower, but works everywhere.
    Tcg,
}

impl Accelerator {
    /// `PETSEM_ACCEL`, if set; else KVM if the device is accessible, the processor has `svm` or `vmx`, and a
    /// VM booted with it within 10 s; else TCG. Never skips.
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

/// Without a challenge the init prints that and its end line: a complete, short boot.
fn probe(image: &VmImage) -> bool {
    run(image, Accelerator::Kvm, "", &[], PROBE_DEADLINE).is_ok_and(|outcome| outcome.ended())
}
