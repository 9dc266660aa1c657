//! The commands: storage key, session, sealing, opening.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Mutex, PoisonError};

use petsem_keys::SealKey;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use subtle::ConstantTimeEq;
use tss_esapi::Context;
use tss_esapi::attributes::{ObjectAttributesBuilder, SessionAttributesBuilder};
use tss_esapi::constants::response_code::Tss2ResponseCodeKind;
use tss_esapi::constants::{CapabilityType, PropertyTag, SessionType};
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Auth, CapabilityData, EccPoint, EccScheme, KeyDerivationFunctionScheme, KeyedHashScheme, Private, Public,
    PublicBuilder, PublicEccParametersBuilder, PublicKeyedHashParameters, SensitiveData, SymmetricDefinition,
    SymmetricDefinitionObject,
};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::traits::{Marshall as _, UnMarshall as _};
use zeroize::Zeroizing;

use super::error::{Tpm2Error, failure, kind};
use super::message::{NAME_LENGTH, SealedMessage};
use super::{Tpm2Device, error};

const KEY_LENGTH: usize = 32;

/// `/dev/tpm0` and swtpm accept one user: this process does not compete with itself.
static IN_USE: Mutex<()> = Mutex::new(());

/// Runs `work` with the chip's storage key and a session with it.
pub(super) fn with_chip<T>(
    device: &Tpm2Device,
    work: impl FnOnce(&mut Chip) -> Result<T, Tpm2Error>,
) -> Result<T, Tpm2Error> {
    let _in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut context = connect(device)?;
    let storage_key = make_storage_key(&mut context, device)?;
    let session = salted_session(&mut context, storage_key).map_err(failure(device, "start a session"))?;
    let mut chip = Chip { context, storage_key, session, device: device.clone() };
    let result = work(&mut chip);
    chip.flush();
    result
}

/// A connected chip, with its storage key loaded.
pub(super) struct Chip {
    context: Context,
    storage_key: KeyHandle,
    session: AuthSession,
    device: Tpm2Device,
}

impl Chip {
    /// The name of the storage key, unique to this chip.
    pub(super) fn storage_key_name(&mut self) -> Result<[u8; NAME_LENGTH], Tpm2Error> {
        let failed = failure(&self.device, "name its storage key");
        // libtss2 computes it from the public part to which the salt was encrypted.
        let name = self.context.tr_get_name(self.storage_key.into()).map_err(&failed)?;
        name.value().try_into().map_err(|_| Tpm2Error::NotUnderstood)
    }

    /// Seals `seal_key` together with `aad`.
    pub(super) fn seal(
        &mut self,
        seal_key: &SealKey,
        aad: &[u8],
        pin: Option<&[u8]>,
    ) -> Result<SealedMessage, Tpm2Error> {
        let failed = failure(&self.device, "seal the key");
        let parent = self.storage_key_name()?;
        let content = Zeroizing::new([seal_key.expose_seal_key().as_slice(), aad].concat());
        let content = SensitiveData::try_from(content.as_slice()).map_err(&failed)?;
        let pin_value = pin.map(Auth::try_from).transpose().map_err(&failed)?;
        let template = sealed_template(pin.is_some()).map_err(&failed)?;
        let parent_key = self.storage_key;
        let made = self
            .context
            .execute_with_session(Some(self.session), |context| {
                context.create(parent_key, template, pin_value, Some(content), None, None)
            })
            .map_err(&failed)?;
        let public = made.out_public.marshall().map_err(&failed)?;
        Ok(SealedMessage { parent, public, private: made.out_private.value().to_vec() })
    }

    /// Opens a message of [`Chip::seal`] for the same `aad`.
    pub(super) fn unseal(
        &mut self,
        sealed: &SealedMessage,
        aad: &[u8],
        pin: Option<&[u8]>,
    ) -> Result<SealKey, Tpm2Error> {
        if self.storage_key_name()? != sealed.parent {
            return Err(Tpm2Error::OtherChip { device: self.device.clone() });
        }
        let (Ok(public), Ok(private)) =
            (Public::unmarshall(&sealed.public), Private::try_from(sealed.private.as_slice()))
        else {
            return Err(Tpm2Error::NotItsOwn);
        };
        let wants_pin = !public.object_attributes().no_da();
        match (wants_pin, pin) {
            (true, None) => return Err(Tpm2Error::PinMissing),
            (false, Some(_)) => return Err(Tpm2Error::PinNotWanted),
            _ => {}
        }
        if wants_pin {
            self.check_tries()?;
        }
        self.danger_unseal_uncounted(public, private, aad, pin)
    }

    /// As [`Chip::unseal`], without checking the chip or the remaining tries.
    pub(super) fn danger_unseal_uncounted(
        &mut self,
        public: Public,
        private: Private,
        aad: &[u8],
        pin: Option<&[u8]>,
    ) -> Result<SealKey, Tpm2Error> {
        let failed = failure(&self.device, "open the sealed key");
        let (parent_key, session) = (self.storage_key, self.session);
        let loaded = self
            .context
            .execute_with_session(Some(session), |context| context.load(parent_key, private, public))
            .map_err(|source| match error::is_about_the_object(&source) {
                true => Tpm2Error::NotItsOwn,
                false => failed(source),
            })?;
        let object = ObjectHandle::from(loaded);
        let content = self.unseal_loaded(object, pin);
        let _ = self.context.execute_without_session(|context| context.flush_context(object));
        let content = content?;
        let (key, its_aad) = content.split_at_checked(KEY_LENGTH).ok_or(Tpm2Error::NotItsOwn)?;
        if !bool::from(its_aad.ct_eq(aad)) {
            return Err(Tpm2Error::NotItsOwn);
        }
        SealKey::filled_by(|bytes| match key.as_array() {
            Some(key) => {
                *bytes = *key;
                Ok(())
            }
            None => Err(Tpm2Error::NotItsOwn),
        })
    }

    fn unseal_loaded(
        &mut self,
        object: ObjectHandle,
        pin: Option<&[u8]>,
    ) -> Result<SensitiveData, Tpm2Error> {
        let failed = failure(&self.device, "open the sealed key");
        if let Some(pin) = pin {
            let pin = Auth::try_from(pin).map_err(&failed)?;
            self.context.tr_set_auth(object, pin).map_err(&failed)?;
        }
        let session = self.session;
        let opened = self.context.execute_with_session(Some(session), |context| context.unseal(object));
        opened.map_err(|source| match kind(&source) {
            Some(Tss2ResponseCodeKind::AuthFail | Tss2ResponseCodeKind::BadAuth) => {
                Tpm2Error::PinWrong { tries_left: self.tries_left().ok().flatten() }
            }
            Some(Tss2ResponseCodeKind::Lockout) => Tpm2Error::Locked,
            _ => failed(source),
        })
    }

    /// The last try is not spent on a PIN that may be wrong: a restarting process would lock the chip.
    fn check_tries(&mut self) -> Result<(), Tpm2Error> {
        let failed = failure(&self.device, "say how many wrong PINs there were");
        match self.tries_left().map_err(&failed)? {
            Some(0) => Err(Tpm2Error::Locked),
            Some(1) => Err(Tpm2Error::LastTry),
            _ => Ok(()),
        }
    }

    /// Wrong PINs that the chip still accepts before it locks itself.
    fn tries_left(&mut self) -> Result<Option<u32>, tss_esapi::Error> {
        let mut property = |tag: PropertyTag| {
            // Not `get_tpm_property`, which caches earlier answers.
            let (data, _) = self.context.execute_without_session(|context| {
                context.get_capability(CapabilityType::TpmProperties, tag.into(), 1)
            })?;
            let CapabilityData::TpmProperties(properties) = data else { return Ok(None) };
            Ok(properties.into_iter().find(|one| one.property() == tag).map(|one| one.value()))
        };
        let (failures, most) = (property(PropertyTag::LockoutCounter)?, property(PropertyTag::MaxAuthFail)?);
        Ok(failures.zip(most).map(|(failures, most)| most.saturating_sub(failures)))
    }

    /// Frees the chip's memory. What cannot be freed here is freed when the connection ends.
    fn flush(&mut self) {
        let session = ObjectHandle::from(SessionHandle::from(self.session));
        let key = ObjectHandle::from(self.storage_key);
        for handle in [session, key] {
            let _ = self.context.execute_without_session(|context| context.flush_context(handle));
        }
    }
}

fn connect(device: &Tpm2Device) -> Result<Context, Tpm2Error> {
    let address = match device {
        Tpm2Device::File(path) => {
            check_access(path, device)?;
            format!("device:{}", path.display())
        }
        Tpm2Device::Swtpm { port } => format!("swtpm:host=127.0.0.1,port={port}"),
    };
    let failed = |source| Tpm2Error::Absent { device: device.clone(), source };
    TctiNameConf::from_str(&address).and_then(Context::new).map_err(failed)
}

/// Checks access, because libtss2 reports an I/O error for every file.
fn check_access(path: &Path, device: &Tpm2Device) -> Result<(), Tpm2Error> {
    let device = device.clone();
    match rustix::fs::open(
        path,
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK,
        Mode::empty(),
    ) {
        Ok(_closed_again) => Ok(()),
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Err(Tpm2Error::NoDevice { device }),
        Err(Errno::ACCESS | Errno::PERM) => Err(Tpm2Error::NoAccess { device }),
        Err(Errno::BUSY) => Err(Tpm2Error::Busy { device }),
        Err(errno) => Err(Tpm2Error::DeviceFile { device, source: errno.into() }),
    }
}

fn make_storage_key(context: &mut Context, device: &Tpm2Device) -> Result<KeyHandle, Tpm2Error> {
    let failed = failure(device, "make its storage key");
    let template = storage_template().map_err(&failed)?;
    // The command has nothing secret: an empty password, a public template.
    let made = context.execute_with_session(Some(AuthSession::Password), |context| {
        context.create_primary(Hierarchy::Owner, template, None, None, None, None)
    });
    made.map(|made| made.key_handle).map_err(|source| match kind(&source) {
        Some(Tss2ResponseCodeKind::BadAuth | Tss2ResponseCodeKind::AuthFail) => Tpm2Error::OwnerPassword,
        Some(Tss2ResponseCodeKind::Hierarchy) => Tpm2Error::OwnerDisabled,
        _ => failed(source),
    })
}

/// An HMAC session with keys known only to this process and the chip.
fn salted_session(context: &mut Context, storage_key: KeyHandle) -> tss_esapi::Result<AuthSession> {
    let session = context.execute_without_session(|context| {
        context.start_auth_session(
            Some(storage_key),
            None,
            None,
            SessionType::Hmac,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        )
    })?;
    let session =
        session.ok_or(tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::WrongValueFromTpm))?;
    let (attributes, mask) = SessionAttributesBuilder::new()
        .with_continue_session(true)
        .with_decrypt(true)
        .with_encrypt(true)
        .build();
    context.tr_sess_set_attributes(session, attributes, mask)?;
    Ok(session)
}

/// The TCG's template of a storage root key on P-256, but with an empty unique field.
fn storage_template() -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        // Its own password is empty, so guessing does not matter.
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new()
        .with_ecc_scheme(EccScheme::Null)
        .with_curve(EccCurve::NistP256)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .with_symmetric(SymmetricDefinitionObject::AES_128_CFB)
        .with_is_decryption_key(true)
        .with_restricted(true)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// Sealed data: bound to this chip and parent, opened only by its PIN. Without a PIN it is exempt from the
/// chip's lockout, so that wrong PINs of other programs do not prevent a start.
fn sealed_template(with_pin: bool) -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_user_with_auth(true)
        .with_no_da(!with_pin)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Default::default())
        .build()
}
