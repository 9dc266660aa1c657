//! Hostile sizes: refused in no time, and before anything beyond the limits is allocated.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use petsem_policy::{
    Caveat, CaveatSet, DecodeError, DischargeBudget, DischargeRejection, Header, HeaderError,
    MAX_HEADER_BYTES, MAX_HEADER_TOKENS, MAX_TOKEN_BYTES, TextError, UnverifiedToken, VerifyError,
};

use crate::allocations::{Taken, taken};
use crate::world::{HERE, World, unverified};

/// No refusal may take longer, on a busy machine too.
const LONGEST: Duration = Duration::from_millis(100);
/// What a refusal may hold beside its input: places of nested sets, and what an error is made of.
const NOTHING_TO_SPEAK_OF: usize = 4096;

/// Runs it, prints what it took, and fails when that is too long.
fn measured<T>(what: &str, run: impl FnOnce() -> T) -> (T, Taken) {
    let begun = Instant::now();
    let (answer, taken) = taken(run);
    let time = begun.elapsed();
    println!("{what:58} {time:>12.1?}, {:4} allocations, at most {:7} bytes", taken.allocations, taken.peak);
    assert!(time < LONGEST, "{what}: {time:?}");
    (answer, taken)
}

#[test]
fn a_header_with_ten_thousand_tokens_is_refused_before_anything_is_allocated() {
    let token = World::new().mint([]).to_text();
    let nothing = Taken::default();

    let tokens = vec![token.as_str(); 10_000].join(",");
    assert!(tokens.len() > MAX_HEADER_BYTES);
    let (answer, memory) = measured("10,000 tokens", || Header::parse(&tokens, HERE).map(|_| ()));
    assert_eq!((answer, memory), (Err(HeaderError::TooLong), nothing));

    // So short that they fit.
    let tokens = vec!["fm2_A"; 10_000].join(",");
    assert!(tokens.len() <= MAX_HEADER_BYTES);
    let (answer, memory) =
        measured("10,000 tokens of five characters", || Header::parse(&tokens, HERE).map(|_| ()));
    assert_eq!((answer, memory), (Err(HeaderError::TooManyTokens), nothing));

    let commas = ",".repeat(MAX_HEADER_BYTES);
    let (answer, memory) = measured("64 KiB of commas", || Header::parse(&commas, HERE).map(|_| ()));
    assert_eq!((answer, memory), (Err(HeaderError::TooManyTokens), nothing));

    let schemes = "Bearer ".repeat(MAX_HEADER_BYTES / 7);
    let (answer, _) =
        measured("64 KiB of schemes", || Header::parse(&schemes, HERE).map(|header| header.elements().len()));
    assert_eq!(answer, Ok(1));
}

/// The longest header that is read, of tokens that take the most room for their bytes.
#[test]
fn the_fullest_header_takes_a_few_megabytes() {
    let world = World::new();
    // Caveats of two bytes each.
    let members = [0x16, 0x90].repeat(512);
    let set = [&[0xdc, 0x04, 0x00], members.as_slice()].concat();
    let token = format!("fm2_{}", BASE64.encode(&around(&world, &set)));
    let count = MAX_HEADER_BYTES / (token.len() + 1);
    assert!(count <= MAX_HEADER_TOKENS);
    let header = vec![token; count].join(",");
    let (answer, memory) = measured("the fullest header", || {
        Header::parse(&header, HERE).map(|header| header.permissions().count())
    });
    assert_eq!(answer, Ok(count));
    assert!(memory.peak < 4 << 20, "{memory:?}");
}

#[test]
fn nesting_of_a_million_is_refused_without_recursion_or_allocation() {
    let world = World::new();
    let nested_if = |levels: usize| {
        let mut set = [0x92_u8, 0x0d, 0x92].repeat(levels);
        set.push(0x90);
        set.extend(vec![0x00; levels]);
        set
    };
    let nested_body = |levels: usize| {
        let mut set = vec![0x92_u8, 0x20];
        set.extend(vec![0x91; levels]);
        set
    };
    for (what, make) in [("IfPresent", &nested_if as &dyn Fn(usize) -> Vec<u8>), ("arrays", &nested_body)] {
        // As a set alone no limit of bytes stands in the way.
        let set = make(1_000_000);
        let (answer, memory) =
            measured(&format!("{what} nested a million deep, as a set"), || CaveatSet::decode(&set));
        assert_eq!(answer, Err(DecodeError::TooDeep));
        assert!(memory.peak < NOTHING_TO_SPEAK_OF, "{memory:?}");

        let wire = around(&world, &set);
        let (answer, memory) =
            measured(&format!("{what} nested a million deep, in a token"), || decoded(&wire));
        assert_eq!((answer, memory), (Err(DecodeError::TooLong), Taken::default()));
        let text = format!("fm2_{}", BASE64.encode(&wire));
        let (answer, memory) = measured(&format!("{what} nested a million deep, as text"), || {
            UnverifiedToken::parse(&text).map(|_| ())
        });
        assert_eq!((answer, memory), (Err(TextError::Content(DecodeError::TooLong)), Taken::default()));

        // As deep as a token's bytes allow.
        let wire = around(&world, &make(15_000));
        assert!(wire.len() <= MAX_TOKEN_BYTES);
        let (answer, memory) = measured(&format!("{what} nested 15,000 deep, in a token"), || decoded(&wire));
        assert_eq!(answer, Err(DecodeError::TooDeep));
        // The token's own bytes are kept.
        assert!(memory.peak < wire.len() + NOTHING_TO_SPEAK_OF, "{memory:?}");
    }
}

#[test]
fn a_length_header_of_34_gigabytes_is_refused_before_anything_is_allocated() {
    let world = World::new();
    // Four billion caveats; as many resources, texts, arguments, values of an unknown type; bins and texts.
    let sets: [(&str, &[u8], DecodeError); 8] = [
        ("a set of 4 billion", &[0xdd, 0xff, 0xff, 0xff, 0xfe], DecodeError::TooManyCaveats),
        ("a map of 4 billion", &[0x92, 0x02, 0x91, 0xdf, 0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        ("a list of 4 billion", &[0x92, 0x06, 0x91, 0xdd, 0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        ("commands of 4 billion", &[0x92, 0x1b, 0xdd, 0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        (
            "an unknown array of 4 billion",
            &[0x92, 0x20, 0xdd, 0xff, 0xff, 0xff, 0xff],
            DecodeError::Truncated,
        ),
        ("an unknown map of 4 billion", &[0x92, 0x20, 0xdf, 0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        ("a text of 4 GiB", &[0x92, 0x13, 0xdb, 0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        ("bytes of 4 GiB", &[0x92, 0x0c, 0xc6, 0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
    ];
    for (what, set, expected) in sets {
        let (answer, memory) = measured(what, || CaveatSet::decode(set));
        assert_eq!(answer, Err(expected), "{what}");
        assert!(memory.peak < NOTHING_TO_SPEAK_OF, "{what}: {memory:?}");
        let wire = around(&world, set);
        // Behind the set stands the tail, which is read as a part of it.
        let (answer, memory) = measured(&format!("{what}, in a token"), || decoded(&wire));
        assert!(answer.is_err_and(|error| error != DecodeError::TooLong), "{what}");
        assert!(memory.peak < wire.len() + NOTHING_TO_SPEAK_OF, "{what}: {memory:?}");
    }
    // In the nonce, and for the token itself.
    for wire in [&[0x94, 0x93, 0xc6, 0xff, 0xff, 0xff, 0xff][..], &[0xdd, 0xff, 0xff, 0xff, 0xff]] {
        let (answer, memory) = measured("a token whose first length is 4 billion", || decoded(wire));
        assert!(answer.is_err());
        assert!(memory.peak <= wire.len(), "{memory:?}");
    }
}

fn decoded(wire: &[u8]) -> Result<(), DecodeError> {
    UnverifiedToken::decode(wire).map(|_| ())
}

/// A token around these bytes, in the place of its caveats.
fn around(world: &World, set: &[u8]) -> Vec<u8> {
    let token = world.mint([]).encode();
    // Before the empty set, and the tail of 32 bytes behind it.
    let (front, behind) = token.split_at(token.len() - 35);
    [front, set, &behind[1..]].concat()
}

#[test]
fn the_tokens_of_a_request_share_what_their_discharges_cost() {
    let world = World::new();
    let mut token = world.mint([]);
    world.add_third_party(&mut token);
    let discharge = world.discharge(&token, (0..8).map(Caveat::ConfineUser));
    let token = unverified(&token);
    // A MAC of its nonce, one of each caveat, and the last.
    let mut budget = DischargeBudget::of(19);
    let mut verify = || token.verify_within(&world.root, &[&discharge], &[], &mut budget);
    assert_eq!(verify().map(|_| ()), Ok(()));
    let rejected = VerifyError::DischargeRejected { third_party: 0, reason: DischargeRejection::TooMuchWork };
    assert_eq!(verify().map(|_| ()), Err(rejected));
}
