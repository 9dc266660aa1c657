//! Runs one target from a seed for some time, and counts the kinds of answers.
//!
//! The cases depend only on the seed. An input with a new kind of answer joins the corpus and is mutated in turn, so
//! a run gets deeper than its seeds. proptest generates and shrinks the cases.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rand_core::{Rng, UnwrapErr};

use crate::corpus::Corpus;

const DEFAULT_SECONDS: u64 = 3;

/// The answer of a target to one input, if all properties held.
pub(crate) struct Observation {
    /// A short name of the answer.
    answer: &'static str,
    /// Distinguishes the kinds of answers.
    signature: u64,
    /// Joins the corpus if the answer is of a new kind.
    input: Vec<u8>,
}

impl Observation {
    /// `signature` distinguishes paths through the code.
    pub(crate) fn new(answer: &'static str, signature: impl Hash, input: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        (answer, signature).hash(&mut hasher);
        Self { answer, signature: hasher.finish(), input: input.to_vec() }
    }
}

/// How often each answer occurred.
pub(crate) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Fails unless each of these answers occurred: a target that never gets there tests nothing.
    ///
    /// Runs with few inputs may miss some, so they are not checked.
    pub(crate) fn reached(&self, answers: &[&str]) {
        let total: u64 = self.0.values().sum();
        for answer in answers {
            assert!(
                total < 10_000 || self.0.contains_key(answer),
                "none of {total} inputs reached: {answer}; {:?}",
                self.0
            );
        }
    }
}

/// Runs a target until its time is up, and fails with the smallest input that violates a property.
pub(crate) fn run<S: Strategy>(
    target: &str,
    corpus: &Corpus,
    inputs: S,
    property: impl Fn(S::Value) -> Result<Observation, TestCaseError>,
) -> Counts {
    let bounds = Bounds::read();
    let seeds = corpus.len();
    let signatures = RefCell::new(HashSet::new());
    let mut counts = BTreeMap::new();
    let mut runner = TestRunner::new_with_rng(
        Config { failure_persistence: None, max_shrink_iters: 50_000, ..Config::default() },
        TestRng::from_seed(RngAlgorithm::ChaCha, &bounds.seed_bytes()),
    );
    println!("fuzz {target}: PETSEM_FUZZ_SEED={}, {seeds} seeds in the corpus", bounds.seed);
    let start = Instant::now();
    let mut iterations = 0;
    while !bounds.are_reached(iterations, start) {
        let tree = inputs.new_tree(&mut runner).unwrap_or_else(|reason| panic!("no input: {reason}"));
        let last = RefCell::new(None);
        let result = runner.run_one(tree, |input| {
            last.replace(Some(property(input)?));
            Ok(())
        });
        iterations += 1;
        match result {
            Ok(_) => {}
            Err(TestError::Fail(reason, input)) => panic!(
                "fuzz {target}: PETSEM_FUZZ_SEED={} PETSEM_FUZZ_ITERATIONS={iterations}: {reason}\n{input:?}",
                bounds.seed
            ),
            Err(TestError::Abort(reason)) => panic!("fuzz {target}: {reason}"),
        }
        if let Some(Observation { answer, signature, input }) = last.into_inner() {
            *counts.entry(answer).or_default() += 1;
            if signatures.borrow_mut().insert(signature) {
                corpus.keep(input);
            }
        }
    }
    println!(
        "fuzz {target}: {iterations} iterations in {} s, {} kinds of answers, {} inputs kept, no finding",
        start.elapsed().as_secs(),
        signatures.borrow().len(),
        corpus.len() - seeds
    );
    for (answer, count) in &counts {
        println!("fuzz {target}: {count:9} {answer}");
    }
    Counts(counts)
}

/// Seed and duration of a run.
struct Bounds {
    seed: u64,
    iterations: Option<u64>,
    time: Duration,
}

impl Bounds {
    fn read() -> Self {
        let number = |name| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
        };
        let seed = number("PETSEM_FUZZ_SEED");
        Self {
            // 32 bits are enough, and short to type.
            seed: seed.unwrap_or_else(|| UnwrapErr(getrandom::SysRng).next_u32().into()),
            iterations: number("PETSEM_FUZZ_ITERATIONS"),
            time: Duration::from_secs(number("PETSEM_FUZZ_SECONDS").unwrap_or(DEFAULT_SECONDS)),
        }
    }

    fn are_reached(&self, iterations: u64, start: Instant) -> bool {
        match self.iterations {
            Some(most) => iterations >= most,
            None => start.elapsed() >= self.time,
        }
    }

    fn seed_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes
    }
}
