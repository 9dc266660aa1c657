//! A seal wraps a key of any role, and a wrap opens only in its own role.

use petsem_keys::{
    AppKek, EncryptError, OpenError, PollKey, RootKey, Seal, SealContext, SealError, SealExt as _, SealKey,
    SigningKey, WrapContext,
};
use rand_core::CryptoRng;

use crate::seeded::SeededRng;

const STORE: [u8; 16] = [0x71; 16];
const SEAL: [u8; 16] = [0x72; 16];
const APP: [u8; 16] = [0x73; 16];
const ID: [u8; 16] = [0x74; 16];
const HEADER: &[u8] = b"header";

/// A seal that keeps its key and has a header.
struct KeptKey([u8; 32]);

impl KeptKey {
    fn key(&self) -> Result<SealKey, SealError> {
        SealKey::filled_by(|key| {
            *key = self.0;
            Ok(())
        })
    }
}

impl Seal for KeptKey {
    fn kind(&self) -> &'static str {
        "kept key"
    }

    fn describe(&self) -> String {
        "kept key".to_owned()
    }

    fn new_key(
        &self,
        _rng: &mut dyn CryptoRng,
        _context: &SealContext,
    ) -> Result<(Vec<u8>, SealKey), SealError> {
        Ok((HEADER.to_vec(), self.key()?))
    }

    fn find_key<'w>(
        &self,
        wrapped: &'w [u8],
        _context: &SealContext,
    ) -> Result<(SealKey, &'w [u8]), SealError> {
        let too_short = OpenError::TooShort { length: wrapped.len(), minimum: HEADER.len() };
        Ok((self.key()?, wrapped.strip_prefix(HEADER).ok_or_else(|| self.refusal(too_short))?))
    }
}

fn refusal<T>(result: Result<T, SealError>) -> OpenError {
    match result {
        Err(SealError::NotItsWrap { seal, source }) => {
            assert_eq!(seal, "kept key");
            source
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it opened"),
    }
}

#[test]
fn a_seal_wraps_keys_of_every_role_and_each_opens_as_its_own() {
    let rng = &mut SeededRng::new("any role");
    let seal: Box<dyn Seal> = Box::new(KeptKey(rng.array()));
    let root_context = SealContext::root_key(STORE, SEAL, 3);
    let kek_context = SealContext { seal: SEAL, key: WrapContext::app_kek(STORE, APP, 2) };
    let context = SealContext { seal: SEAL, key: WrapContext::new(STORE, ID).owned_by(APP) };

    let (root, kek) = (RootKey::generate(rng, 3), AppKek::generate(rng, APP, 2));
    let poll = PollKey::generate(rng);
    let root = seal.wrap(rng, &root, &root_context).unwrap();
    let kek = seal.wrap(rng, &kek, &kek_context).unwrap();
    let poll = seal.wrap(rng, &poll, &context).unwrap();
    assert!([&root, &kek, &poll].iter().all(|wrapped| wrapped.starts_with(HEADER)));

    assert_eq!(seal.unwrap::<RootKey>(&root, &root_context).unwrap().version(), 3);
    let opened: AppKek = seal.unwrap(&kek, &kek_context).unwrap();
    assert_eq!((opened.app(), opened.version()), (&APP, 2));
    seal.unwrap::<PollKey>(&poll, &context).unwrap();

    assert_eq!(refusal(seal.unwrap::<SigningKey>(&poll, &context)), OpenError::NotAuthentic);
    assert_eq!(refusal(seal.unwrap::<RootKey>(&kek, &kek_context)), OpenError::NotAuthentic);
    let other_key = SealContext { key: WrapContext::new(STORE, SEAL).owned_by(APP), ..context };
    assert_eq!(refusal(seal.unwrap::<PollKey>(&poll, &other_key)), OpenError::NotAuthentic);
}

#[test]
fn a_key_that_differs_from_the_context_is_refused_before_the_seal_is_used() {
    struct UnusedSeal;

    impl Seal for UnusedSeal {
        fn kind(&self) -> &'static str {
            "unused seal"
        }

        fn describe(&self) -> String {
            "unused seal".to_owned()
        }

        fn new_key(
            &self,
            _rng: &mut dyn CryptoRng,
            _context: &SealContext,
        ) -> Result<(Vec<u8>, SealKey), SealError> {
            panic!("the seal was used")
        }

        fn find_key<'w>(
            &self,
            _wrapped: &'w [u8],
            _context: &SealContext,
        ) -> Result<(SealKey, &'w [u8]), SealError> {
            panic!("the seal was used")
        }
    }

    let rng = &mut SeededRng::new("unused seal");
    let root = RootKey::generate(rng, 3);
    let error = UnusedSeal.wrap(rng, &root, &SealContext::root_key(STORE, SEAL, 4)).unwrap_err();
    assert!(matches!(error, SealError::Wrap { source: EncryptError::OtherKey, .. }), "{error:?}");
}
