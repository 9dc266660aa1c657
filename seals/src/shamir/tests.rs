//! The Shamir seal, from printing shares to opening with them.

use std::collections::HashSet;

use getrandom::SysRng;
use petsem_keys::{KeyringKey, OpenError, RootKey, Seal as _, SealContext, SealError, SealExt as _};
use proptest::prelude::*;
use rand_core::{CryptoRng, UnwrapErr};

use super::text::{self, BYTES};
use super::{
    Roster, SHAMIR_KIND, SHARES_MAXIMUM, SetId, Shamir, Share, ShareError, ShareProgress, ShareSet,
    SplitError, TypingFault,
};

const CONTEXT: SealContext = SealContext::root_key([1; 16], [2; 16], 3);

#[test]
fn any_threshold_of_the_shares_opens_for_every_threshold_and_count() {
    for (threshold, count) in (2..=SHARES_MAXIMUM).flat_map(|count| (2..=count).map(move |k| (k, count))) {
        let store = Store::split(threshold, count);
        let last = usize::from(count - threshold);
        // The last ones, in descending order: neither order nor position matters.
        let mut set = store.empty_set();
        for (given, text) in (1..).zip(store.texts[last..].iter().rev()) {
            assert_eq!(set.add(text), Ok(ShareProgress { given, threshold, count }));
            assert_eq!(set.progress().missing(), threshold - given);
            assert_eq!(set.combine().is_ok(), given == threshold, "{given} of {threshold}");
        }
        assert!(store.is_opened_by(&set), "{threshold} of {count}");
    }
}

#[test]
fn more_shares_than_the_threshold_are_accepted_and_open() {
    let store = Store::split(2, 5);
    let set = store.set_of(&[4, 1, 2, 0, 3]);
    assert_eq!(set.numbers().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(set.progress().missing(), 0);
    assert!(store.is_opened_by(&set));
}

#[test]
fn too_few_shares_are_refused_with_the_number_that_is_missing() {
    let store = Store::split(3, 5);
    let set_id = store.set_id();
    let error_text = |given: &[usize]| store.set_of(given).combine().unwrap_err().to_string();
    assert_eq!(
        error_text(&[]),
        format!("0 of the 3 shares that are needed were given; give 3 more of set {set_id}")
    );
    assert_eq!(
        error_text(&[1, 4]),
        format!("2 of the 3 shares that are needed were given; give 1 more of set {set_id}")
    );
}

#[test]
fn a_mistyped_share_is_named_with_its_group_and_the_others_are_kept() {
    let store = Store::split(3, 5);
    let mut set = store.set_of(&[0]);
    let mut groups: Vec<String> = store.texts[3].split('-').map(str::to_owned).collect();
    let other = if groups[8].starts_with('7') { "8" } else { "7" };
    groups[8].replace_range(0..1, other);
    let error = set.add(&groups.join("-")).unwrap_err();
    assert_eq!(error, ShareError::Typing { share: Some(4), fault: TypingFault::Checks { groups: vec![9] } });
    assert_eq!(error.to_string(), "share 4 is typed wrong: group 9 of 18; compare with what was printed");
    let in_the_first = store.texts[3].replacen('0', "1", 1);
    assert_eq!(
        set.add(&in_the_first).unwrap_err().to_string(),
        "this share is typed wrong: group 1 of 18; compare with what was printed"
    );
    assert_eq!(set.numbers().collect::<Vec<_>>(), [1]);
    assert_eq!(set.add(&store.texts[3]).map(|progress| progress.given), Ok(2));
}

#[test]
fn each_typing_fault_has_its_own_text() {
    let faults = [
        (TypingFault::TooLong, "it is far too long; give one share at a time, and nothing else"),
        (
            TypingFault::Symbol { group: 2 },
            "group 2 has a character that no share has; digits and letters but U are used, in groups of 5",
        ),
        (
            TypingFault::GroupLength { group: 2, symbols: 4 },
            "group 2 has 4 of 5 characters, or the one before has too many; compare both with what was printed",
        ),
        (
            TypingFault::Length { symbols: 85 },
            "it has 85 characters, a share has 90, 18 groups of 5; look for what is missing or too much",
        ),
        (
            TypingFault::Checks { groups: vec![2, 3, 18] },
            "groups 2, 3 and 18 of 18; compare with what was printed",
        ),
    ];
    for (fault, text) in faults {
        assert_eq!(
            ShareError::Typing { share: Some(1), fault }.to_string(),
            format!("share 1 is typed wrong: {text}")
        );
    }
}

#[test]
fn a_share_of_another_set_is_named_with_both_sets() {
    let (store, other) = (Store::split(2, 3), Store::split(2, 3));
    let mut set = store.set_of(&[0]);
    let (ours, theirs) = (store.set_id(), other.set_id());
    assert_eq!(
        set.add(&other.texts[1]).unwrap_err().to_string(),
        format!(
            "share 2 is of set {theirs}, this store is opened by set {ours}; look for the one that says {ours}"
        )
    );
    assert_eq!(set.progress().given, 1);
}

#[test]
fn a_forged_share_is_refused_and_the_real_one_is_still_accepted() {
    let store = Store::split(2, 3);
    let mut set = store.set_of(&[0]);
    let mut forged = Share::parse(&store.texts[1]).unwrap();
    forged.secret[31] ^= 1;
    let set_id = store.set_id();
    assert_eq!(
        set.add(&forged.expose_text()),
        Err(ShareError::NotInTheSet { share: 2, set: set_id.clone() })
    );
    assert_eq!(
        set.add(&forged.expose_text()).unwrap_err().to_string(),
        format!(
            "share 2 names set {set_id}, but was not made with it; look for the one that was printed, and ask where \
             this one came from"
        )
    );
    // A number outside the set, with a valid checksum.
    forged.number = 9;
    forged.count = 16;
    assert_eq!(set.add(&forged.expose_text()), Err(ShareError::NotInTheSet { share: 9, set: set_id }));
    set.add(&store.texts[1]).unwrap();
    assert!(store.is_opened_by(&set));
}

#[test]
fn the_same_share_twice_counts_once() {
    let store = Store::split(3, 5);
    let mut set = store.set_of(&[2]);
    assert_eq!(
        set.add(&store.texts[2].to_lowercase()).unwrap_err().to_string(),
        "share 3 was given already; give another one, 1 of the 3 shares that are needed were given"
    );
    assert_eq!(set.progress().given, 1);
}

#[test]
fn shares_of_a_newer_format_and_impossible_shares_are_refused() {
    let store = Store::split(2, 3);
    let mut bytes = text::read(&store.texts[0]).bytes;
    bytes[0] = 2;
    assert_eq!(
        store.empty_set().add(&text::print(&bytes)).unwrap_err().to_string(),
        "the share is in format 2, which this build does not know; use a newer petsem"
    );
    let real = || Share::parse(&store.texts[0]).unwrap();
    let impossible = [
        Share { number: 0, ..real() },
        Share { number: 4, ..real() },
        Share { threshold: 1, ..real() },
        Share { threshold: 4, ..real() },
        Share { count: 17, ..real() },
    ];
    assert_eq!(
        ShareError::Checksum { share: 3 }.to_string(),
        "share 3 is typed wrong in several groups; compare all of it with what was printed"
    );
    for share in impossible {
        assert_eq!(
            store.empty_set().add(&share.expose_text()),
            Err(ShareError::Checksum { share: share.number })
        );
    }
}

#[test]
fn impossible_sets_of_shares_are_refused() {
    for (threshold, count) in [(0, 0), (0, 3), (1, 1), (1, 3), (4, 3), (2, 17), (17, 17), (255, 255)] {
        assert_eq!(
            Shamir::split(&mut rng(), threshold, count).map(|_| ()).unwrap_err(),
            SplitError { threshold, count }
        );
    }
    assert_eq!(
        SplitError { threshold: 1, count: 3 }.to_string(),
        "1 of 3 shares cannot be made to open a store; give at least 2 that open, not more than there are, \
         and at most 16 in all"
    );
}

#[test]
fn fewer_shares_than_the_threshold_reveal_nothing_about_the_key() {
    // With one share of two, every key is equally possible: two sets of the same key have nothing in common
    // except by chance.
    let key = [0x5a; 32];
    let firsts: HashSet<[u8; 32]> =
        (0..64).map(|_| **super::sharing::split(&mut rng(), &key, 2, 2)[0]).collect();
    assert_eq!(firsts.len(), 64);
    assert!(!firsts.contains(&key));
}

#[test]
fn a_wrap_opens_for_no_other_store_seal_root_version_or_set() {
    let store = Store::split(2, 3);
    let seal = store.set_of(&[0, 1]).combine().unwrap();
    for context in [
        SealContext::root_key([9; 16], [2; 16], 3),
        SealContext::root_key([1; 16], [9; 16], 3),
        SealContext::root_key([1; 16], [2; 16], 4),
    ] {
        assert_eq!(refusal(&seal, &store.wrapped, &context), OpenError::NotAuthentic);
    }
    let other = Store::split(2, 3);
    assert_eq!(refusal(&seal, &other.wrapped, &CONTEXT), OpenError::NotAuthentic);
    assert_eq!(
        seal.unwrap::<RootKey>(&other.wrapped, &CONTEXT).unwrap_err().to_string(),
        format!(
            "any 2 of the 3 shares of set {} does not open the root key of this store; give the seal that this store \
             was made with, or restore the store that belongs to it",
            store.set_id()
        )
    );
}

#[test]
fn bytes_that_are_not_a_shamir_wrap_are_refused_before_shares_are_collected() {
    for bytes in [[].as_slice(), &[1, 2, 3], &[9; 200]] {
        assert_eq!(
            ShareSet::for_wrap(bytes).map(drop).unwrap_err().to_string(),
            "shamir does not open the root key of this store; give the seal that this store was made with, or \
             restore the store that belongs to it"
        );
    }
}

#[test]
fn a_wrap_with_any_byte_changed_or_missing_is_refused() {
    let store = Store::split(2, 2);
    let seal = store.set_of(&[0, 1]).combine().unwrap();
    for position in 0..store.wrapped.len() {
        let mut changed = store.wrapped.clone();
        changed[position] ^= 1;
        refusal(&seal, &changed, &CONTEXT);
        refusal(&seal, &store.wrapped[..position], &CONTEXT);
    }
}

#[test]
fn a_combined_seal_wraps_the_next_root_key_for_the_same_shares() {
    let store = Store::split(2, 3);
    let next = RootKey::generate(&mut rng(), 4);
    let context = SealContext::root_key([1; 16], [2; 16], 4);
    let wrapped = store.set_of(&[0, 1]).combine().unwrap().wrap(&mut rng(), &next, &context).unwrap();
    let mut set = ShareSet::for_wrap(&wrapped).unwrap();
    set.add(&store.texts[1]).unwrap();
    set.add(&store.texts[2]).unwrap();
    assert_eq!(set.combine().unwrap().unwrap::<RootKey>(&wrapped, &context).unwrap().version(), 4);
}

#[test]
fn descriptions_name_the_set_and_debug_holds_no_secret() {
    let (seal, shares) = Shamir::split(&mut rng(), 3, 5).unwrap();
    let set_id = seal.roster.set.to_string();
    assert_eq!(seal.kind(), SHAMIR_KIND);
    assert_eq!(seal.describe(), format!("any 3 of the 5 shares of set {set_id}"));
    assert_eq!(shares[1].describe(), format!("share 2 of 5 of set {set_id}, any 3 open"));
    assert_eq!(format!("{:?}", shares[1]), "Share(2, ..)");
    assert!(format!("{seal:?}").ends_with(", .. }"), "{seal:?}");
}

#[test]
fn a_share_printed_by_the_first_version_is_still_read() {
    // Created from the description in `docs/formats.md` by an independent program.
    let printed = "0410R-6181K-081G2-8180X-0410W-6105Q-\
                   0R3GW-G28AH-1C60A-T3GFB-208HS-44RMA-\
                   2MB1G-E60S0-38DHQ-R78YT-3W4D2-88PG8";
    let share = Share::parse(printed).unwrap();
    assert_eq!((share.number, share.threshold, share.count, share.set), (2, 3, 5, SetId([1, 2, 3, 4, 5])));
    assert_eq!(**share.secret, std::array::from_fn(|place| place as u8));
    assert_eq!(*share.expose_text(), printed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_bytes_are_refused_or_reencode_to_the_same_bytes(bytes: Vec<u8>) {
        if let Ok((roster, root)) = Roster::parse(&bytes) {
            prop_assert_eq!([&roster.to_vec(), root].concat(), bytes);
        }
    }

    #[test]
    fn a_roster_with_arbitrary_fields_is_refused_or_reencodes_to_the_same_bytes(
        threshold in 0_u8..20,
        count in 0_u8..20,
        rest: Vec<u8>,
    ) {
        let bytes = [&[1, 1, 2, 3, 4, 5, threshold, count], rest.as_slice()].concat();
        if let Ok((roster, root)) = Roster::parse(&bytes) {
            prop_assert_eq!([&roster.to_vec(), root].concat(), bytes);
        }
    }

    #[test]
    fn arbitrary_texts_and_share_bytes_are_refused_and_do_not_change_the_set(
        text in "\\PC*",
        bytes: [u8; BYTES],
    ) {
        let store = Store::split(2, 3);
        let mut set = store.empty_set();
        prop_assert!(set.add(&text).is_err());
        prop_assert!(set.add(&text::print(&bytes)).is_err());
        prop_assert_eq!(set.progress().given, 0);
    }
}

/// A root key sealed with shares.
struct Store {
    wrapped: Vec<u8>,
    texts: Vec<String>,
    keyring_wrap: Vec<u8>,
}

impl Store {
    fn split(threshold: u8, count: u8) -> Self {
        let (seal, shares) = Shamir::split(&mut rng(), threshold, count).unwrap();
        let root = RootKey::generate(&mut rng(), 3);
        let keyring_key = KeyringKey::generate(&mut rng(), 1);
        Self {
            wrapped: seal.wrap(&mut rng(), &root, &CONTEXT).unwrap(),
            texts: shares.iter().map(|share| share.expose_text().to_string()).collect(),
            keyring_wrap: root.wrap_keyring_key(&mut rng(), &keyring_key, [1; 16]).unwrap(),
        }
    }

    fn empty_set(&self) -> ShareSet {
        ShareSet::for_wrap(&self.wrapped).unwrap()
    }

    fn set_of(&self, shares: &[usize]) -> ShareSet {
        let mut set = self.empty_set();
        for share in shares {
            set.add(&self.texts[*share]).unwrap();
        }
        set
    }

    fn set_id(&self) -> String {
        Roster::parse(&self.wrapped).unwrap().0.set.to_string()
    }

    /// Whether these shares open the sealed root key.
    fn is_opened_by(&self, set: &ShareSet) -> bool {
        let root = set.combine().unwrap().unwrap::<RootKey>(&self.wrapped, &CONTEXT).unwrap();
        root.unwrap_keyring_key(&self.keyring_wrap, [1; 16], 1).is_ok()
    }
}

fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

fn refusal(seal: &Shamir, wrapped: &[u8], context: &SealContext) -> OpenError {
    match seal.unwrap::<RootKey>(wrapped, context) {
        Err(SealError::NotItsWrap { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}
