//! Loading a module, finding the token, logging in, finding the key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::{AuthPin, Ulong};
use zeroize::Zeroizing;

use super::{KEY_LENGTH, Pkcs11Error, Pkcs11Settings};
use crate::private_file;

/// Longest PIN file that is read, in bytes.
const PIN_MAXIMUM: usize = 256;

/// The modules that this process has loaded. They stay loaded: unloading runs third-party code at an unknown
/// time. The lock is held during each use, because a login belongs to the whole process.
static MODULES: Mutex<BTreeMap<PathBuf, Module>> = Mutex::new(BTreeMap::new());

/// Runs `work` in a session of the settings' token, logged in as its user, and logs out.
pub(super) fn with_session<T>(
    settings: &Pkcs11Settings,
    read_write: bool,
    work: impl FnOnce(&Session) -> Result<T, Pkcs11Error>,
) -> Result<T, Pkcs11Error> {
    let pin = read_pin(&settings.pin_file)?;
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let (module, (slot, session)) = match modules.get(&settings.module) {
        Some(module) => (module.clone(), open_again(module, settings, read_write)?),
        None => {
            let module = load(&settings.module)?;
            modules.insert(settings.module.clone(), module.clone());
            let opened = open(&module, settings, read_write)?;
            (module, opened)
        }
    };
    log_in(&module, slot, &session, &pin, settings)?;
    let result = work(&session);
    // The session ends below in any case, and the login with it.
    let _ = session.logout();
    result
}

/// The only AES key with that label, which must not be extractable.
pub(super) fn find_key(session: &Session, settings: &Pkcs11Settings) -> Result<ObjectHandle, Pkcs11Error> {
    let failed = |source| Pkcs11Error::Call { doing: "look for the key", source };
    let named = || (settings.token.clone(), settings.key.clone());
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(settings.key.clone().into_bytes()),
    ];
    let (token, key) = named();
    let handle = match session.find_objects(&template).map_err(failed)?.as_slice() {
        [] => return Err(Pkcs11Error::KeyAbsent { token, key }),
        [handle] => *handle,
        several => return Err(Pkcs11Error::KeyAmbiguous { token, key, count: several.len() }),
    };
    let wanted = [AttributeType::Sensitive, AttributeType::Extractable];
    let attributes = session.get_attributes(handle, &wanted).map_err(failed)?;
    let is_locked_in = attributes.contains(&Attribute::Sensitive(true))
        && attributes.contains(&Attribute::Extractable(false));
    if is_locked_in { Ok(handle) } else { Err(Pkcs11Error::KeyReadable { token, key }) }
}

/// Creates a key on the token that encrypts, decrypts and cannot be extracted.
pub(super) fn generate_key(session: &Session, settings: &Pkcs11Settings) -> Result<(), Pkcs11Error> {
    let failed = |source| Pkcs11Error::Call { doing: "make the key", source };
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(Ulong::try_from(KEY_LENGTH).map_err(failed)?),
        Attribute::Label(settings.key.clone().into_bytes()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).map_err(failed)?;
    find_key(session, settings).map(|_| ())
}

fn load(path: &Path) -> Result<Module, Pkcs11Error> {
    let failed = |source| Pkcs11Error::Module { path: path.into(), source };
    let module = Module::new(path).map_err(failed)?;
    initialise(&module).map_err(failed)?;
    Ok(module)
}

fn initialise(module: &Module) -> Result<(), Error> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(source) => Err(source),
    }
}

/// A session without a login.
fn open(
    module: &Module,
    settings: &Pkcs11Settings,
    read_write: bool,
) -> Result<(Slot, Session), Pkcs11Error> {
    let slot = find_slot(module, settings)?;
    let failed = |source| Pkcs11Error::Call { doing: "open a session", source };
    let session = if read_write { module.open_rw_session(slot) } else { module.open_ro_session(slot) }
        .map_err(failed)?;
    Ok((slot, session))
}

/// The same for a module that is already loaded. Many modules look for tokens only when they are initialised,
/// so this initialises it again to find a token that was absent. The lock is held, and no PIN is used until
/// then.
fn open_again(
    module: &Module,
    settings: &Pkcs11Settings,
    read_write: bool,
) -> Result<(Slot, Session), Pkcs11Error> {
    match open(module, settings, read_write) {
        Err(Pkcs11Error::TokenAbsent { .. } | Pkcs11Error::Call { .. }) => {
            // A module whose last initialisation failed has nothing to finalize.
            let _ = module.clone().finalize();
            let failed = |source| Pkcs11Error::Module { path: settings.module.clone(), source };
            initialise(module).map_err(failed)?;
            open(module, settings, read_write)
        }
        opened => opened,
    }
}

/// The slot of the only token with that label, which must support AES-GCM.
fn find_slot(module: &Module, settings: &Pkcs11Settings) -> Result<Slot, Pkcs11Error> {
    let failed = |source| Pkcs11Error::Call { doing: "list the tokens", source };
    let mut slots = Vec::new();
    let mut seen = Vec::new();
    for slot in module.get_slots_with_initialized_token().map_err(failed)? {
        // Skips a token that was removed in the meantime or is broken.
        let Ok(info) = module.get_token_info(slot) else { continue };
        if info.label() == settings.token {
            slots.push(slot);
        }
        seen.push(info.label().to_owned());
    }
    let token = settings.token.clone();
    let slot = match slots.as_slice() {
        [] => return Err(Pkcs11Error::TokenAbsent { token, seen }),
        [slot] => *slot,
        several => return Err(Pkcs11Error::TokenAmbiguous { token, count: several.len() }),
    };
    if module.get_mechanism_list(slot).map_err(failed)?.contains(&MechanismType::AES_GCM) {
        Ok(slot)
    } else {
        Err(Pkcs11Error::NoGcm { token })
    }
}

fn log_in(
    module: &Module,
    slot: Slot,
    session: &Session,
    pin: &AuthPin,
    settings: &Pkcs11Settings,
) -> Result<(), Pkcs11Error> {
    let failed = |source| Pkcs11Error::Call { doing: "log in", source };
    let token = settings.token.clone();
    let info = module.get_token_info(slot).map_err(failed)?;
    check_tries(&token, info.user_pin_locked(), info.user_pin_final_try())?;
    match session.login(UserType::User, Some(pin)) {
        // Another part of this process is already logged in, but not through this crate.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(Pkcs11Error::PinLocked { token }),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
            Err(Pkcs11Error::PinWrong { token, pin_file: settings.pin_file.clone() })
        }
        Err(Error::Pkcs11(RvError::UserPinNotInitialized, _)) => Err(Pkcs11Error::PinNotSet { token }),
        Err(source) => Err(failed(source)),
    }
}

/// The last try is not spent on a PIN that may be wrong: a restarting process would lock the token.
fn check_tries(token: &str, is_locked: bool, is_last_try: bool) -> Result<(), Pkcs11Error> {
    let token = token.to_owned();
    match (is_locked, is_last_try) {
        (true, _) => Err(Pkcs11Error::PinLocked { token }),
        (false, true) => Err(Pkcs11Error::PinLastTry { token }),
        (false, false) => Ok(()),
    }
}

fn read_pin(path: &Path) -> Result<AuthPin, Pkcs11Error> {
    let mut buffer = Zeroizing::new([0; PIN_MAXIMUM + private_file::MARK_AND_NEWLINE + 1]);
    let content =
        private_file::read(path, buffer.as_mut()).map_err(|source| Pkcs11Error::PinFile { source })?;
    let pin = std::str::from_utf8(private_file::without_mark_and_newline(content))
        .ok()
        .filter(|pin| !pin.is_empty() && pin.len() <= PIN_MAXIMUM && !pin.contains(char::is_control))
        .ok_or_else(|| Pkcs11Error::PinText { pin_file: path.into() })?;
    Ok(AuthPin::from(Box::<str>::from(pin)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_last_pin_attempt_and_a_locked_token_are_not_used() {
        let error_text = |locked, last| check_tries("ops", locked, last).map_err(|error| error.to_string());
        assert_eq!(error_text(false, false), Ok(()));
        assert_eq!(
            error_text(false, true),
            Err("token ops locks itself after one more wrong PIN, so petsem did not try; check the PIN in the \
                 PIN file and log in once with the token's own tool"
                .to_owned())
        );
        let locked = "token ops is locked after too many wrong PINs; have its security officer set a new PIN";
        assert_eq!(error_text(true, false), Err(locked.to_owned()));
        assert_eq!(error_text(true, true), Err(locked.to_owned()));
    }

    #[test]
    fn a_pin_file_has_one_line_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        let read = |content: &[u8], mode| {
            let _ = fs::remove_file(&path);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            read_pin(&path).map(drop).map_err(|error| error.to_string())
        };
        let named = path.display();
        let no_pin = Err(format!("{named} has no PIN; write the PIN there in one line, with nothing else"));
        for content in [b"1234".as_slice(), b"1234\n", b"1234\r\n", b"\xef\xbb\xbf1234"] {
            assert_eq!(read(content, 0o400), Ok(()), "{content:?}");
        }
        for content in [b"".as_slice(), b"\n", b"12\n34", b"1234\n\n", &[0xff; 8], &[b'1'; 300]] {
            assert_eq!(read(content, 0o600), no_pin, "{content:?}");
        }
        assert_eq!(
            read(b"1234", 0o640),
            Err(format!(
                "the PIN was not read: {named} has mode 0640, others than its owner have access to it; \
                 `chmod 600 {named}`, and change what is in it if another user may have read it"
            ))
        );
    }
}
