//! Why a run ends without figures.

use std::fmt;

/// A fact, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    fact: String,
    hint: String,
}

impl Failure {
    pub(crate) fn new(fact: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { fact: fact.into(), hint: hint.into() }
    }

    /// The same, of a case.
    pub(crate) fn of(self, case: &str) -> Self {
        Self { fact: format!("case {case}: {}", self.fact), ..self }
    }

    /// A file or a process that the operating system refuses.
    pub(crate) fn system(what: impl fmt::Display, error: &dyn fmt::Display) -> Self {
        Self::new(format!("{what}: {error}"), "correct it and run the benchmark again")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.fact, self.hint)
    }
}
