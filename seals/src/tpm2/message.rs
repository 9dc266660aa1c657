//! The part of a TPM's sealed object that a wrap stores.

use petsem_keys::OpenError;

/// A name with SHA-256: the algorithm's number, then the digest.
pub(super) const NAME_LENGTH: usize = 34;

const HEADER_LENGTH: usize = NAME_LENGTH + 2;

/// A sealed object and the storage key that encrypts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SealedMessage {
    /// Name of the storage key.
    pub(super) parent: [u8; NAME_LENGTH],
    /// The object's public part, as TPMT_PUBLIC is marshalled.
    pub(super) public: Vec<u8>,
    /// Its private part, encrypted by the TPM.
    pub(super) private: Vec<u8>,
}

impl SealedMessage {
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let length = u16::try_from(self.public.len()).unwrap_or(u16::MAX).to_be_bytes();
        [self.parent.as_slice(), &length, &self.public, &self.private].concat()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let too_short = |minimum| OpenError::TooShort { length: bytes.len(), minimum };
        let (header, rest) = bytes.split_first_chunk::<HEADER_LENGTH>().ok_or(too_short(HEADER_LENGTH))?;
        let [parent @ .., high, low] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (public, private) = rest.split_at_checked(length).ok_or(too_short(HEADER_LENGTH + length))?;
        Ok(Self { parent, public: public.to_vec(), private: private.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn arbitrary_bytes_are_split_without_loss_or_refused(mut bytes: Vec<u8>, begins_well: bool) {
            if begins_well {
                bytes.splice(0..0, [7; NAME_LENGTH + 1]);
                bytes.insert(NAME_LENGTH, 0);
            }
            if let Ok(message) = SealedMessage::parse(&bytes) {
                prop_assert_eq!(message.to_vec(), bytes);
            }
        }
    }
}
