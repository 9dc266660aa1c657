//! The wrap of a seal whose own key never leaves its device: the device encrypts a [`SealKey`] that is used
//! only for this wrap.
//!
//! `0x01 | length u16 | seal key, encrypted by the device | wrapped key`. The device authenticates
//! [`SealContext::seal_key_aad`](petsem_keys::SealContext::seal_key_aad), or its equivalent. The wrap after
//! it is bound to store, seal and version in any case.

use petsem_keys::{EncryptError, OpenError, SealError, SealKey};
use rand_core::CryptoRng;

const FORMAT: u8 = 0x01;
const HEADER_LENGTH: usize = 3;

/// The longest encrypted seal key, in bytes: that of an AWS KMS ciphertext.
const SEALED_KEY_MAXIMUM: usize = 6144;

/// Creates a seal key and the header of its wrap; `seal_key` has the device encrypt the new key.
pub(crate) fn new_key(
    rng: &mut dyn CryptoRng,
    seal: &str,
    seal_key: impl FnOnce(&mut dyn CryptoRng, &SealKey) -> Result<Vec<u8>, SealError>,
) -> Result<(Vec<u8>, SealKey), SealError> {
    let key = SealKey::generate(rng);
    let sealed_key = seal_key(rng, &key)?;
    let length = u16::try_from(sealed_key.len()).unwrap_or(u16::MAX).to_be_bytes();
    let header = [&[FORMAT], length.as_slice(), &sealed_key].concat();
    // The header must be readable again.
    match parse(&header) {
        Ok((same_key, [])) if same_key == sealed_key => Ok((header, key)),
        _ => Err(SealError::Wrap { seal: seal.to_owned(), source: EncryptError::Cipher }),
    }
}

/// Opens the seal key of a wrap; `open_key` has the device decrypt it.
pub(crate) fn find_key<'w>(
    wrapped: &'w [u8],
    seal: &str,
    open_key: impl FnOnce(&[u8]) -> Result<SealKey, SealError>,
) -> Result<(SealKey, &'w [u8]), SealError> {
    let (sealed_key, wrapped_key) =
        parse(wrapped).map_err(|source| SealError::NotItsWrap { seal: seal.to_owned(), source })?;
    Ok((open_key(sealed_key)?, wrapped_key))
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
    use petsem_keys::{RootKey, Seal, SealContext, SealExt as _};
    use proptest::prelude::*;
    use rand_core::UnwrapErr;

    use super::*;

    const CONTEXT: SealContext = SealContext::root_key([1; 16], [2; 16], 3);

    /// A device that only reverses the key and appends `more` zeros.
    struct Device {
        more: usize,
    }

    impl Seal for Device {
        fn kind(&self) -> &'static str {
            "device"
        }

        fn describe(&self) -> String {
            "device".to_owned()
        }

        fn new_key(
            &self,
            rng: &mut dyn CryptoRng,
            _context: &SealContext,
        ) -> Result<(Vec<u8>, SealKey), SealError> {
            new_key(rng, "device", |_, key| {
                let reversed = key.expose_seal_key().iter().rev().copied();
                Ok(reversed.chain(std::iter::repeat_n(0, self.more)).collect())
            })
        }

        fn find_key<'w>(
            &self,
            wrapped: &'w [u8],
            _context: &SealContext,
        ) -> Result<(SealKey, &'w [u8]), SealError> {
            find_key(wrapped, "device", |sealed| {
                SealKey::filled_by(|key| {
                    key.iter_mut().zip(sealed.iter().rev()).for_each(|(to, from)| *to = *from);
                    Ok(())
                })
            })
        }
    }

    fn unwrap(wrapped: &[u8], context: &SealContext) -> Result<RootKey, SealError> {
        Device { more: 0 }.unwrap(wrapped, context)
    }

    fn wrapped() -> Vec<u8> {
        let rng = &mut UnwrapErr(SysRng);
        let root = RootKey::generate(rng, 3);
        Device { more: 0 }.wrap(rng, &root, &CONTEXT).unwrap()
    }

    #[test]
    fn each_wrap_has_its_own_seal_key_and_opens_only_in_its_context() {
        let wrapped = wrapped();
        assert_ne!(wrapped[3..35], self::wrapped()[3..35]);
        assert_eq!(unwrap(&wrapped, &CONTEXT).unwrap().version(), 3);
        for context in [
            SealContext::root_key([9; 16], [2; 16], 3),
            SealContext::root_key([1; 16], [9; 16], 3),
            SealContext::root_key([1; 16], [2; 16], 4),
        ] {
            let error = unwrap(&wrapped, &context).unwrap_err();
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
            assert!(unwrap(&changed, &CONTEXT).is_err(), "byte {position}");
            assert!(unwrap(&wrapped[..position], &CONTEXT).is_err(), "length {position}");
        }
    }

    #[test]
    fn an_answer_longer_than_the_format_allows_is_refused() {
        let rng = &mut UnwrapErr(SysRng);
        let root = RootKey::generate(rng, 3);
        for length in [SEALED_KEY_MAXIMUM + 1, 70_000] {
            let error = Device { more: length - 32 }.wrap(rng, &root, &CONTEXT).unwrap_err();
            assert!(matches!(error, SealError::Wrap { source: EncryptError::Cipher, .. }), "{error:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn arbitrary_bytes_are_split_without_loss_or_refused(mut bytes: Vec<u8>, begins_well: bool) {
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
