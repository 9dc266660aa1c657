//! Hostile sizes are refused quickly, and before anything beyond the limits is allocated.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use petsem_policy::{
    Access, Action, Caveat, CaveatSet, DecodeError, DischargeBudget, DischargeRejection, Header, HeaderError,
    IfPresent, MAX_HEADER_BYTES, MAX_HEADER_TOKENS, MAX_TOKEN_BYTES, SecretNames, TextError, UnverifiedToken,
    VerifyError,
};

use crate::allocations::{Allocations, allocations_of};
use crate::world::{HERE, World, access, unverified};

/// Longest duration of a refusal, on a busy machine too.
const MAX_DURATION: Duration = Duration::from_millis(100);
/// Allocations that a refusal may have besides its input.
const NEGLIGIBLE_BYTES: usize = 4096;

/// Runs and prints the measurements, and fails if it took too long.
fn measured<T>(what: &str, run: impl FnOnce() -> T) -> (T, Allocations) {
    let begun = Instant::now();
    let (answer, memory) = allocations_of(run);
    let time = begun.elapsed();
    println!(
        "{what:58} {time:>12.1?}, {:4} allocations, at most {:7} bytes",
        memory.allocations, memory.peak
    );
    assert!(time < MAX_DURATION, "{what}: {time:?}");
    (answer, memory)
}

#[test]
fn a_header_with_ten_thousand_tokens_is_refused_before_anything_is_allocated() {
    let token = World::new().mint([]).to_text();
    let nothing = Allocations::default();

    let tokens = vec![token.as_str(); 10_000].join(",");
    assert!(tokens.len() > MAX_HEADER_BYTES);
    let (answer, memory) = measured("10,000 tokens", || Header::parse(&tokens, HERE).map(|_| ()));
    assert_eq!((answer, memory), (Err(HeaderError::TooLong), nothing));

    // Short tokens, within the limit on bytes.
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

/// The longest accepted header, with the tokens that allocate most per byte.
#[test]
fn the_largest_header_allocates_less_than_four_megabytes() {
    let world = World::new();
    // Caveats of two bytes each.
    let members = [0x16, 0x90].repeat(512);
    let set = [&[0xdc, 0x04, 0x00], members.as_slice()].concat();
    let token = format!("fm2_{}", BASE64.encode(&token_with_set(&world, &set)));
    let count = MAX_HEADER_BYTES / (token.len() + 1);
    assert!(count <= MAX_HEADER_TOKENS);
    let header = vec![token; count].join(",");
    let (answer, memory) = measured("the largest header", || {
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
        // A set alone has no limit on bytes.
        let set = make(1_000_000);
        let (answer, memory) =
            measured(&format!("{what} nested a million deep, as a set"), || CaveatSet::decode(&set));
        assert_eq!(answer, Err(DecodeError::TooDeep));
        assert!(memory.peak < NEGLIGIBLE_BYTES, "{memory:?}");

        let wire = token_with_set(&world, &set);
        let (answer, memory) =
            measured(&format!("{what} nested a million deep, in a token"), || decoded(&wire));
        assert_eq!((answer, memory), (Err(DecodeError::TooLong), Allocations::default()));
        let text = format!("fm2_{}", BASE64.encode(&wire));
        let (answer, memory) = measured(&format!("{what} nested a million deep, as text"), || {
            UnverifiedToken::parse(&text).map(|_| ())
        });
        assert_eq!((answer, memory), (Err(TextError::Content(DecodeError::TooLong)), Allocations::default()));

        // As deep as the bytes of a token allow.
        let wire = token_with_set(&world, &make(15_000));
        assert!(wire.len() <= MAX_TOKEN_BYTES);
        let (answer, memory) = measured(&format!("{what} nested 15,000 deep, in a token"), || decoded(&wire));
        assert_eq!(answer, Err(DecodeError::TooDeep));
        // The token keeps its bytes.
        assert!(memory.peak < wire.len() + NEGLIGIBLE_BYTES, "{memory:?}");
    }
}

#[test]
fn a_length_header_of_34_gigabytes_is_refused_before_anything_is_allocated() {
    let world = World::new();
    // Four billion caveats, resources, texts, arguments and values of an unknown type; bins and texts of 4 GiB.
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
        assert!(memory.peak < NEGLIGIBLE_BYTES, "{what}: {memory:?}");
        let wire = token_with_set(&world, set);
        // The tail after the set is read as part of the set.
        let (answer, memory) = measured(&format!("{what}, in a token"), || decoded(&wire));
        assert!(answer.is_err_and(|error| error != DecodeError::TooLong), "{what}");
        assert!(memory.peak < wire.len() + NEGLIGIBLE_BYTES, "{what}: {memory:?}");
    }
    // In the nonce, and for the token itself.
    let wires: [(&[u8], DecodeError); 2] = [
        (&[0x94, 0x93, 0xc6, 0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        (&[0xdd, 0xff, 0xff, 0xff, 0xff], DecodeError::FieldCount),
    ];
    for (wire, expected) in wires {
        let (answer, memory) = measured("a token whose first length is 4 billion", || decoded(wire));
        assert_eq!(answer, Err(expected));
        assert!(memory.peak <= wire.len(), "{memory:?}");
    }
}

fn decoded(wire: &[u8]) -> Result<(), DecodeError> {
    UnverifiedToken::decode(wire).map(|_| ())
}

/// A token with these bytes instead of its caveat set.
fn token_with_set(world: &World, set: &[u8]) -> Vec<u8> {
    let token = world.mint([]).encode();
    // The parts before and after the empty set; the tail has 32 bytes.
    let (front, back) = token.split_at(token.len() - 35);
    [front, set, &back[1..]].concat()
}

#[test]
fn the_tokens_of_a_request_share_one_discharge_budget() {
    let world = World::new();
    let mut token = world.mint([]);
    world.add_third_party(&mut token);
    let discharge = world.discharge(&token, (0..8).map(Caveat::ConfineUser));
    let token = unverified(&token);
    // One MAC for the nonce, one per caveat, and the final one: 10 per verification.
    let mut budget = DischargeBudget::of_macs(19);
    let mut verify = || token.verify_within(&world.root, &[&discharge], std::iter::empty(), &mut budget);
    assert_eq!(verify().map(|_| ()), Ok(()));
    let rejected = VerifyError::DischargeRejected { third_party: 0, reason: DischargeRejection::TooMuchWork };
    assert_eq!(verify().map(|_| ()), Err(rejected));
}

/// A token is cleared once for each name of a request, so its lists must not be read again each time.
#[test]
fn a_token_with_long_lists_reads_them_at_the_first_name_alone() {
    let world = World::new();
    let list = |from: u32| SecretNames::new((from..from + 60).map(|number| format!("NAME_{number:05}")), []);
    let nested = IfPresent { ifs: CaveatSet::new(vec![list(59).into()]), otherwise: u16::MAX };
    let mut caveats: Vec<Caveat> = (0..59).map(|first| list(first).into()).collect();
    caveats.push(Caveat::IfPresent(nested));
    let token = world.verify(&world.mint(caveats), &[]);
    // Each list has 661 bytes.
    assert_eq!(token.weight(), 60 * 3 + 1);
    let of = |name| Access { secret: Some(name), ..access(Action::Write) };
    let (cleared, memory) = allocations_of(|| token.clear(&of("NAME_00059")));
    assert_eq!(cleared, Ok(()));
    assert!(memory.allocations >= 60 * 60, "{memory:?}");
    let (cleared, memory) = allocations_of(|| token.clear(&of("NAME_00059")));
    assert_eq!((cleared, memory), (Ok(()), Allocations::default()));
}
