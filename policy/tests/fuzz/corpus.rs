//! Valid inputs and their mutations.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

/// Longest input, in bytes.
pub(crate) const MAX_INPUT: usize = 8 * 1024;
/// Most inputs that join the corpus.
const MAX_KEPT: usize = 20_000;

const VECTORS: &str = include_str!("../vectors/macaroon.json");

/// The published vectors.
pub(crate) fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

/// The bytes in these fields of the vectors of these kinds.
pub(crate) fn bytes_of_vectors(kinds: &[&str], fields: &[&str]) -> Vec<Vec<u8>> {
    let file = vectors();
    let cases = file["cases"].as_array().unwrap().iter();
    let cases = cases.filter(|case| kinds.contains(&case["kind"].as_str().unwrap()));
    let values = cases.flat_map(|case| fields.iter().map(|field| case[*field].clone()).collect::<Vec<_>>());
    let texts = values.flat_map(|value| match value {
        Value::Array(list) => list,
        value => vec![value],
    });
    texts.filter_map(|text| HEXLOWER.decode(text.as_str()?.as_bytes()).ok()).collect()
}

/// The inputs to mutate.
#[derive(Clone)]
pub(crate) struct Corpus {
    inputs: Rc<RefCell<Vec<Rc<[u8]>>>>,
    seeds: usize,
}

/// The input to mutate. Half of the time it is a seed, because most kept inputs were refused early.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Seed(Index),
    Any(Index),
}

/// Any start.
pub(crate) fn start() -> impl Strategy<Value = Start> {
    prop_oneof![any::<Index>().prop_map(Start::Seed), any::<Index>().prop_map(Start::Any)]
}

impl Corpus {
    pub(crate) fn new<B: AsRef<[u8]>>(seeds: impl IntoIterator<Item = B>) -> Self {
        let mut seeds: Vec<Rc<[u8]>> = seeds.into_iter().map(|seed| seed.as_ref().into()).collect();
        seeds.retain(|seed| seed.len() <= MAX_INPUT);
        seeds.sort_unstable();
        seeds.dedup();
        assert!(!seeds.is_empty());
        Self { seeds: seeds.len(), inputs: Rc::new(RefCell::new(seeds)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.inputs.borrow().len()
    }

    pub(crate) fn keep(&self, input: Vec<u8>) {
        let mut inputs = self.inputs.borrow_mut();
        if inputs.len() < MAX_KEPT && input.len() <= MAX_INPUT {
            inputs.push(input.into());
        }
    }

    /// An input, unchanged or with up to six mutations. Shrinks to fewer mutations.
    pub(crate) fn mutated(&self, words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> + use<> {
        let corpus = self.clone();
        let mutations = prop_oneof![
            1 => Just(Vec::new()),
            9 => proptest::collection::vec(mutation(words), 1..7),
        ];
        (start(), mutations).prop_map(move |(start, mutations)| corpus.apply(start, &mutations))
    }

    /// One of the inputs.
    pub(crate) fn one(&self, start: Start) -> Rc<[u8]> {
        let inputs = self.inputs.borrow();
        Rc::clone(match start {
            Start::Seed(at) => at.get(&inputs[..self.seeds]),
            Start::Any(at) => at.get(&inputs),
        })
    }

    fn apply(&self, start: Start, mutations: &[Mutation]) -> Vec<u8> {
        let mut bytes = self.one(start).to_vec();
        let inputs = self.inputs.borrow();
        for mutation in mutations {
            mutation.apply(&mut bytes, &inputs);
            bytes.truncate(MAX_INPUT);
        }
        bytes
    }
}

impl fmt::Debug for Corpus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Corpus({})", self.len())
    }
}

/// One mutation of an input.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    /// A big-endian number, as in lengths and times.
    Number(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Repeats a piece, for depth and long lists.
    Repeat(Index, usize, usize),
    /// A piece of another input.
    Splice {
        at: Index,
        over: usize,
        other: Index,
        from: Index,
        length: usize,
    },
    Cut(Index),
}

fn mutation(words: &'static [&'static str]) -> BoxedStrategy<Mutation> {
    // First bytes of every msgpack type, and delimiters of texts.
    let significant = proptest::sample::select(
        b"\0\x01\x7f\x80\x81\x8f\x90\x91\x92\x93\x94\x9f\xa0\xa1\xbf\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xca\xcb\xcc\xcd\xce\xcf\xd0\xd1\xd2\xd3\xd4\xd6\xd7\xd9\xda\xdb\xdc\xdd\xde\xdf\xe0\xff\"{}[],:.\\ \n=-_*".to_vec(),
    );
    let number = prop_oneof![
        prop_oneof![
            Just(0_u16),
            Just(15),
            Just(16),
            Just(31),
            Just(32),
            Just(255),
            Just(256),
            Just(u16::MAX),
            any::<u16>()
        ]
        .prop_map(|number| number.to_be_bytes().to_vec()),
        prop_oneof![
            Just(0_u32),
            Just(0xffff),
            Just(0x1_0000),
            Just(i32::MAX as u32),
            Just(u32::MAX),
            any::<u32>()
        ]
        .prop_map(|number| number.to_be_bytes().to_vec()),
        prop_oneof![
            Just(0_u64),
            Just(u64::from(u32::MAX)),
            Just(1 << 32),
            Just(i64::MAX as u64),
            Just(1 << 63),
            Just(u64::MAX),
            any::<u64>()
        ]
        .prop_map(|number| number.to_be_bytes().to_vec()),
    ];
    let word = match words {
        [] => proptest::collection::vec(any::<u8>(), 1..5).boxed(),
        words => prop_oneof![
            3 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 1..5),
        ]
        .boxed(),
    };
    prop_oneof![
        3 => (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        3 => (any::<Index>(), prop_oneof![significant, any::<u8>()]).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => (any::<Index>(), number).prop_map(|(at, bytes)| Mutation::Number(at, bytes)),
        3 => (any::<Index>(), word).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        2 => (any::<Index>(), 1_usize..20).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => (any::<Index>(), 1_usize..24, prop_oneof![1_usize..4, 10_usize..700])
            .prop_map(|(at, length, times)| Mutation::Repeat(at, length, times)),
        3 => (any::<Index>(), 0_usize..24, any::<Index>(), any::<Index>(), 1_usize..120)
            .prop_map(|(at, over, other, from, length)| Mutation::Splice { at, over, other, from, length }),
        1 => any::<Index>().prop_map(Mutation::Cut),
    ]
    .boxed()
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, inputs: &[Rc<[u8]>]) {
        let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
        match self {
            Self::Flip(at, mask) if !bytes.is_empty() => *at.get_mut(bytes.as_mut_slice()) ^= mask,
            Self::Set(at, byte) if !bytes.is_empty() => *at.get_mut(bytes.as_mut_slice()) = *byte,
            Self::Flip(..) | Self::Set(..) => {}
            Self::Number(at, number) => {
                let at = place(at, bytes);
                let end = bytes.len().min(at + number.len());
                bytes.splice(at..end, number.iter().copied());
            }
            Self::Insert(at, piece) => {
                let at = place(at, bytes);
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Remove(at, length) => {
                let at = place(at, bytes);
                let end = bytes.len().min(at + length);
                bytes.drain(at..end);
            }
            Self::Repeat(at, length, times) => {
                let at = place(at, bytes);
                let end = bytes.len().min(at + length);
                let piece = bytes[at..end].repeat((*times).min(MAX_INPUT / length));
                bytes.splice(end..end, piece);
            }
            Self::Splice { at, over, other, from, length } => {
                let other = other.get(inputs);
                let from = place(from, other);
                let piece = &other[from..other.len().min(from + length)];
                let at = place(at, bytes);
                let end = bytes.len().min(at + over);
                bytes.splice(at..end, piece.iter().copied());
            }
            Self::Cut(at) => bytes.truncate(place(at, bytes)),
        }
    }
}
