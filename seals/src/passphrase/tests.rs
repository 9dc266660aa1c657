//! The passphrase seal with its lowest cost.

use std::error::Error;

use getrandom::SysRng;
use petsem_keys::{KeyringKey, OpenError, RootKey, Seal as _, SealContext, SealError, SealExt as _};
use proptest::prelude::*;
use rand_core::{CryptoRng, UnwrapErr};
use zeroize::Zeroizing;

use super::{Argon2Parameters, HEADER_LENGTH, Header, PASSPHRASE_KIND, Passphrase, PassphraseError};

const CONTEXT: SealContext = SealContext::root_key([1; 16], [2; 16], 3);
const WORDS: &str = "correct horse battery staple";

#[test]
fn an_unwrapped_root_key_opens_the_wraps_of_the_original() {
    let root = RootKey::generate(&mut rng(), 3);
    let keyring_key = KeyringKey::generate(&mut rng(), 1);
    let keyring_wrap = root.wrap_keyring_key(&mut rng(), &keyring_key, [1; 16]).unwrap();
    let wrapped = seal(WORDS).wrap(&mut rng(), &root, &CONTEXT).unwrap();
    let again = seal(WORDS).unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap();
    assert_eq!(again.version(), 3);
    assert_eq!(again.unwrap_keyring_key(&keyring_wrap, [1; 16], 1).unwrap().version(), 1);
}

#[test]
fn the_key_is_argon2id_of_passphrase_salt_store_and_seal() {
    // From Python, by OpenSSL's implementation: Argon2id(salt=bytes([7] * 16), length=32, iterations=3, lanes=1,
    // memory_cost=65536, ad=bytes([1] * 16 + [2] * 16)).derive(b"correct horse battery staple").hex()
    let key = seal(WORDS).derive(&[7; 16], Argon2Parameters::LOWEST, &CONTEXT).unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(key.expose_seal_key()),
        "bee76a3ebe8346a129a8a7b11d738ee85f90baaac0ca68dc21a6afef44533e7d"
    );
}

#[test]
fn argon2id_gives_the_tag_of_rfc_9106() {
    // Section 5.3; its parameters are below what the seal accepts.
    let params = argon2::ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(argon2::AssociatedData::new(&[4; 12]).unwrap())
        .build()
        .unwrap();
    let mut memory = vec![argon2::Block::default(); params.block_count()];
    let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
    let argon2 = argon2::Argon2::new_with_secret(&[3; 8], algorithm, version, params).unwrap();
    let mut tag = [0; 32];
    argon2.hash_password_into_with_memory(&[1; 32], &[2; 16], &mut tag, &mut memory).unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(&tag),
        "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    );
}

#[test]
fn a_file_holds_what_a_person_types_and_whatever_else_it_has_is_refused() {
    let read = |content: &[u8]| Passphrase::from_text(content).map(|read| read.expose_text().to_string());
    for written in ["{}", "{}\n", "{}\r\n", "\u{feff}{}", "\u{feff}{}\n", "\u{feff}{}\r\n"] {
        let content = written.replace("{}", WORDS);
        assert_eq!(read(content.as_bytes()).unwrap(), WORDS, "{written:?}");
    }
    // Two lines, blanks, a newline of its own, UTF-16, nothing.
    let wide: Vec<u8> =
        std::iter::once(0xfeff).chain(WORDS.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let written = ["{}\n\n", "{} \n", " {}", "{}\r", "\n", "\u{feff}\r\n", ""];
    let refused = written.map(|written| written.replace("{}", WORDS).into_bytes());
    for content in refused.iter().chain([&wide]) {
        assert!(matches!(read(content), Err(PassphraseError::NotTypeable)), "{content:?}");
    }
}

#[test]
fn a_wrong_passphrase_is_refused_with_a_hint() {
    let wrapped = wrap(WORDS);
    let error = seal("correct horse battery stable").unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this passphrase does not open the root key of this store; type it again, mind the keyboard \
         layout and upper case, or use another seal of the store"
    );
    assert_eq!(error.source().unwrap().to_string(), OpenError::NotAuthentic.to_string());
}

#[test]
fn a_wrap_opens_for_no_other_store_seal_or_root_version() {
    let wrapped = wrap(WORDS);
    for context in [
        SealContext::root_key([9; 16], [2; 16], 3),
        SealContext::root_key([1; 16], [9; 16], 3),
        SealContext::root_key([1; 16], [2; 16], 4),
    ] {
        assert_eq!(refusal(&wrapped, &context), DOES_NOT_OPEN);
    }
}

#[test]
fn parameters_outside_the_bounds_are_refused_before_argon2id_runs() {
    let (lowest, highest) = (Argon2Parameters::LOWEST, Argon2Parameters::HIGHEST);
    let outside = [
        (lowest.memory_kib() - 1, 3, 1),
        (8, 1, 1),
        (highest.memory_kib() + 1, 3, 1),
        (u32::MAX, u32::MAX, u32::MAX),
        (lowest.memory_kib(), 2, 1),
        (lowest.memory_kib(), 9, 1),
        (lowest.memory_kib(), 3, 0),
        (lowest.memory_kib(), 3, 5),
    ];
    for (memory_kib, passes, lanes) in outside {
        let text = format!(
            "{memory_kib} KiB of memory, {passes} passes and {lanes} lanes are outside what petsem accepts \
             (65536 to 1048576 KiB, 3 to 8 passes, 1 to 4 lanes); give others, or if a stored seal says \
             so: it was changed, restore it from a backup"
        );
        let error = Argon2Parameters::new(memory_kib, passes, lanes).unwrap_err();
        assert_eq!(error.to_string(), text);

        let mut changed = wrap(WORDS);
        let stored = [memory_kib, passes, lanes].map(u32::to_be_bytes);
        changed[17..HEADER_LENGTH].copy_from_slice(stored.as_flattened());
        assert_eq!(refusal(&changed, &CONTEXT), text);
    }
}

#[test]
fn parameters_changed_within_the_bounds_open_nothing() {
    let wrapped = wrap(WORDS);
    // The salt, the lowest bytes of memory, passes and lanes, and the wrap of the root key.
    for position in [1, 16, 20, 24, 28, HEADER_LENGTH + 10, wrapped.len() - 1] {
        let mut changed = wrapped.clone();
        changed[position] ^= 4;
        if position == 28 {
            changed[position] ^= 4 | 3;
        }
        assert_eq!(refusal(&changed, &CONTEXT), DOES_NOT_OPEN, "byte {position}");
    }
}

#[test]
fn another_format_and_a_truncated_wrap_are_refused() {
    let wrapped = wrap(WORDS);
    for length in 0..HEADER_LENGTH {
        assert_eq!(
            Header::split(&wrapped[..length]),
            Err(OpenError::TooShort { length, minimum: HEADER_LENGTH })
        );
    }
    let mut changed = wrapped.clone();
    changed[0] = 2;
    assert_eq!(Header::split(&changed), Err(OpenError::UnknownFormat { format: 2 }));
    let error = seal(WORDS).unwrap::<RootKey>(&changed, &CONTEXT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "passphrase does not open the root key of this store; give the seal that this store was made with, or \
         restore the store that belongs to it"
    );
    let cut = seal(WORDS).unwrap::<RootKey>(&wrapped[..HEADER_LENGTH + 20], &CONTEXT).unwrap_err();
    assert!(matches!(cut, SealError::NotItsWrap { source: OpenError::TooShort { .. }, .. }), "{cut:?}");
}

#[test]
fn each_wrap_has_its_own_salt() {
    assert_ne!(wrap(WORDS)[1..17], wrap(WORDS)[1..17]);
}

#[test]
fn re_wrapping_raises_the_parameters_to_those_of_the_seal() {
    let wrapped = wrap(WORDS);
    let stronger = seal(WORDS).with_parameters(Argon2Parameters::new(64 * 1024, 4, 1).unwrap());
    assert!(!seal(WORDS).is_stronger_than(&wrapped));
    assert!(stronger.is_stronger_than(&wrapped));
    let root = stronger.unwrap::<RootKey>(&wrapped, &CONTEXT).unwrap();
    let again = stronger.wrap(&mut rng(), &root, &CONTEXT).unwrap();
    assert_eq!(Header::split(&again).unwrap().0.parameters.passes(), 4);
    assert!(!stronger.is_stronger_than(&again));
    assert_eq!(seal(WORDS).unwrap::<RootKey>(&again, &CONTEXT).unwrap().version(), 3);
}

#[test]
fn a_new_seal_uses_the_recommended_parameters() {
    let seal = Passphrase::new(Zeroizing::new(WORDS.to_owned())).unwrap();
    assert_eq!(seal.parameters, Argon2Parameters::RECOMMENDED);
    // What SECURITY.md says that each guess costs.
    assert_eq!((seal.parameters.memory_kib(), seal.parameters.passes()), (256 * 1024, 3));
    let wrapped = seal.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap();
    assert_eq!(Header::split(&wrapped).unwrap().0.parameters, seal.parameters);
    assert_eq!((seal.kind(), seal.describe().as_str()), (PASSPHRASE_KIND, "passphrase"));
}

#[test]
fn a_passphrase_that_a_person_could_not_retype_is_refused() {
    let long = "x".repeat(1025);
    for text in ["", " leading", "trailing ", "two\nlines", "a line\n", "tab\there", "bell\u{7}", &long] {
        let error = Passphrase::new(Zeroizing::new(text.to_owned())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid passphrase: it is empty, longer than 1024 bytes, begins or ends with white space, or holds a \
             control character such as a newline; give it as one line of text"
        );
    }
    assert_eq!(seal("пароль из шести разных слов").text.chars().count(), 27);
}

#[test]
fn a_passphrase_of_eleven_characters_may_open_a_store_but_not_seal_it() {
    let short = seal("elevenchars");
    assert_eq!(
        short.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap_err().to_string(),
        "the passphrase has 11 characters, a seal needs at least 12; take six or more random words"
    );
    let error = short.unwrap::<RootKey>(&wrap(WORDS), &CONTEXT).unwrap_err();
    assert_eq!(error.to_string(), DOES_NOT_OPEN);
}

#[test]
fn debug_and_errors_hold_no_passphrase() {
    let seal = seal("canary-in-a-coal-mine");
    let error = seal.unwrap::<RootKey>(&wrap(WORDS), &CONTEXT).unwrap_err();
    let short = Passphrase::new(Zeroizing::new("canary".to_owned())).unwrap();
    let too_short = short.wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap_err();
    for text in [format!("{seal:?}"), format!("{error:?} {error}"), format!("{too_short:?} {too_short}")] {
        assert_eq!(text.find("canary"), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_bytes_are_refused_or_reencode_to_the_same_bytes(bytes: Vec<u8>) {
        if let Ok((header, wrapped_key)) = Header::split(&bytes) {
            prop_assert_eq!([&header.to_vec(), wrapped_key].concat(), bytes);
        }
    }
}

const DOES_NOT_OPEN: &str = "this passphrase does not open the root key of this store; type it again, mind the \
                             keyboard layout and upper case, or use another seal of the store";

fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

fn seal(text: &str) -> Passphrase {
    let seal = Passphrase::new(Zeroizing::new(text.to_owned())).unwrap();
    seal.with_parameters(Argon2Parameters::LOWEST)
}

fn wrap(text: &str) -> Vec<u8> {
    seal(text).wrap(&mut rng(), &RootKey::generate(&mut rng(), 3), &CONTEXT).unwrap()
}

fn refusal(wrapped: &[u8], context: &SealContext) -> String {
    seal(WORDS).unwrap::<RootKey>(wrapped, context).unwrap_err().to_string()
}
