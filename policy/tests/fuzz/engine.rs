//! Runs one target: for a time, from a seed, with every kind of answer counted.
//!
//! The cases depend on the seed alone. An input whose answer was not seen before joins the corpus, and is
//! mutated in its turn: so a run goes deeper than its first seeds. proptest makes and shrinks the cases.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rand_core::{Rng, UnwrapErr};

use crate::corpus::Corpus;

const DEFAULT_SECONDS: u64 = 10;

/// What a target said about one input, if all its properties held.
pub(crate) struct Seen {
    /// For people: what the answer was, in a word or two.
    answer: &'static str,
    /// What makes this answer another one than those before.
    signature: u64,
    /// What joins the corpus if it is another one.
    input: Vec<u8>,
}

impl Seen {
    /// `signature` is whatever tells ways through the code apart.
    pub(crate) fn new(answer: &'static str, signature: impl Hash, input: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        (answer, signature).hash(&mut hasher);
        Self { answer, signature: hasher.finish(), input: input.to_vec() }
    }
}

/// How often each answer came.
pub(crate) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Fails unless each of these came: a target that never gets so deep tests nothing there.
    ///
    /// A short run, or one on a busy machine, may miss some and is not held to it.
    pub(crate) fn reached(&self, answers: &[&str]) {
        let total: u64 = self.0.values().sum();
        for answer in answers {
            assert!(
                total < 10_000 || self.0.contains_key(answer),
                "no input of {total} came to: {answer}; {:?}",
                self.0
            );
        }
    }
}

/// Runs a target until its time is over, and fails with the smallest input that breaks a property.
pub(crate) fn run<S: Strategy>(
    target: &str,
    corpus: &Corpus,
    inputs: S,
    property: impl Fn(S::Value) -> Result<Seen, TestCaseError>,
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
    let begun = Instant::now();
    let mut iterations = 0;
    while !bounds.are_over(iterations, begun) {
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
        if let Some(Seen { answer, signature, input }) = last.into_inner() {
            *counts.entry(answer).or_default() += 1;
            if signatures.borrow_mut().insert(signature) {
                corpus.keep(input);
            }
        }
    }
    println!(
        "fuzz {target}: {iterations} iterations in {} s, {} ways through, {} inputs kept, no finding",
        begun.elapsed().as_secs(),
        signatures.borrow().len(),
        corpus.len() - seeds
    );
    for (answer, count) in &counts {
        println!("fuzz {target}: {count:9} {answer}");
    }
    Counts(counts)
}

/// How long, and from where.
struct Bounds {
    seed: u64,
    iterations: Option<u64>,
    time: Duration,
}

impl Bounds {
    fn read() -> Self {
        let number = |name| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
        };
        let seed = number("PETSEM_FUZZ_SEED");
        Self {
            // 32 bits are enough, and can be read out.
            seed: seed.unwrap_or_else(|| UnwrapErr(getrandom::SysRng).next_u32().into()),
            iterations: number("PETSEM_FUZZ_ITERATIONS"),
            time: Duration::from_secs(number("PETSEM_FUZZ_SECONDS").unwrap_or(DEFAULT_SECONDS)),
        }
    }

    fn are_over(&self, iterations: u64, begun: Instant) -> bool {
        match self.iterations {
            Some(most) => iterations >= most,
            None => begun.elapsed() >= self.time,
        }
    }

    fn seed_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes
    }
}
