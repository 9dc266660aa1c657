//! What can be wrong with a TPM, and what to do.

use std::io;
use std::path::PathBuf;

use petsem_keys::SealError;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind;

use super::Tpm2Device;
use crate::private_file::PrivateFileError;

/// Why a TPM did not seal or open. It never contains a PIN.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Tpm2Error {
    /// The configured device is invalid.
    #[error(
        "`{}` is not a TPM; give the path of its device file, usually /dev/tpmrm0",
        device.escape_default()
    )]
    DeviceText {
        /// The text.
        device: String,
    },
    /// The device file does not exist.
    #[error(
        "there is no TPM at {device}; switch it on in the firmware's setup, give the virtual machine one, \
         or give the path of its device file"
    )]
    NoDevice {
        /// The device.
        device: Tpm2Device,
    },
    /// The device file is not accessible.
    #[error("petsem may not use the TPM at {device}; add its user to the group of that file, usually tss")]
    NoAccess {
        /// The device.
        device: Tpm2Device,
    },
    /// The device file cannot be opened.
    #[error("the TPM at {device} cannot be opened; check the kernel's log")]
    DeviceFile {
        /// The device.
        device: Tpm2Device,
        /// The system's error.
        source: io::Error,
    },
    /// Another process uses the TPM, or it has no memory left.
    #[error(
        "the TPM at {device} is in use by another process; use /dev/tpmrm0, which the kernel shares, or \
         try again when the other is done"
    )]
    Busy {
        /// The device.
        device: Tpm2Device,
    },
    /// No TPM answers there.
    #[error("no TPM 2.0 answers at {device}; check the device, and that it is version 2.0")]
    Absent {
        /// The device.
        device: Tpm2Device,
        /// The error of libtss2.
        source: tss_esapi::Error,
    },
    /// The firmware did not start the TPM.
    #[error("the TPM at {device} was not started by the firmware; restart the machine")]
    NotStarted {
        /// The device.
        device: Tpm2Device,
    },
    /// The owner hierarchy has a password.
    #[error(
        "the TPM's owner hierarchy has a password, which petsem does not use; remove it (`tpm2_changeauth \
         -c owner`), or use another seal"
    )]
    OwnerPassword,
    /// The owner hierarchy is switched off.
    #[error(
        "the TPM's owner hierarchy is switched off; switch it on in the firmware's setup, or use another \
         seal"
    )]
    OwnerDisabled,
    /// It is not the TPM that sealed, or it was cleared.
    #[error(
        "the TPM at {device} is not the one that sealed this store, or it was cleared since; start petsem \
         on the machine where it was sealed, or open the store with another seal and add this TPM again"
    )]
    OtherChip {
        /// The device.
        device: Tpm2Device,
    },
    /// The PIN file was not read.
    #[error("the PIN was not read: {source}")]
    PinFile {
        /// The error.
        source: PrivateFileError,
    },
    /// The PIN file does not contain a valid PIN.
    #[error("{pin_file} has no PIN; write 1 to 32 bytes there in one line, with nothing else")]
    PinText {
        /// Its path.
        pin_file: PathBuf,
    },
    /// It was sealed with a PIN, and the settings have none.
    #[error("the TPM's key was sealed with a PIN, and none is set; give the file that holds it")]
    PinMissing,
    /// It was sealed without a PIN, and the settings have one.
    #[error("the TPM's key was sealed without a PIN, and one is set; omit it, or add the seal again with it")]
    PinNotWanted,
    /// The PIN is wrong.
    #[error("{}", wrong(*tries_left))]
    PinWrong {
        /// Wrong PINs that the TPM still accepts, if it reports them.
        tries_left: Option<u32>,
    },
    /// One more wrong PIN would lock the TPM, so it was not tried.
    #[error(
        "the TPM locks itself after one more wrong PIN, so petsem did not try; check the PIN file, then \
         wait until the TPM forgets a failure, or reset its count (`tpm2_dictionarylockout \
         --clear-lockout`)"
    )]
    LastTry,
    /// The TPM is locked and accepts no PIN now.
    #[error(
        "the TPM is locked after too many wrong PINs; wait until it opens again, or reset it with its \
         lockout password (`tpm2_dictionarylockout --clear-lockout`)"
    )]
    Locked,
    /// The TPM does not know the sealed object, or it was changed, or it has another context.
    #[error("the TPM does not open this; give the seal that this store was made with")]
    NotItsOwn,
    /// The TPM returned another key.
    #[error("the TPM did not give back what it had sealed; nothing was sealed; use another kind of seal")]
    NotReadBack,
    /// The answer of the TPM is malformed.
    #[error("the TPM gave its storage key a name of unknown form; use another kind of seal")]
    NotUnderstood,
    /// Another refusal.
    #[error("the TPM did not {doing}; check whether it works with `tpm2_selftest` and `tpm2_getcap`")]
    Call {
        /// The operation.
        doing: &'static str,
        /// The error of the TPM or libtss2.
        source: tss_esapi::Error,
    },
}

fn wrong(tries_left: Option<u32>) -> String {
    match tries_left {
        Some(tries) => format!(
            "the TPM refused the PIN (wrong ones left before it locks itself: {tries}); correct the PIN file before you \
             try again"
        ),
        None => "the TPM refused the PIN; correct the PIN file before you try again: it locks itself after a few wrong \
                 PINs"
            .to_owned(),
    }
}

/// The error of a command that failed while petsem was `doing` something.
pub(super) fn failure(
    device: &Tpm2Device,
    doing: &'static str,
) -> impl Fn(tss_esapi::Error) -> Tpm2Error + use<> {
    let device = device.clone();
    move |source| match kind(&source) {
        Some(Tss2ResponseCodeKind::Initialize) => Tpm2Error::NotStarted { device: device.clone() },
        Some(
            Tss2ResponseCodeKind::ObjectMemory
            | Tss2ResponseCodeKind::SessionMemory
            | Tss2ResponseCodeKind::Memory
            | Tss2ResponseCodeKind::Retry
            | Tss2ResponseCodeKind::Yielded
            | Tss2ResponseCodeKind::Testing,
        ) => Tpm2Error::Busy { device: device.clone() },
        _ => Tpm2Error::Call { doing, source },
    }
}

/// The response code, if the TPM sent one.
pub(super) fn kind(error: &tss_esapi::Error) -> Option<Tss2ResponseCodeKind> {
    match error {
        tss_esapi::Error::Tss2Error(code) => code.kind(),
        tss_esapi::Error::WrapperError(_) => None,
    }
}

/// Whether the TPM, or libtss2's parser, refuses a loaded object.
pub(super) fn is_about_the_object(error: &tss_esapi::Error) -> bool {
    match kind(error) {
        Some(
            Tss2ResponseCodeKind::Integrity
            | Tss2ResponseCodeKind::Size
            | Tss2ResponseCodeKind::Value
            | Tss2ResponseCodeKind::Type
            | Tss2ResponseCodeKind::Binding
            | Tss2ResponseCodeKind::Attributes
            | Tss2ResponseCodeKind::Hash
            | Tss2ResponseCodeKind::Scheme
            | Tss2ResponseCodeKind::Symmetric
            | Tss2ResponseCodeKind::Key
            | Tss2ResponseCodeKind::KeySize
            | Tss2ResponseCodeKind::Insufficient
            | Tss2ResponseCodeKind::ReservedBits
            | Tss2ResponseCodeKind::Sensitive,
        ) => true,
        Some(_) => false,
        None => matches!(error, tss_esapi::Error::WrapperError(_)),
    }
}

impl From<Tpm2Error> for SealError {
    fn from(source: Tpm2Error) -> Self {
        Self::Unavailable { source: Box::new(source) }
    }
}
