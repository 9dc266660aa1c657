//! The wrap of a seal whose key never leaves its device: the device encrypts a seal key that is made
//! for this wrap alone, and the seal key wraps the root key as every other does.
//!
//! `0x01 | length u16 | seal key as the device gave it | wrap of the root key`. The device is given
//! [`SealContext::seal_key_aad`], or what it has in its place; the wrap of the root key holds store,
//! seal and root version whether the device can or not.

use petsem_keys::{OpenError, RootKey, SealContext, SealError, SealKey};
use rand_core::CryptoRng;

const FORMAT: u8 = 0x01;
const HEADER_LENGTH: usize = 3;

/// Longest encrypted seal key, in bytes: an AWS KMS ciphertext may be that long.
const SEALED_KEY_MAXIMUM: usize = 6144;

/// Makes a wrap; `seal_key` has the device encrypt the new seal key.
pub(crate) fn wrap(
    rng: &mut dyn CryptoRng,
    root: &RootKey,
    context: &SealContext,
    seal: &str,
    seal_key: impl FnOnce(&mut dyn CryptoRng, &SealKey) -> Result<Vec<u8>, SealError>,
) -> Result<Vec<u8>, SealError> {
    let key = SealKey::generate(rng);
    let root = key
        .wrap_root_key(rng, root, context)
        .map_err(|source| SealError::Wrap { seal: seal.to_owned(), source })?;
    let sealed_key = seal_key(rng, &key)?;
    let length = u16::try_from(sealed_key.len()).unwrap_or(u16::MAX).to_be_bytes();
    let wrapped = [&[FORMAT], length.as_slice(), &sealed_key, &root].concat();
    // What could not be read back is not handed out.
    match parse(&wrapped) {
        Ok((same_key, same_root)) if same_key == sealed_key && same_root == root => Ok(wrapped),
        _ => Err(SealError::Wrap { seal: seal.to_owned(), source: petsem_keys::EncryptError::Cipher }),
    }
}

/// Opens a wrap; `open_key` has the device decrypt the seal key.
pub(crate) fn unwrap(
    wrapped: &[u8],
    context: &SealContext,
    seal: &str,
    open_key: impl FnOnce(&[u8]) -> Result<SealKey, SealError>,
) -> Result<RootKey, SealError> {
    let not_its_wrap = |source| SealError::NotItsWrap { seal: seal.to_owned(), source };
    let (sealed_key, root) = parse(wrapped).map_err(not_its_wrap)?;
    open_key(sealed_key)?.unwrap_root_key(root, context).map_err(not_its_wrap)
}

fn parse(bytes: &[u8]) -> Result<(&[u8], &[u8]), OpenError> {
    let too_short = |minimum| OpenError::TooShort { length: bytes.len(), minimum };
    let ([format, high, low], rest) =
        bytes.split_first_chunk::<HEADER_LENGTH>().ok_or(too_short(HEADER_LENGTH))?;
    if *format != FORMAT {
        return Err(OpenError::UnknownFormat { format: *format });
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > SEALED_KEY_MAXIMUM {
        return Err(OpenError::TooLong { length, maximum: SEALED_KEY_MAXIMUM });
    }
    rest.split_at_checked(length).ok_or(too_short(HEADER_LENGTH + length))
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use petsem_keys::EncryptError;
    use proptest::prelude::*;
    use rand_core::UnwrapErr;

    use super::*;

    const CONTEXT: SealContext = SealContext { store: [1; 16], seal: [2; 16], root_version: 3 };

    /// A device that only reverses the key.
    fn reversed(key: &SealKey) -> Vec<u8> {
        key.expose_seal_key().iter().rev().copied().collect()
    }

    fn opened(bytes: &[u8]) -> Result<SealKey, SealError> {
        SealKey::filled_by(|key| {
            key.iter_mut().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from);
            Ok(())
        })
    }

    fn wrapped() -> Vec<u8> {
        let rng = &mut UnwrapErr(SysRng);
        let root = RootKey::generate(rng, 3);
        wrap(rng, &root, &CONTEXT, "device", |_, key| Ok(reversed(key))).unwrap()
    }

    #[test]
    fn each_wrap_has_its_own_seal_key_and_opens_for_its_context_alone() {
        let wrapped = wrapped();
        assert_ne!(wrapped[3..35], self::wrapped()[3..35]);
        assert_eq!(unwrap(&wrapped, &CONTEXT, "device", opened).unwrap().version(), 3);
        for context in [
            SealContext { store: [9; 16], ..CONTEXT },
            SealContext { seal: [9; 16], ..CONTEXT },
            SealContext { root_version: 4, ..CONTEXT },
        ] {
            let error = unwrap(&wrapped, &context, "device", opened).unwrap_err();
            assert!(
                matches!(error, SealError::NotItsWrap { source: OpenError::NotAuthentic, .. }),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_wrap_with_any_byte_changed_or_missing_is_refused() {
        let wrapped = wrapped();
        for position in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[position] ^= 1;
            assert!(unwrap(&changed, &CONTEXT, "device", opened).is_err(), "byte {position}");
            assert!(unwrap(&wrapped[..position], &CONTEXT, "device", opened).is_err(), "length {position}");
        }
    }

    #[test]
    fn a_device_that_answers_more_than_the_format_holds_makes_no_wrap() {
        let rng = &mut UnwrapErr(SysRng);
        let root = RootKey::generate(rng, 3);
        for length in [SEALED_KEY_MAXIMUM + 1, 70_000] {
            let error = wrap(rng, &root, &CONTEXT, "device", |_, _| Ok(vec![0; length])).unwrap_err();
            assert!(matches!(error, SealError::Wrap { source: EncryptError::Cipher, .. }), "{error:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_bytes_are_split_without_loss_or_refused(mut bytes: Vec<u8>, begins_well: bool) {
            if begins_well && let [format, high, ..] = bytes.as_mut_slice() {
                (*format, *high) = (FORMAT, 0);
            }
            if let Ok((sealed_key, root)) = parse(&bytes) {
                let length = (sealed_key.len() as u16).to_be_bytes();
                prop_assert_eq!([&[FORMAT], length.as_slice(), sealed_key, root].concat(), bytes);
            }
        }
    }
}
