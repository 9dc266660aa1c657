//! Bodies of caveats, and caveat sets.

use petsem_policy::{Caveat, CaveatSet, DecodeError, PETSEM_BLOCK, PetsemCaveat};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::allocations::allocations_of;
use crate::caveats::any_caveat;
use crate::corpus::{Corpus, bytes_of_vectors};
use crate::engine::{self, Observation};

/// Most memory for a caveat, per byte on the wire; measured.
pub(crate) const BYTES_PER_BYTE: usize = 200;
pub(crate) const BYTES_BESIDE: usize = 2048;

#[test]
fn a_caveat_set_is_refused_or_reencodes_to_the_same_bytes() {
    let corpus = Corpus::new(bytes_of_vectors(&["caveat_codec"], &["wire", "canonical"]));
    let made = vec(any_caveat(), 0..5).prop_map(|caveats| CaveatSet::new(caveats).encode());
    let inputs = prop_oneof![4 => corpus.mutated(&[]), 1 => made];
    let counts = engine::run("caveat set", &corpus, inputs, |bytes| {
        let (set, memory) = allocations_of(|| CaveatSet::decode(&bytes));
        prop_assert!(memory.peak <= BYTES_PER_BYTE * bytes.len() + BYTES_BESIDE, "{:?}", memory);
        let path = memory.allocations.min(100);
        match set {
            Ok(set) => {
                prop_assert_eq!(&set.encode(), &bytes);
                prop_assert_eq!(&CaveatSet::decode(&set.encode()), &Ok(set.clone()));
                let kinds: Vec<u64> = set.as_slice().iter().map(Caveat::kind).collect();
                set.as_slice().iter().try_for_each(is_consistent)?;
                Ok(Observation::new("a set", (kinds, path), &bytes))
            }
            Err(error) => Ok(Observation::new(name(error), path, &bytes)),
        }
    });
    counts.reached(&["a set", "trailing bytes", "not canonical", "odd", "truncated", "too deep"]);
}

#[test]
fn a_caveat_body_is_refused_or_reencodes_to_the_same_bytes() {
    // One byte for the type, then the body.
    let seeds = bodies_of_all_types();
    let corpus = Corpus::new(seeds);
    let counts = engine::run("caveat body", &corpus, corpus.mutated(&[]), |bytes| {
        let Some((kind, body)) = bytes.split_first() else {
            return Ok(Observation::new("nothing", 0, &bytes));
        };
        // Types below 32 are the format's own; the others count from the start of petsem's block.
        let kind = match u64::from(*kind) {
            own @ 0..32 => own,
            petsem => PETSEM_BLOCK.start() + petsem - 32,
        };
        let (caveat, memory) = allocations_of(|| Caveat::from_wire(kind, body));
        prop_assert!(memory.peak <= BYTES_PER_BYTE * body.len() + BYTES_BESIDE, "{:?}", memory);
        let path = (kind, memory.allocations.min(100));
        match caveat {
            Ok(caveat) => {
                prop_assert_eq!((caveat.kind(), caveat.body()), (kind, body.to_vec()));
                is_consistent(&caveat)?;
                Ok(match PetsemCaveat::of(&caveat) {
                    None => Observation::new("the format's own", path, &bytes),
                    Some(Ok(Some(_))) => Observation::new("petsem's", path, &bytes),
                    Some(Ok(None)) => Observation::new("petsem's, not assigned", path, &bytes),
                    Some(Err(error)) => Observation::new("petsem's, malformed", (path, name(error)), &bytes),
                })
            }
            Err(error) => Ok(Observation::new(name(error), path, &bytes)),
        }
    });
    counts.reached(&[
        "the format's own",
        "petsem's",
        "petsem's, not assigned",
        "petsem's, malformed",
        "not canonical",
        "truncated",
    ]);
}

/// Properties of every decoded caveat.
pub(crate) fn is_consistent(caveat: &Caveat) -> Result<(), TestCaseError> {
    prop_assert_eq!(&Caveat::from_wire(caveat.kind(), &caveat.body()), &Ok(caveat.clone()));
    prop_assert!(!caveat.describe().is_empty());
    match PetsemCaveat::of(caveat) {
        None => prop_assert!(!PETSEM_BLOCK.contains(&caveat.kind())),
        Some(read) => {
            prop_assert!(PETSEM_BLOCK.contains(&caveat.kind()));
            let assigned = PetsemCaveat::TYPES.iter().any(|known| known.number == caveat.kind());
            prop_assert_eq!(read != Ok(None), assigned);
            // A caveat has one encoding.
            if let Ok(Some(known)) = read {
                prop_assert_eq!(known.kind(), caveat.kind());
                prop_assert_eq!(&Caveat::from(known.clone()), caveat);
            }
        }
    }
    Ok(())
}

/// Bodies of all types: those of the vectors, and generated ones.
fn bodies_of_all_types() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let made = vec(any_caveat(), 600);
    let made = made.new_tree(&mut runner).unwrap().current();
    let read = bytes_of_vectors(&["caveat_codec"], &["wire"]);
    let read = read.iter().filter_map(|wire| CaveatSet::decode(wire).ok()).flat_map(CaveatSet::into_vec);
    let first = |kind: u64| match kind {
        own @ 0..32 => Some(own as u8),
        petsem => u8::try_from(petsem.checked_sub(*PETSEM_BLOCK.start())? + 32).ok(),
    };
    let all = made.into_iter().chain(read);
    all.filter_map(|caveat| Some([&[first(caveat.kind())?], caveat.body().as_slice()].concat())).collect()
}

/// A short name of the error.
pub(crate) fn name(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Truncated => "truncated",
        DecodeError::TrailingBytes => "trailing bytes",
        DecodeError::WrongType => "wrong type",
        DecodeError::NotCanonical => "not canonical",
        DecodeError::OutOfRange => "out of range",
        DecodeError::FieldCount => "field count",
        DecodeError::OddCaveatSet => "odd",
        DecodeError::NotUtf8 => "not UTF-8",
        DecodeError::NilBody => "nil body",
        DecodeError::MapKey => "map key",
        DecodeError::ForbiddenValue => "forbidden value",
        DecodeError::TooDeep => "too deep",
        DecodeError::TooLong => "too long",
        DecodeError::TooManyCaveats => "too many caveats",
        _ => "another error",
    }
}
